"""What a thread that runs jobs, and a place of a loop, have in common: a process, and a page."""

from typing import Final

from jobd.clock import Clock
from jobd.jobs.iterating import Progress
from jobd.scoreboard import Limit, SlotWriter
from jobd.worker.attention import Attention

LOOK_EVERY_S: Final = 0.25


class SharedAttention:
    """What has been asked of one of those who run jobs here; most of a ``Heeding``.

    Args:
        process: what has been asked of all.
        slot: the page of this one.
        clock: for deadlines.

    Attributes:
        was_interrupted: as in `Attention`.
        progress: of its iterable jobs.
    """

    def __init__(self, process: Attention, slot: SlotWriter, clock: Clock) -> None:
        self._process = process
        self._slot = slot
        self._monotonic = clock.monotonic
        self._limit: Limit | None = None
        self._away_since = 0.0
        self.was_interrupted = False
        self.progress: Progress | None = None

    @property
    def is_stopping(self) -> bool:
        """Take no more jobs, and leave."""
        return self._process.is_stopping

    @property
    def is_out_of_time(self) -> bool:
        """A settlement that does not succeed is not tried again."""
        return self._process.is_out_of_time

    @property
    def cancelled_jids(self) -> set[str]:
        """Jobs that are not to be begun."""
        return self._process.cancelled_jids

    @property
    def is_cancelled(self) -> bool:
        """Whether the running job is cancelled; any thread of it may ask."""
        return self._slot.is_cancelled

    def limit(self, seconds: float, kill_after_s: float) -> None:
        """The running job may take so long from now, and so much longer until it is killed."""
        self._limit = Limit(self._monotonic() + seconds, seconds, kill_after_s)
        self._slot.limit(self._limit)
        self._process.tell_in_time(self._limit)

    def _exceeded(self) -> Limit | None:
        """The limit of the running job, if it has one that is over; any thread may ask."""
        limit = self._limit
        return limit if limit is not None and self._monotonic() >= limit.deadline else None

    def reclaim(self) -> None:
        """After a job: lift its limit. The handlers of signals are the main thread's."""
        if self._limit is not None:
            self._limit = None
            self._slot.unlimit()

    def glance(self) -> bool:
        """The main thread does."""
        return False

    def _is_redis_back(self) -> bool:
        """Whether the poller has found it back since this was asked last."""
        before, self._away_since = self._away_since, self._slot.redis_away_since
        return bool(before) and not self._away_since
