"""Overview: is the system well, and is it keeping up?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from jobd.api import Day, Health, Mark, QueueSummary, Report, Stats, Totals
from jobd.web.pages.metrics import top_jobs
from jobd.web.pages.queues import by_latency
from jobd.web.samples import Sample
from jobd.web.site import View, Visit

PERIODS: Final = (1, 7, 30, 90, 180)
_MOST: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What happened within a minute."""

    at: datetime
    processed: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """A class of jobs that failed within the last hour."""

    name: str
    executions: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The whole at a glance.

    Attributes:
        concurrency: how many jobs all processes can run at once.
        per_second: jobs done a second, lately; None until the page has been open for a while.
        rates: the same for the last minutes, the earliest first.
        minutes: what the job metrics tell of the last hour; Sidekiq before 7 writes none.
        failing: the classes that failed most in it.
        marks: deploys within it.
        slowest: the queues whose next job has waited longest.
        queue_count: how many queues there are.
        days: the history of the period.
    """

    totals: Totals
    concurrency: int
    per_second: float | None
    rates: Sequence[float]
    minutes: Sequence[Minute]
    failing: Sequence[Failing]
    marks: Sequence[Mark]
    slowest: Sequence[QueueSummary]
    queue_count: int
    health: Health
    period: int
    days: Sequence[Day]
    periods: Sequence[int] = field(default=PERIODS)


def overview(visit: Visit) -> View:
    """The page."""
    stats = Stats(access=visit.access)
    period = visit.number("days", 30, most=PERIODS[-1])
    queues = stats.queues()
    report = top_jobs(visit, 1)
    rates = _rates(_sampled(visit, queues)) or _rates_of_minutes(visit, report)
    return View(
        "overview",
        Overview(
            totals=visit.totals,
            concurrency=sum(process.concurrency for process in visit.recent_processes),
            per_second=rates[-1] if rates else None,
            rates=rates,
            minutes=_minutes(report),
            failing=_failing(report),
            marks=report.marks,
            slowest=by_latency(queues)[:_MOST],
            queue_count=len(queues),
            health=stats.health(),
            period=period,
            days=stats.history(period, until=visit.now.date()),
        ),
    )


def _sampled(visit: Visit, queues: Sequence[QueueSummary]) -> list[Sample]:
    samples, totals = visit.site.samples, visit.totals
    sizes = {queue.name: queue.size for queue in queues}
    samples.add(visit.access.clock.monotonic(), totals.processed, totals.failed, sizes)
    return samples.all()


def _rates(samples: Sequence[Sample]) -> list[float]:
    """Each over at least ten seconds: instances tell their counters at a heartbeat only."""
    found: list[float] = []
    first = 0
    for last, sample in enumerate(samples):
        while first < last and sample.at_s - samples[first + 1].at_s >= 10:
            first += 1
        lasted_s = sample.at_s - samples[first].at_s
        if lasted_s >= 10:
            done = sample.processed - samples[first].processed
            found.append(max(done, 0) / lasted_s)
    return found[-120:]


def _rates_of_minutes(visit: Visit, report: Report) -> list[float]:
    """The last hour's, and of this minute and the last together: for the first seconds of a view.

    Empty if nobody keeps metrics, as Sidekiq before 7.
    """
    *ended, now = [minute.processed for minute in _minutes(report)] or [0]
    if not ended:
        return []
    lasts_s = 60 + max((visit.now - report.ends).total_seconds(), 0.0)
    return [each / 60 for each in ended] + [(ended[-1] + now) / lasts_s]


def _minutes(report: Report) -> list[Minute]:
    points = [job.points for job in report.jobs]
    return [
        Minute(
            at=several[0].at,
            processed=sum(point.counts.executions for point in several),
            failed=sum(point.counts.failures for point in several),
        )
        for several in zip(*points, strict=True)
    ]


def _failing(report: Report) -> list[Failing]:
    failing = sorted(report.jobs, key=lambda job: -job.failures)
    return [
        Failing(name=job.name, executions=job.executions, failures=job.failures)
        for job in failing[:_MOST]
        if job.failures
    ]
