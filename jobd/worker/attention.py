"""What a worker must heed besides its jobs: signals, its master's death, its own deadline.

The loop asks between two jobs. In the middle of a job a signal that ends it raises in the main
thread, and only while a job's own code runs: never in the code that settles it.

Source: design §8 for the table; PDEATHSIG makes the kernel send TERM when the master dies, so the
stop is the same with and without a master, and a worker arms its own deadline for it.
"""

import math
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NoReturn, Protocol, TypeVar

from jobd import log, signals
from jobd.clock import Clock, SystemClock
from jobd.errors import JobCancelled, JobInterrupted, JobTimeout, Stop
from jobd.jobs.completing import complete
from jobd.jobs.iterating import Progress
from jobd.scoreboard import Limit, SlotWriter
from jobd.wait import HasFileno, wait_readable
from jobd.worker.company import Company

A = TypeVar("A")
T = TypeVar("T")

_OWN_DEADLINE_AFTER_S: Final = 1.0
"""The master interrupts at the deadline; who has no master any more does so a little later."""
_LAST_GRACE_S: Final = 3.0

HEEDED: Final = frozenset(
    {
        signal.SIGTERM,
        signal.SIGQUIT,
        signal.SIGTSTP,
        signal.SIGCONT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGTTOU,
        # Without effect, but handled: what is ignored stays so in every program that a job starts.
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGWINCH,
    }
)
_LOOK_EVERY_S: Final = 0.25


class Master(Protocol):
    """The worker's end of its pipe to the master."""

    def fileno(self) -> int:
        """Readable once the master is gone."""
        ...

    def is_cut(self) -> bool:
        """Whether the master is gone."""
        ...

    def nudge(self) -> None:
        """Have the master read the scoreboard at once."""
        ...


class Inbox(Protocol):
    """Where signals arrive; see ``signals.SignalInbox``."""

    def open(self) -> None: ...  # noqa: D102
    def fileno(self) -> int: ...  # noqa: D102
    @property
    def has_news(self) -> bool: ...  # noqa: D102
    def reclaim(self) -> bool: ...  # noqa: D102
    def reclaim_wakeup(self) -> None: ...  # noqa: D102
    def take(self) -> set[int]: ...  # noqa: D102


class Interruptible(Protocol):
    """A thread that runs jobs; it is told from the main thread, inside a signal's handler."""

    def interrupt(self) -> None:
        """Its job is to be given back."""
        ...

    def interrupt_for_its_reason(self) -> None:
        """Its job may be cancelled, or its time up."""
        ...


class Attention:
    """What has been asked of this worker so far.

    Args:
        master: whose death means to stop.
        slot: where the master sees how long the running job may take.
        timeout_s: what running jobs get when the instance stops.
        is_instance_stopping: else only this worker is to leave, and its job may take its time.
        clock: for how long ago it looked.
        inbox: where signals arrive; those of this process, if None.

    Attributes:
        is_stopping: take no more jobs, and leave.
        is_quiet: take no more jobs for now.
        is_out_of_time: a settlement that does not succeed is not tried again.
        was_interrupted: the last job was ended from outside; else its ``Stop`` was its own.
        cancelled_jids: jobs that are not to be begun.
        learn_cancelled: has ``cancelled_jids`` hold what the poller knows by now.
        leave_lines: shows the poller what was last written to the log.
        progress: of iterable jobs.
        company: of the main thread and a loop; None if it runs jobs alone, or none.
        threads: that run jobs instead of the main thread or beside it.
    """

    def __init__(
        self,
        master: Master,
        slot: SlotWriter,
        timeout_s: float,
        *,
        is_instance_stopping: Callable[[], bool] = lambda: True,
        clock: Clock | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        self._master = master
        self._is_instance_stopping = is_instance_stopping
        self._slot = slot
        self._timeout_s = timeout_s
        self._monotonic = (clock or SystemClock()).monotonic
        self._looked_at = float("-inf")
        self._inbox: Inbox = inbox or signals.SignalInbox(HEEDED, on_arrival=self._on_arrival)
        self._is_booting = True
        self._is_running = False
        self._must_interrupt = False
        self._has_deadline = False
        self._limit: Limit | None = None  # of the running job
        self._away_since = 0.0
        self.is_stopping = False
        self.is_quiet = False
        self.is_out_of_time = False
        self.was_interrupted = False
        self.cancelled_jids: set[str] = set()
        self.learn_cancelled: Callable[[], None] = lambda: None
        self.leave_lines: Callable[[], None] = lambda: None
        self.progress: Progress | None = None
        self.company: Company | None = None
        self.threads: Sequence[Interruptible] = ()

    def open(self) -> None:
        """Install the handlers."""
        signals.ignore({signal.SIGPIPE})  # subprocess gives that one back
        self._inbox.open()
        signals.keep_from_children()

    @property
    def must_interrupt(self) -> bool:
        """Whether no job may run any more, not even to its end."""
        return self._must_interrupt

    def booted(self) -> None:
        """From now on a stop is an orderly one."""
        self._is_booting = False

    @property
    def wakers(self) -> tuple[HasFileno, HasFileno]:
        """What interrupts a wait."""
        return self._inbox, self._master

    def _on_arrival(self, number: int) -> None:
        # Inside the handler, between two bytecodes of the job: only what cannot wait for the loop.
        if self._is_booting and number in {signal.SIGTERM, signal.SIGQUIT}:
            os._exit(0)  # nothing is held yet, and importing an app may take long
        match number:
            case signal.SIGTERM:
                self._stop()
            case signal.SIGQUIT:
                self.is_stopping = True
                self._interrupt()
            case signal.SIGUSR2:
                self._interrupt_for_its_reason()
            case signal.SIGTSTP | signal.SIGCONT:
                # Here and not in look(): their order counts, and a claim may be on its way.
                self.is_quiet = number == signal.SIGTSTP
            case signal.SIGTTOU:
                self.leave_lines()
            case signal.SIGALRM if self._has_deadline:  # else of a timer that a job has left
                self._run_out_of_time()
            case _:
                pass  # USR1 has time

    def _stop(self) -> None:
        self.is_stopping = True
        if self._is_instance_stopping() or self._master.is_cut():
            self._set_deadline()

    def _set_deadline(self) -> None:
        # Once: TERM comes again when the master dies, and repeats change nothing.
        if not self._has_deadline and self._timeout_s < math.inf:
            self._has_deadline = True
            signals.alarm(self._timeout_s + _OWN_DEADLINE_AFTER_S)

    def _interrupt_for_its_reason(self) -> None:
        # A signal that comes late must not end the next job, so each reason is looked at again.
        for thread in self.threads:
            thread.interrupt_for_its_reason()
        limit = self._limit
        if self._is_running and self._slot.is_cancelled:
            self._is_running = False
            self.was_interrupted = True
            raise JobCancelled("it was cancelled")
        if self._is_running and limit is not None and self._monotonic() >= limit.deadline:
            self._is_running = False
            raise JobTimeout(f"it ran longer than its time_limit of {limit.seconds:g} s")
        if self.is_stopping:
            self._interrupt()

    def _interrupt(self) -> None:
        self._must_interrupt = self.is_stopping
        for thread in self.threads:
            thread.interrupt()
        if self._is_running:
            self._is_running = False
            self.was_interrupted = True
            raise JobInterrupted

    def _run_out_of_time(self) -> None:
        # Should even this not end it, the kernel will. A C call that keeps the GIL is only ended by
        # the master's KILL: no handler of ours runs in it.
        self.is_stopping = self.is_out_of_time = True
        signals.reset_to_default({signal.SIGALRM})
        signals.alarm(_LAST_GRACE_S)
        self._interrupt()

    def limit(self, seconds: float, kill_after_s: float) -> None:
        """The running job may take so long from now: the master watches, for no timer is ours.

        Args:
            seconds: until ``JobTimeout`` is raised in it.
            kill_after_s: from then on, until this process is killed.
        """
        self._limit = Limit(self._monotonic() + seconds, seconds, kill_after_s)
        self._slot.limit(self._limit)
        self.tell_in_time(self._limit)

    def tell_in_time(self, limit: Limit) -> None:
        """Have the master know of a limit that is over before it looks up by itself."""
        if limit.deadline < self._slot.master_wakes_at:
            self._master.nudge()

    @property
    def is_cancelled(self) -> bool:
        """Whether the running job is cancelled; any thread of it may ask."""
        return self._slot.is_cancelled

    def interruptible(self, run: Callable[[A], T], argument: A) -> T:
        """Call ``run`` with its argument; meanwhile a signal may end it by an exception.

        Raises:
            JobInterrupted: also if the interruption came just before or just after ``run``.
            JobTimeout: it took longer than it may.
            JobCancelled: somebody cancelled it.
        """
        self.was_interrupted = self._must_interrupt
        if self._must_interrupt:
            raise JobInterrupted
        try:
            self._is_running = True
            return run(argument)
        finally:
            self._is_running = False

    def end_job(self, reason: Stop) -> NoReturn:
        """End the running job from within, as a signal would.

        Raises:
            Stop: the reason.
        """
        self._is_running = False
        self.was_interrupted = True
        raise reason

    def complete(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run what an ``async def perform`` returned to its end, in a loop of its own."""
        result: T = complete(coroutine)
        return result

    def reclaim(self) -> None:
        """After a job: lift its limit, and take the signals back if it has left handlers."""
        # Not in interruptible(), whose last line a signal may still break off.
        if self._limit is not None:
            self._limit = None
            self._slot.unlimit()
        if self._inbox.reclaim():
            log.event("the job changed signal handlers; they are as before again", level="warning")

    def glance(self) -> bool:
        """Look if a signal came, or if it is a while ago: a look costs some system calls.

        Returns:
            Whether it looked.
        """
        if self._inbox.has_news or self._monotonic() - self._looked_at > _LOOK_EVERY_S:
            self.look()
            return True
        return False

    def will_wait(self) -> None:
        """See to it that a signal ends the wait that comes; some system calls."""
        self._inbox.reclaim_wakeup()

    def look(self) -> None:
        """Take note of what has arrived."""
        self._looked_at = self._monotonic()
        if signal.SIGUSR1 in self._inbox.take():
            log.reopen()
        if not self.is_stopping and self._master.is_cut():
            log.event("the master is gone; stopping", level="error")
            self._on_arrival(signal.SIGTERM)

    def wait_for_redis(self, seconds: float) -> None:
        """Wait likewise, but no longer than until the poller has found it back.

        So a job runs soon after, though each worker by itself tries but every few seconds.
        """
        deadline = self._monotonic() + seconds
        while (now := self._monotonic()) < deadline:
            before, self._away_since = self._away_since, self._slot.redis_away_since
            if before and not self._away_since:
                return
            until = min(now + _LOOK_EVERY_S, deadline)
            self.wait(until - now)
            if self._monotonic() < until:
                return  # something has arrived

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than until something arrives; then take note of it."""
        self._inbox.reclaim_wakeup()
        wait_readable(self.wakers, seconds)
        self.look()
        # A worker that only waits, quiet or without Redis, would never see to anything else: its
        # beat, the poller's, cancelled jobs.
        self._looked_at = float("-inf")
