"""What a worker must heed besides its jobs: signals, its master's death, its own deadline.

The loop asks between two jobs. In the middle of a job a signal that ends it raises in the main
thread, and only while a job's own code runs: never in the code that settles it.

Source: design §8 for the table; PDEATHSIG makes the kernel send TERM when the master dies, so the
stop is the same with and without a master, and a worker arms its own deadline for it.
"""

import os
import signal
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from jobd import log, signals
from jobd.errors import JobInterrupted
from jobd.wait import HasFileno, wait_readable

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
    }
)
IGNORED: Final = frozenset(
    {signal.SIGINT, signal.SIGHUP, signal.SIGTTOU, signal.SIGWINCH, signal.SIGPIPE}
)


class Master(Protocol):
    """The worker's end of its pipe to the master."""

    def fileno(self) -> int:
        """Readable once the master is gone."""
        ...

    def is_cut(self) -> bool:
        """Whether the master is gone."""
        ...


class Attention:
    """What has been asked of this worker so far.

    Args:
        master: whose death means to stop.
        timeout_s: what running jobs get when the worker stops.

    Attributes:
        is_stopping: take no more jobs, and leave.
        is_quiet: take no more jobs for now.
        is_out_of_time: a settlement that does not succeed is not tried again.
    """

    def __init__(self, master: Master, timeout_s: float) -> None:
        self._master = master
        self._timeout_s = timeout_s
        self._inbox = signals.SignalInbox(HEEDED, on_arrival=self._on_arrival)
        self._is_booting = True
        self._is_running = False
        self._must_interrupt = False
        self._has_deadline = False
        self.is_stopping = False
        self.is_quiet = False
        self.is_out_of_time = False

    def open(self) -> None:
        """Install the handlers."""
        signals.ignore(IGNORED)
        self._inbox.open()

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
                self._set_deadline()
                self.is_stopping = True
            case signal.SIGQUIT:
                self.is_stopping = True
                self._interrupt()
            case signal.SIGUSR2:
                self._interrupt()
            case signal.SIGTSTP | signal.SIGCONT:
                # Here and not in look(): their order counts, and a claim may be on its way.
                self.is_quiet = number == signal.SIGTSTP
            case signal.SIGALRM:
                self._run_out_of_time()
            case _:
                pass  # USR1 has time

    def _set_deadline(self) -> None:
        # Once: TERM comes again when the master dies, and repeats change nothing.
        if not self._has_deadline:
            self._has_deadline = True
            signals.alarm(self._timeout_s + _OWN_DEADLINE_AFTER_S)

    def _interrupt(self) -> None:
        self._must_interrupt = self.is_stopping
        if self._is_running:
            self._is_running = False
            raise JobInterrupted

    def _run_out_of_time(self) -> None:
        # Should even this not end it (a C call that keeps the GIL), the kernel will.
        self.is_stopping = self.is_out_of_time = True
        signals.reset_to_default({signal.SIGALRM})
        signals.alarm(_LAST_GRACE_S)
        self._interrupt()

    def interruptible(self, run: Callable[[], T]) -> T:
        """Call ``run``; meanwhile a signal may raise ``JobInterrupted`` in it.

        Raises:
            JobInterrupted: also if the interruption came just before or just after ``run``.
        """
        if self._must_interrupt:
            raise JobInterrupted
        try:
            self._is_running = True
            return run()
        finally:
            self._is_running = False

    def look(self) -> None:
        """Take note of what has arrived."""
        if signal.SIGUSR1 in self._inbox.take():
            log.reopen()
        if not self.is_stopping and self._master.is_cut():
            log.event("the master is gone; stopping", level="error")
            self._on_arrival(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than until something arrives; then take note of it."""
        wait_readable(self.wakers, seconds)
        self.look()
