"""What ``jobctl top`` shows: everything at one moment, and how fast it changes between moments."""

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from jobd.api import Access, Process, ProcessSet, QueueSummary, Stats, Totals, Work, WorkSet

_WINDOW_S: Final = 30.0
"""Counters change with heartbeats, every ten seconds; over less a rate would only flicker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """One moment.

    Attributes:
        at_s: monotonic seconds.
        now_ms: of the server's clock.
        works: the jobs that run, those that have run longest first.
    """

    at_s: float
    now_ms: int
    server: str
    totals: Totals
    queues: Sequence[QueueSummary]
    processes: Sequence[Process]
    works: Sequence[Work]

    @classmethod
    def of(cls, access: Access) -> "Glimpse":
        """Look; a dozen round trips, whatever the backlog."""
        stats = Stats(access=access)
        server = stats.server()
        return cls(
            at_s=access.clock.monotonic(),
            now_ms=access.now_ms(),
            server=f"{server.kind} {server.version}",
            totals=stats.totals(),
            queues=stats.queues(),
            processes=ProcessSet(access=access).all(),
            works=WorkSet(access=access).all(),
        )

    def as_dict(self) -> dict[str, Any]:
        """What JSON can carry of it."""
        return {
            "server": self.server,
            "totals": asdict(self.totals),
            "queues": [asdict(queue) for queue in self.queues],
            "processes": [process.as_dict() for process in self.processes],
            "works": [work.as_dict() for work in self.works],
        }


@dataclass(frozen=True, slots=True)
class Rates:
    """Jobs a second over the last half minute; ``enqueued`` may be below 0."""

    processed: float = 0.0
    failed: float = 0.0
    enqueued: float = 0.0


class Past:
    """The glimpses of the last half minute."""

    def __init__(self) -> None:
        self._glimpses: deque[Glimpse] = deque()

    def add(self, glimpse: Glimpse) -> Rates:
        """Remember a glimpse; returns the rates up to it."""
        self._glimpses.append(glimpse)
        while glimpse.at_s - self._glimpses[0].at_s > _WINDOW_S:
            self._glimpses.popleft()
        first = self._glimpses[0]
        elapsed_s = glimpse.at_s - first.at_s
        if not elapsed_s:
            return Rates()
        before, after = first.totals, glimpse.totals
        return Rates(
            (after.processed - before.processed) / elapsed_s,
            (after.failed - before.failed) / elapsed_s,
            (after.enqueued - before.enqueued) / elapsed_s,
        )
