"""What becomes of a job that raised: try again, bury it, or let it go.

Nothing here touches Redis or the clock. The processor passes in the failure and the time, and
carries out the decision, so every schedule can be checked as a table.

Source: Sidekiq's lib/sidekiq/job_retry.rb; the curve and the default of 25 tries (about 20 days)
are the same, so that a fleet can move over without surprises.
"""

import base64
import json
import random
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from jobd.payload import Wire, timestamp, to_ms

LONGEST_MESSAGE: Final = 10_000
MOST_RECOVERIES: Final = 3
"""A job that killed its worker this often is not started again."""

Advice: TypeAlias = float | Literal["discard", "kill"] | None
"""What a job's ``retry_in`` may say: seconds, an end, or nothing (then the default curve)."""


@dataclass(frozen=True, slots=True)
class Again:
    """Run it again after that many seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Bury:
    """Its tries are used up, or it was told to die."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Keep nothing of it; death handlers still hear of it."""


Decision: TypeAlias = Again | Bury | Discard


def backoff_s(attempt: int, rng: random.Random) -> float:
    """Seconds to wait before the next try of a job that failed ``attempt`` times before.

    Args:
        attempt: 0 for the first failure.
        rng: spreads the retries of jobs that failed together; seed it in tests.

    Returns:
        ``attempt**4 + 15`` plus a whole number below ``10 * (attempt + 1)``: 15 to 24 s for the
        first failure, about 4 days for the 25th.
    """
    return attempt**4 + 15 + _jitter(attempt, rng)


def _jitter(attempt: int, rng: random.Random) -> int:
    return rng.randrange(10 * (attempt + 1))


def record_failure(
    payload: dict[str, Any], error: BaseException, *, queue: str, now_ms: int, wire: Wire
) -> dict[str, Any]:
    """The payload of a job after a failure: what went wrong, when, and how often by now.

    Args:
        payload: as it was claimed; not changed.
        error: what it raised.
        queue: where it ran.
        now_ms: epoch milliseconds.
        wire: 8 for integer milliseconds, 7 for float seconds.
    """
    failed = dict(payload)
    failed["queue"] = payload.get("retry_queue") or queue
    failed["error_message"] = message_of(error)
    failed["error_class"] = name_of(type(error))
    count = payload.get("retry_count")
    if isinstance(count, int):
        failed["retry_count"] = count + 1
        failed["retried_at"] = timestamp(now_ms, wire)
    else:
        failed["retry_count"] = 0
        failed["failed_at"] = timestamp(now_ms, wire)
    if lines := payload.get("backtrace"):
        failed["error_backtrace"] = pack_backtrace(error, lines)
    return failed


def decide(
    failed: dict[str, Any],
    *,
    now_ms: int,
    max_retries: int,
    advise: Callable[[int], Advice],
    rng: random.Random,
) -> Decision:
    """What to do with a job that failed.

    Args:
        failed: its payload, as ``record_failure`` left it.
        now_ms: epoch milliseconds.
        max_retries: for jobs that say ``retry: true``.
        advise: asks the job's own ``retry_in``, given how often it had failed before; called only
            if the job has tries left.
        rng: spreads the retries.
    """
    retry = failed.get("retry", True)
    if retry is False:
        return Discard()
    count = int(failed["retry_count"])
    limit = retry if isinstance(retry, int) and retry is not True else max_retries
    if _is_exhausted(failed, count, limit, now_ms):
        return Bury()
    advice = advise(count)
    match advice:
        case "discard":
            return Discard()
        case "kill":
            return Bury()
        case int() | float() if advice > 0:
            return Again(advice + _jitter(count, rng))
        case _:
            return Again(backoff_s(count, rng))


def _is_exhausted(failed: dict[str, Any], count: int, limit: int, now_ms: int) -> bool:
    window_s = failed.get("retry_for")
    if not window_s:
        return count >= limit
    first_ms = to_ms(failed.get("failed_at"))
    return count > 0 and first_ms is not None and first_ms + window_s * 1000 < now_ms


def has_killed_enough(payload: dict[str, Any]) -> bool:
    """Whether a job took its worker down so often that it must not be started again."""
    recovered = payload.get("recovered")
    return isinstance(recovered, int) and recovered >= MOST_RECOVERIES


def message_of(error: BaseException) -> str:
    """The error's text: cut, valid UTF-8, and there even if making it raises."""
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001 - the text of a failure must not be a failure
        text = f"{name_of(type(error))}: its message could not be made ({name_of(type(second))})"
    return text[:LONGEST_MESSAGE].encode(errors="replace").decode()


def name_of(kind: type[BaseException]) -> str:
    """The name of an exception's class, with its module unless that is a builtin."""
    if kind.__module__ in {"builtins", "__main__"}:
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def pack_backtrace(error: BaseException, lines: bool | int) -> str:  # noqa: FBT001 - the option's own value
    """A stack as Sidekiq stores it: Base64 of zlib of a JSON array, the innermost frame first.

    Args:
        error: whose stack.
        lines: True for all of it, or how many frames to keep.
    """
    frames = [
        f"{frame.filename}:{frame.lineno}:in `{frame.name}'"
        for frame in reversed(traceback.extract_tb(error.__traceback__))
    ]
    kept = frames if lines is True else frames[: int(lines)]
    return base64.b64encode(zlib.compress(json.dumps(kept).encode())).decode()
