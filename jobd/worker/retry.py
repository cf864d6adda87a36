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
from typing import Any, Final, Literal, TypeAlias

import msgspec

from jobd.payload import Wire, encode, timestamp, to_ms
from jobd.store import PastError

LONGEST_MESSAGE: Final = 10_000
_LONGEST_PAST: Final = 200
_PAST_S: Final = 604_800
LONGEST_DELAY_S: Final = 1_000_000_000
"""Some 30 years: what a payload or an app asks for beyond that would not fit a score."""
MOST_RECOVERIES: Final = 3
"""A job that killed its worker this often is not started again."""

# The interpreter's own fields: a class may put properties of that name over them, which may raise.
_MODULE: Final = type.__dict__["__module__"]
_QUALNAME: Final = type.__dict__["__qualname__"]
_TRACEBACK: Final = BaseException.__dict__["__traceback__"]

Advice: TypeAlias = float | Literal["discard", "kill"] | None
"""What a job's ``retry_in`` may say: seconds, an end, or nothing (then the default curve)."""


class Again(msgspec.Struct, frozen=True):
    """Run it again after that many seconds."""

    delay_s: float


class Bury(msgspec.Struct, frozen=True):
    """Its tries are used up, or it was told to die."""


class Discard(msgspec.Struct, frozen=True):
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
        failed["retry_count"] = max(count, -1) + 1  # Ruby's manual retry leaves a -1
        failed["retried_at"] = timestamp(now_ms, wire)
    else:
        failed["retry_count"] = 0
        failed["failed_at"] = timestamp(now_ms, wire)
    if lines := payload.get("backtrace"):
        # Any other truthy value means all of it, as in Ruby.
        limit = lines if type(lines) is int and lines > 0 else True
        failed["error_backtrace"] = pack_backtrace(error, limit)
    return failed


def past_error(payload: dict[str, Any], wait_s: float) -> PastError | None:
    """What a job that fails again has failed with before; None if this is its first failure.

    Args:
        payload: as it was claimed.
        wait_s: until its next run, or for how long a dead job is kept.

    Returns:
        Class, message (both cut), ``at`` and ``failed_at``: when that was, and when its first
        failure was, both as the payload has them. A job that was pushed anew under the same jid
        has another first one.
    """
    jid, name, first = (payload.get(key) for key in ("jid", "error_class", "failed_at"))
    if not isinstance(jid, str) or not isinstance(name, str) or not jid:
        return None
    entry = {
        "error_class": name[:_LONGEST_PAST],
        "error_message": str(payload.get("error_message") or "")[:_LONGEST_PAST],
        "at": payload.get("retried_at", first),
        "failed_at": first,
    }
    return PastError(jid, encode(entry), int(min(wait_s, LONGEST_DELAY_S)) + _PAST_S)


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
            delay_s = advice + _jitter(count, rng)
        case _:
            delay_s = backoff_s(count, rng)
    return Again(min(delay_s, LONGEST_DELAY_S))


def _is_exhausted(failed: dict[str, Any], count: int, limit: int, now_ms: int) -> bool:
    window_s: object = failed.get("retry_for")
    first_ms = to_ms(failed.get("failed_at"))
    if not isinstance(window_s, int | float) or window_s <= 0 or first_ms is None:
        return count >= limit
    try:
        return count > 0 and first_ms + window_s * 1000 < now_ms
    except OverflowError:  # an integer of hundreds of digits
        return True


def recoveries(payload: dict[str, Any]) -> int:
    """How often a job took its worker down."""
    recovered = payload.get("recovered")
    return recovered if isinstance(recovered, int) else 0


def message_of(error: BaseException) -> str:
    """The error's text: cut, valid UTF-8, and there even if making it raises."""
    try:
        text = str.__str__(str(error))  # str() may return an instance of a subclass
    except BaseException as second:  # noqa: BLE001 - the text of a failure must not be a failure
        text = f"{name_of(type(error))}: its message could not be made ({name_of(type(second))})"
    return _valid(text[:LONGEST_MESSAGE])


def name_of(kind: type[BaseException]) -> str:
    """The name of an exception's class, with its module unless that is a builtin."""
    module: object = _MODULE.__get__(kind)  # anything may have been assigned to it
    name = _valid(_QUALNAME.__get__(kind))
    if type(module) is not str or module in {"builtins", "__main__"}:
        return name
    return f"{_valid(module)}.{name}"


def _valid(text: str) -> str:
    return text.encode(errors="replace").decode()


def pack_backtrace(error: BaseException, lines: bool | int) -> str:  # noqa: FBT001 - the option's own value
    """A stack as Sidekiq stores it: Base64 of zlib of a JSON array, the innermost frame first.

    Args:
        error: whose stack.
        lines: True for all of it, or how many frames to keep.
    """
    # Not extract_tb(), which reads the source files.
    frames = [
        f"{frame.f_code.co_filename}:{line}:in `{frame.f_code.co_name}'"
        for frame, line in traceback.walk_tb(_TRACEBACK.__get__(error))
    ]
    frames.reverse()
    kept = frames if lines is True else frames[:lines]
    return base64.b64encode(zlib.compress(json.dumps(kept).encode())).decode()
