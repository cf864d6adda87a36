"""Metrics: what each class of jobs costs, and how the durations of one are spread over time.

The same by queue and by host, of which jobd's instances tell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, get_args

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
class MetricsRow:
    """A class of jobs, or what is in its place.

    Attributes:
        points: executions within each step of the period.
        usual: the durations of the last hour; None if they are not known.
    """

    name: str
    executions: int
    failures: int
    mean_s: float
    total_s: float
    points: Sequence[int]
    usual: Usual | None


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
    marks: Sequence[Mark]
    periods: Sequence[int] = field(default=PERIODS)


def metrics(visit: Visit) -> View:
    """The page of all classes."""
    hours, by = _hours(visit), _by(visit)
    wanted = visit.text("q")
    report = top_jobs(visit, hours, by)
    found = [job for job in report.jobs if wanted.lower() in job.name.lower()]
    usual = usual_times(visit, {job.name for job in found[:_WITH_TIMES]}, by)
    return View(
        "metrics",
        MetricsPage(
            by=by,
            hours=hours,
            filter=wanted,
            rows=[_row(job, usual.get(job.name)) for job in found[:_MOST]],
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
        if hours <= _BY_MINUTE:
            return asked.top_jobs(minutes=60 * hours)
        return asked.top_jobs(hours=hours)

    now_s = visit.access.clock.monotonic()
    life_s = min(hours * _LIFE_S, _LONGEST_LIFE_S)
    return visit.site.memory.recall(("top_jobs", by, hours), now_s, life_s, ask)


def class_metrics(visit: Visit) -> View:
    """The page of one class."""
    hours, by = _hours(visit), _by(visit)
    name = name_at(str(visit.request.path_params["name"]), _names(visit, hours, by))
    asked = Metrics(access=visit.access, by=by)
    by_minute = hours <= _BY_MINUTE
    report = (
        asked.for_job(name, minutes=60 * hours) if by_minute else asked.for_job(name, hours=hours)
    )
    job = report.job
    heat, bounds = _heat(job) if by_minute else ([], [])
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


def _row(job: JobMetrics, usual: Usual | None) -> MetricsRow:
    return MetricsRow(
        name=job.name,
        executions=job.executions,
        failures=job.failures,
        mean_s=job.mean_ms / 1000,
        total_s=job.total_ms / 1000,
        points=_columns([point.counts.executions for point in job.points]),
        usual=usual,
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
