"""What a job in the loop must heed: what its process was asked, its own deadline.

A job is ended by cancelling the task that runs its coroutine, and only that: middleware and the
settlement are outside of it. All this happens in the loop's thread, between two steps of tasks, so
that nothing can come up in the wrong job.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NoReturn, TypeVar

from jobd.clock import Clock
from jobd.errors import JobCancelled, JobInterrupted, JobTimeout, Stop
from jobd.scoreboard import SlotWriter
from jobd.worker.attention import Attention
from jobd.worker.bridge import wait
from jobd.worker.company import Company
from jobd.worker.shared_attention import LOOK_EVERY_S, SharedAttention

A = TypeVar("A")
T = TypeVar("T")


class PlaceAttention(SharedAttention):
    """What has been asked of one place of the loop so far; a ``Heeding``.

    Args:
        process: what has been asked of all.
        slot: the page of this place.
        clock: for deadlines.

    Attributes:
        company: none; the thread that handed the job over has seen to it.
        progress: none; iterable jobs are no coroutines.
    """

    def __init__(self, process: Attention, slot: SlotWriter, clock: Clock) -> None:
        super().__init__(process, slot, clock)
        self._task: asyncio.Task[Any] | None = None
        self._reason: BaseException | None = None  # why that was cancelled
        self.company: Company | None = None

    @property
    def is_quiet(self) -> bool:
        """Take no more jobs for now."""
        return self._process.is_quiet

    def learn_cancelled(self) -> None:
        """The thread that claimed the job has."""

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

    def wait(self, seconds: float) -> None:
        """Wait, and let other jobs go on."""
        wait(asyncio.sleep(seconds))

    def wait_for_redis(self, seconds: float) -> None:
        """Wait likewise, but no longer than until the poller has found it back."""
        deadline = self._monotonic() + seconds
        while (now := self._monotonic()) < deadline and not self.is_out_of_time:
            if self._is_redis_back():
                return
            self.wait(min(LOOK_EVERY_S, deadline - now))

    # In the loop, between two steps of the job

    def interrupt(self) -> None:
        """The job is to be given back."""
        self._end(JobInterrupted())

    def interrupt_for_its_reason(self) -> None:
        """The job is cancelled, or its time is up; if neither is so, nothing happens."""
        if self.is_cancelled:
            self._end(JobCancelled("it was cancelled"))
        elif (limit := self._exceeded()) is not None:
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
