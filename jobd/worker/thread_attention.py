"""What a thread that runs jobs beside others must heed: what its process was asked, its deadline.

Signals arrive in the main thread. What ends a job is set there as an asynchronous exception of the
job's thread, which Python raises when that thread comes to its next bytecode: one that waits in C
is not ended before that returns. It must never come up in the code that settles the job, nor in the
next job; so each run has one token. Who takes it decides: the main thread, before it sets the
exception, or this one when the job is over. If the main thread was quicker, this one waits until
the exception is set, and then raises one of its own, which replaces it if it was not raised yet.
To set none instead would leave the interpreter looking for one again and again; CPython 3.11 hangs
in that at the next call, if the thread is traced (python/cpython, Python/ceval.c, RESUME).
"""

import contextlib
import ctypes
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn, TypeVar

from jobd.clock import Clock
from jobd.errors import JobCancelled, JobInterrupted, JobTimeout, Stop
from jobd.jobs.completing import complete
from jobd.scoreboard import SlotWriter
from jobd.worker.attention import Attention
from jobd.worker.company import Company
from jobd.worker.shared_attention import LOOK_EVERY_S, SharedAttention

A = TypeVar("A")
T = TypeVar("T")


# This keeps the interpreter's lock, as all of its functions must be called.
_set: Final = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.py_object)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)


class _NothingMore(BaseException):
    """Raised by a thread in itself, so that nothing else comes up in it."""


class _Run:
    """One run of a job's own code.

    Attributes:
        token: one entry, for who takes it first.
        is_set: the exception is; from then on it may be replaced.
    """

    __slots__ = ("is_set", "token")

    def __init__(self) -> None:
        self.token = [True]
        self.is_set = threading.Event()


class ThreadAttention(SharedAttention):
    """What has been asked of one thread so far; a ``Heeding``.

    Args:
        process: what has been asked of all.
        slot: the page of this thread.
        company: the other threads too.
        clock: for deadlines.

    Attributes:
        company: as given.
        was_interrupted: as in `Attention`.
        progress: of the iterable jobs of this thread.
    """

    def __init__(
        self, process: Attention, slot: SlotWriter, company: Company, clock: Clock
    ) -> None:
        super().__init__(process, slot, clock)
        self.company = company
        self._thread = 0
        self._run: _Run | None = None

    def enter(self) -> None:
        """In the thread, before its first job."""
        self._thread = threading.get_ident()

    @property
    def is_quiet(self) -> bool:
        """Take no more jobs for now; also while one of another thread runs by itself."""
        return self.company.must_rest

    def learn_cancelled(self) -> None:
        """Have ``cancelled_jids`` hold what the poller knows by now."""
        self._process.learn_cancelled()

    # In the thread

    def interruptible(self, run: Callable[[A], T], argument: A) -> T:
        """Call ``run`` with its argument; meanwhile the main thread may end it by an exception.

        Raises:
            JobInterrupted: also if the interruption came just before or just after ``run``.
            JobTimeout: it took longer than it may.
            JobCancelled: somebody cancelled it.
        """
        self.was_interrupted = False
        self._run = this = _Run()
        try:
            # After the token is there: who asks from now on finds it.
            if self._process.must_interrupt:
                self.was_interrupted = True
                raise JobInterrupted
            return run(argument)
        except JobTimeout as error:
            if not error.args and self._limit is not None:  # only a class can be set, without text
                error.args = (f"it ran longer than its time_limit of {self._limit.seconds:g} s",)
            raise
        finally:
            self._close(this)

    def _close(self, run: _Run) -> None:
        """From now on nothing ends the job any more, and nothing that was set is left."""
        is_over = False
        while not is_over:
            try:
                if not _took(run.token):
                    run.is_set.wait()
                    self._absorb()
                is_over = True
            except BaseException:  # noqa: BLE001, S110 - it came up here, as it can but once
                pass

    def _absorb(self) -> None:
        with contextlib.suppress(_NothingMore):
            _set(self._thread, _NothingMore)
            while True:  # it comes at once
                pass

    def end_job(self, reason: Stop) -> NoReturn:
        """End the running job from within, as if it was interrupted.

        Raises:
            Stop: the reason.
        """
        if self._run is not None and _took(self._run.token):
            self._run.is_set.set()  # there is nothing to wait for
        self.was_interrupted = True
        raise reason

    def complete(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run what an ``async def perform`` returned to its end, in a loop of its own."""
        result: T = complete(coroutine)
        return result

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than until something is asked."""
        self.company.rest(seconds)

    def wait_for_redis(self, seconds: float) -> None:
        """Wait likewise, but no longer than until the poller has found it back."""
        deadline = self._monotonic() + seconds
        while (now := self._monotonic()) < deadline:
            if self._is_redis_back():
                return
            if self.company.rest(min(LOOK_EVERY_S, deadline - now)):
                return

    # In the main thread, inside a signal's handler

    def interrupt(self) -> None:
        """The job is to be given back."""
        self._end(self._run, JobInterrupted)

    def interrupt_for_its_reason(self) -> None:
        """The job is cancelled, or its time is up; if neither is so, nothing happens."""
        run = self._run  # before its reason is looked at, which may be the next job's meanwhile
        if self.is_cancelled:
            self._end(run, JobCancelled)
        elif self._exceeded() is not None:
            self._end(run, JobTimeout)

    def _end(self, run: _Run | None, reason: type[BaseException]) -> None:
        if run is None or not _took(run.token):
            return
        self.was_interrupted = reason is not JobTimeout
        _set(self._thread, reason)
        run.is_set.set()


def _took(token: list[bool]) -> bool:
    try:
        token.pop()  # of two threads only one can
    except IndexError:
        return False
    return True
