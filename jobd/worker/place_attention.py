"""What a job in the loop must heed: what its process was asked, its own deadline.

A job is ended by cancelling the task that runs its coroutine, and only that: middleware and the
settlement are outside of it. All this happens in the loop's thread, between two steps of tasks, so
that nothing can come up in the wrong job.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

from jobd.clock import Clock
from jobd.errors import JobCancelled, JobInterrupted, JobTimeout, Stop
from jobd.jobs.iterating import Progress
from jobd.scoreboard import Limit, SlotWriter
from jobd.worker.attention import Attention
from jobd.worker.bridge import wait
from jobd.worker.company import Company

A = TypeVar("A")
T = TypeVar("T")

_LOOK_EVERY_S: Final = 0.25


class PlaceAttention:
    """What has been asked of one place of the loop so far; a ``Heeding``.

    Args:
        process: what has been asked of all.
        slot: the page of this place.
        clock: for deadlines.

    Attributes:
        company: none; the thread that handed the job over has seen to it.
        was_interrupted: as in `Attention`.
        progress: none; iterable jobs are no coroutines.
    """

    def __init__(self, process: Attention, slot: SlotWriter, clock: Clock) -> None:
        self._process = process
        self._slot = slot
        self._monotonic = clock.monotonic
        self._task: asyncio.Task[Any] | None = None
        self._reason: BaseException | None = None  # why that was cancelled
        self._limit: Limit | None = None
        self._away_since = 0.0
        self.company: Company | None = None
        self.was_interrupted = False
        self.progress: Progress | None = None

    @property
    def is_stopping(self) -> bool:
        """Take no more jobs, and leave."""
        return self._process.is_stopping

    @property
    def is_quiet(self) -> bool:
        """Take no more jobs for now."""
        return self._process.is_quiet

    @property
    def is_out_of_time(self) -> bool:
        """A settlement that does not succeed is not tried again."""
        return self._process.is_out_of_time

    @property
    def cancelled_jids(self) -> set[str]:
        """Jobs that are not to be begun."""
        return self._process.cancelled_jids

    def learn_cancelled(self) -> None:
        """The thread that claimed the job has."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the running job is cancelled; any thread of it may ask."""
        return self._slot.is_cancelled

    def limit(self, seconds: float, kill_after_s: float) -> None:
        """The running job may take so long from now, and so much longer until it is killed."""
        self._limit = Limit(self._monotonic() + seconds, seconds, kill_after_s)
        self._slot.limit(self._limit)
        self._process.tell_in_time(self._limit)

    def interruptible(self, run: Callable[[A], T], argument: A) -> T:
        """Call ``run`` with its argument; meanwhile its coroutine may be cancelled.

        Raises:
            JobInterrupted: also if the interruption came just before ``run``.
            JobTimeout: it took longer than it may.
            JobCancelled: somebody cancelled it.
        """
        self.was_interrupted, self._reason = self._process.must_interrupt, None
        if self._process.must_interrupt:
            raise JobInterrupted
        return run(argument)

    def complete(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run what an ``async def perform`` returned to its end, as a task of the loop."""
        self._task = task = asyncio.get_running_loop().create_task(_to_its_end(coroutine))
        try:
            return wait(task)()
        except asyncio.CancelledError as error:
            if self._reason is None:
                raise  # its own doing
            raise self._reason from error
        finally:
            self._task = None

    def end_job(self, reason: Stop) -> NoReturn:
        """End the running job from within, as if it was interrupted.

        Raises:
            Stop: the reason.
        """
        self.was_interrupted = True
        raise reason

    def reclaim(self) -> None:
        """After a job: lift its limit."""
        if self._limit is not None:
            self._limit = None
            self._slot.unlimit()

    def glance(self) -> bool:
        """The main thread does."""
        return False

    def wait(self, seconds: float) -> None:
        """Wait, and let other jobs go on."""
        wait(asyncio.sleep(seconds))

    def wait_for_redis(self, seconds: float) -> None:
        """Wait likewise, but no longer than until the poller has found it back."""
        deadline = self._monotonic() + seconds
        while (now := self._monotonic()) < deadline and not self.is_out_of_time:
            before, self._away_since = self._away_since, self._slot.redis_away_since
            if before and not self._away_since:
                return
            self.wait(min(_LOOK_EVERY_S, deadline - now))

    # In the loop, between two steps of the job

    def interrupt(self) -> None:
        """The job is to be given back."""
        self._end(JobInterrupted())

    def interrupt_for_its_reason(self) -> None:
        """The job is cancelled, or its time is up; if neither is so, nothing happens."""
        limit = self._limit
        if self._slot.is_cancelled:
            self._end(JobCancelled("it was cancelled"))
        elif limit is not None and self._monotonic() >= limit.deadline:
            self._end(JobTimeout(f"it ran longer than its time_limit of {limit.seconds:g} s"))

    def _end(self, reason: BaseException) -> None:
        # Once, as for a plain job: what it does on its way out is not broken off.
        if self._task is None or self._reason is not None or not self._task.cancel():
            return
        self._reason = reason
        self.was_interrupted = isinstance(reason, Stop)


async def _to_its_end(coroutine: Coroutine[Any, Any, T]) -> Callable[[], T]:
    """What returns its result, or raises its error.

    The task itself does not fail: whoever awaits one that did with ``SystemExit`` or
    ``GeneratorExit`` is ended by that, and so is the loop.
    """
    try:
        result = await coroutine
    except BaseException as error:  # noqa: BLE001 - it is raised where the job is judged
        return partial(_throw, error)
    return lambda: result


def _throw(error: BaseException) -> NoReturn:
    raise error
