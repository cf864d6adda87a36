"""How fast queues are filled and emptied, as far as that is written down anywhere.

Out: jobd's instances count their runs by queue, minute by minute, with a heartbeat; Ruby's do not.
In: nobody counts what is pushed, so it is what ran plus what the queue has grown by, and known only
while somebody looks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from jobd.api import Metrics, Process
from jobd.web.site import Visit

_LIFE_S: Final = 5.0
_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Jobs a minute.

    Attributes:
        pushed: None until the queue has been watched for some seconds, or if ``run`` is not known.
        run: None if a process that does not count takes jobs from the queue.
    """

    pushed: float | None
    run: float | None


class RunRates:
    """What has run of each queue within the last one to two minutes.

    Args:
        visit: who asks; the answer is kept for some seconds.
    """

    def __init__(self, visit: Visit) -> None:
        now_s = visit.access.clock.monotonic()
        keep = visit.site.memory
        self._run = keep.recall("rates", now_s, _LIFE_S, lambda: _runs_a_minute(visit))
        self._silent = set(_queues_of(p for p in visit.recent_processes if not p.is_jobd))

    def of(self, name: str, growth: float | None) -> Rates:
        """The rates of a queue that grows by so many jobs a minute."""
        if name in self._silent:
            return Rates(pushed=None, run=None)
        run = self._run.get(name, 0.0)
        # Heartbeats are late by seconds, so what has just run may be missing.
        return Rates(pushed=None if growth is None else max(run + growth, 0.0), run=run)


def _runs_a_minute(visit: Visit) -> dict[str, float]:
    report = Metrics(access=visit.access, by="queue").top_jobs(minutes=2)
    # The minute before this one, and what has passed of this.
    lasts_s = _MINUTE_S + max((visit.now - report.ends).total_seconds(), 0.0)
    return {job.name: _MINUTE_S * job.executions / lasts_s for job in report.jobs}


def _queues_of(processes: Iterable[Process]) -> Iterable[str]:
    return (name for process in processes for name in process.queues)
