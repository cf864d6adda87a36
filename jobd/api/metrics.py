"""What each class of jobs cost, minute by minute, and when the application was deployed.

    from jobd.api import Deploy, Metrics

    for job in Metrics().top_jobs(minutes=60).jobs:
        print(job.name, job.executions, job.failures, job.mean_ms)
    Metrics().for_job("MoodSenderJob", hours=24).points
    Deploy.mark("v1.2.3")

Written by jobd's and Ruby's servers alike; what Sidekiq 7 and what 8 wrote is read, and added up
where a fleet has both. All times are UTC.

Source: Sidekiq's lib/sidekiq/metrics/query.rb and lib/sidekiq/deploy.rb.
"""

import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from operator import add
from typing import Final, Literal, TypeAlias

import msgspec

from jobd.api.access import Access
from jobd.connection import Reply
from jobd.errors import CannotAct
from jobd.link import Command
from jobd.metrics import (
    LABEL_LIFE_S,
    MARKS_LIFE_S,
    MOST_HOURS,
    MOST_MINUTES,
    Counts,
    Wire,
    histogram_minute,
    minute,
    percentile_ms,
    ten_minutes,
    unpack,
)

Group: TypeAlias = Literal["class", "queue", "host"]

_GIT_TIMEOUT_S: Final = 10
_STAMP: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Mark:
    """A deploy.

    Attributes:
        at: the minute.
    """

    at: datetime
    label: str


class Point(msgspec.Struct, frozen=True, gc=False):
    """What happened within a minute, or within ten; a report may hold ten thousands of them.

    Attributes:
        at: when it begins.
        counts: with a histogram only for a single class, by the minute.
    """

    at: datetime
    counts: Counts

    @property
    def mean_ms(self) -> float:
        """Of the executions that did not fail; 0 if there were none."""
        return _mean_ms(self.counts)


@dataclass(frozen=True, slots=True)
class JobMetrics:
    """What a class of jobs cost.

    Attributes:
        name: the class; behind a wrapper, the wrapped one.
        points: the earliest first, empty ones included.
        total: their sum.
        has_histogram: whether durations were asked for by the minute, so that there are any.
    """

    name: str
    points: tuple[Point, ...]
    total: Counts
    has_histogram: bool = False

    @property
    def executions(self) -> int:
        """Failed ones included."""
        return self.total.executions

    @property
    def failures(self) -> int:
        """How many failed."""
        return self.total.failures

    @property
    def successes(self) -> int:
        """How many did not."""
        return self.total.executions - self.total.failures

    @property
    def total_ms(self) -> int:
        """Time that those took which did not fail."""
        return self.total.total_ms

    @property
    def mean_ms(self) -> float:
        """Of those that did not fail; 0 if there were none."""
        return _mean_ms(self.total)

    def percentile_ms(self, share: float) -> float | None:
        """The duration that this share of the jobs (0.95, say) did not exceed, estimated.

        Within a bucket of the histogram durations are taken to be spread evenly; of the last one,
        above 335 s, only its lower bound is known.

        Returns:
            Milliseconds; None if no durations are kept.
        """
        has_any = self.has_histogram and any(self.total.histogram)
        return percentile_ms(self.total.histogram, share) if has_any else None

    @property
    def p50_ms(self) -> float | None:
        """The median."""
        return self.percentile_ms(0.5)

    @property
    def p95_ms(self) -> float | None:
        """What all but a twentieth did not exceed."""
        return self.percentile_ms(0.95)

    @property
    def p99_ms(self) -> float | None:
        """What all but a hundredth did not exceed."""
        return self.percentile_ms(0.99)


@dataclass(frozen=True, slots=True)
class Report:
    """Metrics of a span of time.

    Attributes:
        begins: of the first point.
        ends: of the last point, which is still being written.
        step_s: 60 or 600.
        jobs: those that took most time first.
        marks: deploys within the span, the earliest first.
    """

    begins: datetime
    ends: datetime
    step_s: int
    jobs: tuple[JobMetrics, ...]
    marks: tuple[Mark, ...]

    @property
    def job(self) -> JobMetrics:
        """The one class that was asked for."""
        (job,) = self.jobs
        return job


class Metrics:
    """Reads job metrics.

    Args:
        access: by default that of the current app.
        by: what the "classes" are: with ``queue`` or ``host`` they are queues or hosts, of which
            jobd's processes tell, and Ruby's do not. With ``wait`` they are queues, too, and
            durations are how long jobs waited there before they were claimed: of each claim and
            queue the job that had waited for longest.
    """

    def __init__(
        self, *, access: Access | None = None, by: Group | Literal["wait"] = "class"
    ) -> None:
        self._access = access or Access.of()
        keys = self._access.keys
        self._keys = keys if by == "class" else keys.metrics_by(by)
        self._wires: tuple[Wire, ...] = (8, 7) if by == "class" else (8,)

    def top_jobs(
        self,
        *,
        minutes: int | None = None,
        hours: int | None = None,
        match: str | Callable[[str], object] | None = None,
        names: Sequence[str] | None = None,
    ) -> Report:
        """All classes of jobs that ran.

        O(points x classes), in one round trip.

        Args:
            minutes: how many, up to 480; 60 if neither is given. Points are a minute apart.
            hours: how many instead, up to 72. Points are ten minutes apart; Sidekiq before 8 does
                not write these.
            match: a part of the names, whatever its case, or a function that tells whether to take
                a name.
            names: ask for these classes only.

        Raises:
            ValueError: a span that is not kept.
        """
        span = _Span.of(self._access.now_ms(), minutes, hours, self._wires)
        keys, takes = self._keys, _filter(match)
        asked = [[keys.rollup(each) for each in span.rollups(at_s)] for at_s in span.starts]
        replies = self._rollups([key for each in asked for key in each], names)
        columns = _columns([[next(replies) for _ in each] for each in asked])
        jobs = [
            JobMetrics(name, span.points(map(Counts, p, f, ms)), Counts(sum(p), sum(f), sum(ms)))
            for name, (p, f, ms) in _by_class(columns, len(asked)).items()
            if takes(name)
        ]
        jobs.sort(key=lambda job: (-job.total_ms, -job.executions, job.name))
        return self._report(span, jobs)

    def for_job(self, name: str, *, minutes: int | None = None, hours: int | None = None) -> Report:
        """One class of jobs; with a histogram of durations for every minute, if asked by minutes.

        Args:
            name: of the class.
            minutes: how many, up to 480; 60 if neither is given.
            hours: how many instead, up to 72; without histograms.

        Raises:
            ValueError: a span that is not kept.
        """
        span = _Span.of(self._access.now_ms(), minutes, hours, self._wires)
        keys = self._keys
        fields = [f"{name}|{what}" for what in ("p", "f", "ms")]
        rollups = [[keys.rollup(each) for each in span.rollups(at_s)] for at_s in span.starts]
        grams = [[keys.histogram(name, each) for each in span.grams(at_s)] for at_s in span.starts]
        commands: list[Command] = [("HMGET", key, *fields) for each in rollups for key in each]
        replies = self._ask([*commands, *(("GET", key) for each in grams for key in each)])
        counts = [_of_class(next(replies) for _ in each) for each in rollups]
        histograms = [_histogram(next(replies) for _ in each) for each in grams]
        whole = [Counts(p, f, ms, h) for (p, f, ms), h in zip(counts, histograms, strict=True)]
        has_histogram = span.step_s == _MINUTE_S
        job = JobMetrics(name, span.points(whole), _total(whole), has_histogram=has_histogram)
        return self._report(span, [job])

    def _rollups(
        self, keys: Sequence[str], names: Sequence[str] | None
    ) -> Iterator[Sequence[bytes]]:
        """Of each key its fields and values in turn."""
        if names is None:
            return self._ask([("HGETALL", key) for key in keys])
        if not names:
            return repeat(())
        fields = [f"{name}|{what}" for name in names for what in _PLACES]
        named = [field.encode(errors="surrogateescape") for field in fields]
        return (
            [part for pair in zip(named, values, strict=True) for part in pair if pair[1]]
            for values in self._ask([("HMGET", key, *fields) for key in keys])
        )

    def _ask(self, commands: Sequence[Command]) -> Iterator[Reply]:
        return iter(self._access.redis.pipeline(commands))

    def _report(self, span: "_Span", jobs: Sequence[JobMetrics]) -> Report:
        begins, ends = span.moments[0], span.moments[-1]
        marks = Deploy.marks(begins, _moment(span.now_s), access=self._access)
        return Report(begins, ends, span.step_s, tuple(jobs), marks)


class Deploy:
    """Marks the moments at which the application was deployed."""

    @staticmethod
    def mark(
        label: str | None = None, *, at: datetime | None = None, access: Access | None = None
    ) -> bool:
        """Mark a deploy, in the minute in which it is.

        For the script that deploys; if every process does it, the first in a minute wins.

        Args:
            label: by default the hash and the subject of the last commit, asked of git.
            at: aware; by default now, by the server's clock.
            access: by default that of the current app.

        Returns:
            False if this label was marked within the last minute already, or the minute has a
            mark.

        Raises:
            ValueError: ``at`` is naive.
            CannotAct: there is no label, and no commit to name.
        """
        access = access or Access.of()
        if at is not None and at.utcoffset() is None:
            raise ValueError(f"{at!r} has no time zone; pass at.astimezone(), or datetime.now(UTC)")
        label = _last_commit() if label is None else label
        when = _moment(access.now_ms() / 1000) if at is None else at.astimezone(UTC)
        when = when.replace(second=0, microsecond=0)
        stamp, key = when.strftime(_STAMP), access.keys.marks(f"{when:%Y%m%d}")
        lock = access.keys.mark_lock(label)
        if access.redis.call("SET", lock, stamp, "NX", "EX", LABEL_LIFE_S) is None:
            return False
        marked, _ = access.atomically(("HSETNX", key, stamp, label), ("EXPIRE", key, MARKS_LIFE_S))
        return bool(marked)

    @staticmethod
    def marks(
        begins: datetime, ends: datetime, *, access: Access | None = None
    ) -> tuple[Mark, ...]:
        """The deploys from one moment to another, the earliest first; up to 90 days ago."""
        access = access or Access.of()
        first, last = begins.astimezone(UTC), ends.astimezone(UTC)
        days = [
            first.date() + timedelta(days=n) for n in range((last.date() - first.date()).days + 1)
        ]
        commands = [("HGETALL", access.keys.marks(f"{day:%Y%m%d}")) for day in days]
        found = [
            mark
            for flat in (access.redis.pipeline(commands) if commands else [])
            for mark in _marks(flat)
            if first <= mark.at <= last
        ]
        return tuple(sorted(found, key=lambda mark: mark.at))


_MINUTE_S: Final = 60
_NO_HISTOGRAM: Final = Counts().histogram
_PLACES: Final = {"p": 0, "f": 1, "ms": 2}
_TEN_MINUTES_S: Final = 600


@dataclass(frozen=True, slots=True)
class _Span:
    """The points of a report, and the names of what is asked for each.

    Of both kinds that Sidekiq writes, unless they are keys of jobd's own.
    """

    now_s: float
    step_s: int
    starts: tuple[float, ...]
    moments: tuple[datetime, ...]
    wires: tuple[Wire, ...]

    @classmethod
    def of(
        cls, now_ms: int, minutes: int | None, hours: int | None, wires: tuple[Wire, ...]
    ) -> "_Span":
        if minutes is not None and hours is not None:
            raise ValueError("metrics are asked for by minutes or by hours, not both")
        if hours is not None:
            _check("hours", hours, MOST_HOURS)
            return cls._until(now_ms / 1000, _TEN_MINUTES_S, 6 * hours, wires)
        minutes = 60 if minutes is None else minutes
        _check("minutes", minutes, MOST_MINUTES)
        return cls._until(now_ms / 1000, _MINUTE_S, minutes, wires)

    @classmethod
    def _until(cls, now_s: float, step_s: int, count: int, wires: tuple[Wire, ...]) -> "_Span":
        last = now_s // step_s * step_s
        starts = tuple(last - step_s * back for back in reversed(range(count)))
        return cls(now_s, step_s, starts, tuple(map(_moment, starts)), wires)

    def rollups(self, at_s: float) -> Sequence[str]:
        if self.step_s == _TEN_MINUTES_S:
            return [ten_minutes(at_s)]
        return [minute(at_s, wire) for wire in self.wires]

    def grams(self, at_s: float) -> Sequence[str]:
        if self.step_s == _TEN_MINUTES_S:
            return []
        # The same for both from the tenth of a month and from ten o'clock on.
        return list(dict.fromkeys(histogram_minute(at_s, wire) for wire in self.wires))

    def points(self, counts: Iterable[Counts]) -> tuple[Point, ...]:
        return tuple(map(Point, self.moments, counts))


def _check(what: str, number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise ValueError(f"metrics of {number} {what}: they are kept for 1 to {most}")


def _moment(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def _total(several: Sequence[Counts]) -> Counts:
    return Counts(
        sum(counts.executions for counts in several),
        sum(counts.failures for counts in several),
        sum(counts.total_ms for counts in several),
        _added([counts.histogram for counts in several]),
    )


def _mean_ms(counts: Counts) -> float:
    successes = counts.executions - counts.failures
    return counts.total_ms / successes if successes > 0 else 0.0


def _filter(match: str | Callable[[str], object] | None) -> Callable[[str], object]:
    if match is None:
        return lambda _: True
    if isinstance(match, str):
        part = match.lower()
        return lambda name: part in name.lower()
    return match


def _columns(moments: Sequence[Sequence[Sequence[bytes]]]) -> dict[bytes, tuple[int, ...]]:
    """What the rollups of each moment hold: for each field a number for every moment.

    A report of hundreds of queues has a hundred thousand fields: none of them is touched by more
    than C's own loops, and names are taken apart once.
    """
    hashes = [[dict(_pairs(flat)) for flat in replies if flat] for replies in moments]
    fields = list(set[bytes]().union(*chain.from_iterable(hashes)))
    rows = [_sums([_numbers(one, fields) for one in some], len(fields)) for some in hashes]
    return dict(zip(fields, zip(*rows, strict=True), strict=True))


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _numbers(known: Mapping[bytes, bytes], fields: Sequence[bytes]) -> list[int]:
    values = map(known.get, fields, repeat(b"0"))
    try:
        return list(map(int, values))
    except ValueError:  # not written by any of ours
        return [int(known[name]) if known.get(name, b"").isdigit() else 0 for name in fields]


def _sums(rows: Sequence[Sequence[int]], length: int) -> Sequence[int]:
    """Of a moment's rollups: by Sidekiq 8, or by 7, seldom by both."""
    if len(rows) < 2:
        return rows[0] if rows else (0,) * length
    return [sum(each) for each in zip(*rows, strict=True)]


def _by_class(
    columns: Mapping[bytes, Sequence[int]], moments: int
) -> dict[str, list[Sequence[int]]]:
    """Executions, failures and milliseconds of each class, with a number for every moment."""
    nothing = (0,) * moments
    found: dict[str, list[Sequence[int]]] = {}
    for field_name, column in columns.items():
        name, _, what = field_name.decode(errors="replace").rpartition("|")
        if name and what in _PLACES:
            three = found.setdefault(name, [nothing, nothing, nothing])
            known = three[_PLACES[what]]
            # Two names that are no UTF-8 may read alike.
            three[_PLACES[what]] = column if known is nothing else list(map(add, known, column))
    return found


def _of_class(replies: Iterable[Sequence[bytes | None]]) -> list[int]:
    numbers = [[int(v) if v and v.isdigit() else 0 for v in values] for values in replies]
    return [sum(each) for each in zip(*numbers, strict=True)]


def _histogram(replies: Iterable[bytes | None]) -> tuple[int, ...]:
    return _added([unpack(stored) for stored in replies if stored])


def _added(histograms: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    if len(histograms) == 1:
        return histograms[0]
    return tuple(map(sum, zip(*histograms, strict=True))) or _NO_HISTOGRAM


def _marks(flat: Sequence[bytes]) -> Iterator[Mark]:
    for stamp, label in zip(flat[::2], flat[1::2], strict=True):
        try:
            at = datetime.strptime(stamp.decode(), _STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue  # not written by any of ours
        yield Mark(at, label.decode(errors="replace"))


def _last_commit() -> str:
    command = ["git", "log", "-1", "--format=%h %s"]
    try:
        done = subprocess.run(  # noqa: S603 - nothing in it comes from outside
            command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as err:
        raise CannotAct(
            f"a deploy needs a label: git names no last commit here ({err}); pass one"
        ) from err
    return done.stdout.strip()
