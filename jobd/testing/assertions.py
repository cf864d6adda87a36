"""What a test wants to be enqueued, compared with what is; and how the difference reads.

Values in, texts out: whose jobs, and what becomes of the text, is the caller's business.

Source: the near misses are an idea of oban's ``assert_enqueued``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self, TypeAlias

from jobd.payload import Payload, When, resolve_at, to_ms
from jobd.testing.kept import JobLike, Selects, job_class, selector

Tolerance: TypeAlias = float | timedelta

_TOLERANCE_S: Final = 1.0
_MOST_SHOWN: Final = 5
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Span:
    """When a job is wanted to be due, in epoch seconds.

    Attributes:
        earliest_s: None if any time up to the latest will do.
    """

    earliest_s: float | None
    latest_s: float
    now_s: float

    @classmethod
    def of(cls, at: When | None, within: Tolerance | None, now_ms: int) -> Self | None:
        """From the arguments of ``assert_enqueued``; None if any time will do."""
        margin_s = within.total_seconds() if isinstance(within, timedelta) else within
        now_s = now_ms / 1000
        if at is None:
            return None if margin_s is None else cls(None, now_s + margin_s, now_s)
        moment_s = _moment_s(at, now_ms)
        margin_s = _TOLERANCE_S if margin_s is None else margin_s
        return cls(moment_s - margin_s, moment_s + margin_s, now_s)

    def has(self, payload: Payload) -> bool:
        """Whether the job is due in it; one that is in its queue is due from any past time on."""
        earliest_s = self.earliest_s
        if "at" not in payload:
            return earliest_s is None or earliest_s <= self.now_s
        at_s: float = payload["at"]
        return (earliest_s is None or earliest_s <= at_s) and at_s <= self.latest_s

    def __str__(self) -> str:
        if self.earliest_s is None:
            return f"by {_utc(self.latest_s)}"
        middle_s = (self.earliest_s + self.latest_s) / 2
        return f"{_utc(middle_s)} ± {(self.latest_s - self.earliest_s) / 2:g} s"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The properties of a job; None is any.

    Attributes:
        name: of the job, for messages.
    """

    name: str
    selects: Selects | None
    args: list[Any] | None
    queue: str | None
    due: Span | None

    @classmethod
    def of(
        cls,
        job: JobLike | str | None,
        *,
        args: Sequence[Any] | None,
        queue: str | None,
        due: Span | None,
    ) -> Self:
        """From the arguments of ``assert_enqueued``."""
        if isinstance(args, str | bytes):
            raise TypeError(f"args: a list of all arguments, [{args!r}], not {args!r}")
        return cls(
            name=_name(job),
            selects=None if job is None else selector(job),
            args=None if args is None else list(args),
            queue=queue,
            due=due,
        )

    def differences(self, payload: Payload) -> list[str]:
        """A line for each thing in which a payload is not as wanted."""
        lines = [f"class: wanted {self.name}"] if self.is_other(payload) else []
        if self.queue is not None and payload["queue"] != self.queue:
            lines.append(f'queue: wanted "{self.queue}", is "{payload["queue"]}"')
        if self.args is not None and self.args != payload["args"]:
            lines += _argument_differences(self.args, payload["args"])
        if self.due is not None and not self.due.has(payload):
            lines.append(f"at: wanted {self.due}, {_schedule_of(payload)}")
        return lines

    def distance(self, payload: Payload) -> tuple[bool, int]:
        """Sorts payloads, the most alike first; another class is further than anything else."""
        return self.is_other(payload), len(self.differences(payload))

    def is_other(self, payload: Payload) -> bool:
        """Whether it is another job that is wanted."""
        return self.selects is not None and not self.selects(payload)

    def __str__(self) -> str:
        parts = [self.name]
        if self.args is not None:
            parts.append(f"with args {self.args!r}")
        if self.queue is not None:
            parts.append(f'in queue "{self.queue}"')
        if self.due is not None:
            parts.append(f"due {self.due}")
        return " ".join(parts)


def describe_missing(
    wanted: Wanted, payloads: Sequence[Payload], found: Sequence[Payload], count: int | None
) -> str:
    """Why ``assert_enqueued`` failed."""
    if count is not None and (found or count == 0):
        return f"{wanted}: wanted {count}, but {_number(len(found))} enqueued{_listed(found)}"
    if not payloads:
        return f"{wanted} is not enqueued; nothing is"
    closest = min(payloads, key=wanted.distance)
    if wanted.is_other(closest):
        others = "1 other job is" if len(payloads) == 1 else f"{len(payloads)} other jobs are"
        return f"{wanted} is not enqueued; {others}{_listed(payloads)}"
    lines = "".join(f"\n    {line}" for line in wanted.differences(closest))
    return (
        f"{wanted} is not enqueued"
        f"\nthe closest of {len(payloads)} that are: {_shown(closest)}\n  differs in{lines}"
    )


def describe_unwanted(wanted: Wanted, found: Sequence[Payload]) -> str:
    """Why ``refute_enqueued`` failed."""
    return f"{wanted}: wanted none, but {_number(len(found))} enqueued{_listed(found)}"


def _name(job: JobLike | str | None) -> str:
    if job is None or isinstance(job, str):
        return job or "any job"
    return job_class(job).wire_name


def _number(count: int) -> str:
    return "1 is" if count == 1 else f"{count} are"


def _listed(payloads: Sequence[Payload]) -> str:
    lines = "".join(f"\n  {_shown(payload)}" for payload in payloads[:_MOST_SHOWN])
    more = len(payloads) - _MOST_SHOWN
    return f"{lines}\n  and {more} more" if more > 0 else lines


def _shown(payload: Payload) -> str:
    when = f" at {_utc(payload['at'])}" if "at" in payload else ""
    return f'{payload["class"]} {payload["args"]!r} in queue "{payload["queue"]}"{when}'


def _argument_differences(wanted: list[Any], found: list[Any]) -> Iterator[str]:
    for index in range(max(len(wanted), len(found))):
        # Whatever the test wants decides, so that pytest.approx and the like may stand there.
        expected = wanted[index] if index < len(wanted) else _MISSING
        actual = found[index] if index < len(found) else _MISSING
        if expected is _MISSING:
            yield f"args[{index}]: wanted none, is {actual!r}"
        elif actual is _MISSING:
            yield f"args[{index}]: wanted {expected!r}, is missing"
        elif expected != actual:
            yield f"args[{index}]: wanted {expected!r}, is {actual!r}"


def _moment_s(when: When, now_ms: int) -> float:
    """Epoch seconds, of what is past too."""
    due_s = resolve_at(when, now_ms)
    if due_s is not None:
        return due_s
    if isinstance(when, datetime):
        return when.timestamp()
    # A number that is due is either 0, from now, or an epoch.
    return now_ms / 1000 if isinstance(when, timedelta) or not when else float(when)


def _schedule_of(payload: Payload) -> str:
    if "at" in payload:
        return f"is {_utc(payload['at'])}"
    enqueued_ms = to_ms(payload.get("enqueued_at"))
    since = "" if enqueued_ms is None else f" since {_utc(enqueued_ms / 1000)}"
    return f"is in its queue{since}, not scheduled"


def _utc(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
