"""Metrics: what each class of jobs costs, and how the durations of one are spread over time.

The same by queue and by host, of which jobd's instances tell; of a queue also how long jobs waited.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, get_args

from jobd.api import Group, JobMetrics, Mark, Metrics, Point, Report
from jobd.metrics import BOUNDS_MS
from jobd.web.addresses import name_at
from jobd.web.site import View, Visit
from jobd.web.usual import Usual, usual_of, usual_times

GROUPS: Final[tuple[Group, ...]] = get_args(Group)
PERIODS: Final = (1, 2, 4, 8, 24, 72)
_BY_MINUTE: Final = 8
_MOST: Final = 50
_WITH_TIMES: Final = 10
_COLUMNS: Final = 60
_LIFE_S: Final = 10.0
_LONGEST_LIFE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long jobs had waited in a queue when they were claimed: of each claim the oldest job.

    Attributes:
        samples: how many that were.
        usual: half, 95 and 99 of 100 waited no longer; None if that is not known.
    """

    samples: int
    mean_s: float
    usual: Usual | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsRow:
    """A class of jobs, or what is in its place.

    Attributes:
        points: executions within each step of the period.
        usual: the durations of the last hour; None if they are not known.
        waits: of a queue, if there were any; those that are usual are of the last hour, too.
    """

    name: str
    executions: int
    failures: int
    mean_s: float
    total_s: float
    points: Sequence[int]
    usual: Usual | None
    waits: Waits | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPage:
    """The page: the classes that took most time first.

    Attributes:
        by: what stands in the place of classes.
    """

    by: Group
    hours: int
    filter: str
    rows: Sequence[MetricsRow]
    total: int
    begins: datetime
    ends: datetime
    marks: Sequence[Mark]
    groups: Sequence[Group] = field(default=GROUPS)
    periods: Sequence[int] = field(default=PERIODS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happened within a step of the period."""

    at: datetime
    executions: int
    failures: int
    mean_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMetrics:
    """The page of one class.

    Attributes:
        steps: the earliest first.
        heat: how many jobs took how long: for each class of durations that had any (the slowest
            first), a number for each step; empty beyond eight hours.
        bounds: of those classes: below how many milliseconds; 0 for "longer than all others".
        waits: of a queue, if there were any, and their heat map.
    """

    name: str
    by: Group
    hours: int
    executions: int
    failures: int
    mean_s: float
    usual: Usual | None
    steps: Sequence[Step]
    heat: Sequence[Sequence[int]]
    bounds: Sequence[int]
    waits: Waits | None
    waits_heat: Sequence[Sequence[int]]
    waits_bounds: Sequence[int]
    marks: Sequence[Mark]
    periods: Sequence[int] = field(default=PERIODS)


def metrics(visit: Visit) -> View:
    """The page of all classes."""
    hours, by = _hours(visit), _by(visit)
    wanted = visit.text("q")
    report = top_jobs(visit, hours, by)
    found = [job for job in report.jobs if wanted.lower() in job.name.lower()]
    first = {job.name for job in found[:_WITH_TIMES]}
    usual = usual_times(visit, first, by)
    waits = (
        _waits(visit, hours, [job.name for job in found[:_MOST]], first) if by == "queue" else {}
    )
    return View(
        "metrics",
        MetricsPage(
            by=by,
            hours=hours,
            filter=wanted,
            rows=[_row(job, usual.get(job.name), waits.get(job.name)) for job in found[:_MOST]],
            total=len(found),
            begins=report.begins,
            ends=report.ends,
            marks=report.marks,
        ),
    )


def top_jobs(visit: Visit, hours: int, by: Group = "class") -> Report:
    """The metrics of all classes, at most ten seconds old: they are written no more often.

    Those of many hours, of which there is much to read and little that changes, a minute.
    """

    def ask() -> Report:
        asked = Metrics(access=visit.access, by=by)
        # Of hundreds of queues a tenth of the numbers; Sidekiq 7 keeps its own by the minute only.
        if hours <= (_BY_MINUTE if by == "class" else 1):
            return asked.top_jobs(minutes=60 * hours)
        return asked.top_jobs(hours=hours)

    now_s = visit.access.clock.monotonic()
    life_s = min(hours * _LIFE_S, _LONGEST_LIFE_S)
    return visit.site.memory.recall(("top_jobs", by, hours), now_s, life_s, ask)


def _waits(
    visit: Visit, hours: int, names: Sequence[str], first: Collection[str]
) -> dict[str, Waits]:
    """How long jobs waited in these queues; of the first with what is usual."""
    report = Metrics(access=visit.access, by="wait").top_jobs(hours=hours, names=names)
    usual = usual_times(visit, first, "wait")
    return {job.name: _waits_of(job, usual.get(job.name)) for job in report.jobs}


def _waits_of(job: JobMetrics, usual: Usual | None) -> Waits:
    return Waits(samples=job.executions, mean_s=job.mean_ms / 1000, usual=usual)


def _one(visit: Visit, name: str, hours: int, by: Group | Literal["wait"]) -> Report:
    asked = Metrics(access=visit.access, by=by)
    if hours <= _BY_MINUTE:
        return asked.for_job(name, minutes=60 * hours)
    return asked.for_job(name, hours=hours)


def class_metrics(visit: Visit) -> View:
    """The page of one class."""
    hours, by = _hours(visit), _by(visit)
    name = name_at(str(visit.request.path_params["name"]), _names(visit, hours, by))
    report = _one(visit, name, hours, by)
    job = report.job
    waits = _one(visit, name, hours, "wait").job if by == "queue" else None
    heat, bounds = _heat(job)
    waits_heat, waits_bounds = ([], []) if waits is None else _heat(waits)
    return View(
        "class",
        ClassMetrics(
            name=name,
            by=by,
            hours=hours,
            executions=job.executions,
            failures=job.failures,
            mean_s=job.mean_ms / 1000,
            usual=usual_of(job),
            steps=[_step(point) for point in job.points],
            heat=heat,
            bounds=bounds,
            waits=_waits_of(waits, usual_of(waits)) if waits and waits.executions else None,
            waits_heat=waits_heat,
            waits_bounds=waits_bounds,
            marks=report.marks,
        ),
    )


def _names(visit: Visit, hours: int, by: Group) -> Iterator[str]:
    """The classes that ran, those of this period first; asked for only as far as they are read."""
    for each in (hours, PERIODS[-1]):
        for job in top_jobs(visit, each, by).jobs:
            yield job.name


def _by(visit: Visit) -> Group:
    match visit.text("by"):
        case "queue" | "host" as by:
            return by
        case _:
            return "class"


def _hours(visit: Visit) -> int:
    hours = visit.number("hours", 1)
    return hours if hours in PERIODS else 1


def _row(job: JobMetrics, usual: Usual | None, waits: Waits | None) -> MetricsRow:
    return MetricsRow(
        name=job.name,
        executions=job.executions,
        failures=job.failures,
        mean_s=job.mean_ms / 1000,
        total_s=job.total_ms / 1000,
        points=_columns([point.counts.executions for point in job.points]),
        usual=usual,
        waits=waits,
    )


def _step(point: Point) -> Step:
    return Step(
        at=point.at,
        executions=point.counts.executions,
        failures=point.counts.failures,
        mean_s=point.mean_ms / 1000,
    )


def _heat(job: JobMetrics) -> tuple[list[list[int]], list[int]]:
    """The histograms as rows, without the classes that nothing fell into at either end."""
    buckets = [_columns(row) for row in zip(*(p.counts.histogram for p in job.points), strict=True)]
    used = [index for index, row in enumerate(buckets) if any(row)]
    if not used:
        return [], []
    span = range(max(used), min(used) - 1, -1)
    bounds = [*BOUNDS_MS, 0]
    return [buckets[index] for index in span], [bounds[index] for index in span]


def _columns(numbers: Sequence[int]) -> list[int]:
    """At most 60 sums of neighbours."""
    apart = -(-len(numbers) // _COLUMNS) or 1
    return [sum(numbers[first : first + apart]) for first in range(0, len(numbers), apart)]
