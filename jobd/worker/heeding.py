"""What the loop that runs jobs has to know of the world besides its jobs.

`jobd.worker.attention` has it for a job in the main thread, where signals arrive;
`jobd.worker.thread_attention` for one in a thread beside others.
"""

from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, Protocol, TypeVar

from jobd.errors import Stop
from jobd.jobs.iterating import Progress
from jobd.worker.company import Company

A = TypeVar("A")
T = TypeVar("T")


class Heeding(Protocol):
    """What has been asked of whoever runs jobs here."""

    @property
    def is_stopping(self) -> bool:
        """Take no more jobs, and leave."""
        ...

    @property
    def is_quiet(self) -> bool:
        """Take no more jobs for now."""
        ...

    @property
    def is_out_of_time(self) -> bool:
        """A settlement that does not succeed is not tried again."""
        ...

    @property
    def was_interrupted(self) -> bool:
        """The last job was ended from outside; else its ``Stop`` was its own."""
        ...

    @property
    def company(self) -> Company | None:
        """Of a thread beside others."""
        ...

    @property
    def cancelled_jids(self) -> set[str]:
        """Jobs that are not to be begun."""
        ...

    @property
    def learn_cancelled(self) -> Callable[[], None]:
        """Has ``cancelled_jids`` hold what the poller knows by now."""
        ...

    @property
    def progress(self) -> Progress | None:
        """Of iterable jobs."""
        ...

    @property
    def is_cancelled(self) -> bool:
        """Whether the running job is."""
        ...

    def limit(self, seconds: float, kill_after_s: float) -> None:
        """The running job may take so long from now, and so much longer until it is killed."""
        ...

    def interruptible(self, run: Callable[[A], T], argument: A) -> T:
        """Call ``run`` with its argument; meanwhile it may be ended by an exception.

        Raises:
            JobInterrupted: also if the interruption came just before or just after ``run``.
            JobTimeout: it took longer than it may.
            JobCancelled: somebody cancelled it.
        """
        ...

    def end_job(self, reason: Stop) -> NoReturn:
        """End the running job from within, as if it was interrupted.

        Raises:
            Stop: the reason.
        """
        ...

    def complete(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run what an ``async def perform`` returned to its end."""
        ...

    def reclaim(self) -> None:
        """After a job: lift its limit, and take back what it has changed."""
        ...

    def glance(self) -> bool:
        """Take note of what has arrived, if it is time; whether it was."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than until something arrives."""
        ...

    def wait_for_redis(self, seconds: float) -> None:
        """Wait likewise, but no longer than until the poller has found it back."""
        ...
