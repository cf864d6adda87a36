"""Signals as values in a set, taken by a loop; the only module that installs handlers.

A handler runs between two bytecodes of whatever the process is doing, so it does nothing but add
a number to a set and wake the loop. A set coalesces duplicates and so cannot overflow. The worker
adds one exception to that rule: its ``on_arrival`` may raise in the main thread to end a job.

Source: measured in Debian 12 with Python 3.11: a ``selectors`` loop with a wake-up fd returns 2 ms
after a signal, while ``time.sleep`` and ``Event.wait`` return only at their end (PEP 475).
"""

import contextlib
import importlib
import os
import signal
import socket
from collections.abc import Callable, Generator, Iterable
from types import FrameType

HANDLED = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGTSTP,
        signal.SIGCONT,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGWINCH,
        signal.SIGCHLD,
        signal.SIGALRM,
    }
)
"""What master, poller and workers handle; blocked across a fork, so that none is lost in it."""


# Not signal.getsignal(), which makes enums of its answers, at a hundred times the cost.
_getsignal: Callable[[int], object] = importlib.import_module("_signal").getsignal
_TERM, _ALARM = int(signal.SIGTERM), int(signal.SIGALRM)
_change_mask: Callable[[int, Iterable[int]], object] = importlib.import_module(
    "_signal"
).pthread_sigmask


class SignalInbox:
    """The signals that arrived since the loop last looked, and an fd that wakes it.

    Args:
        signals: which to collect; all others keep their disposition.
        on_arrival: called inside the handler, after the number is in the set. It may raise.
    """

    def __init__(
        self, signals: Iterable[int], *, on_arrival: Callable[[int], None] | None = None
    ) -> None:
        self._signals = frozenset(signals)
        self._on_arrival = on_arrival
        self._arrived: set[int] = set()
        self._handler = self._arrive  # one object, so that it is known again by identity
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)

    def open(self) -> None:
        """Install the handlers. Main thread only, as Python demands."""
        # A full pipe means that the loop has been woken already: no warning.
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in self._signals:
            # No SA_RESTART: a job that waits in a system call must return to Python to be ended.
            signal.signal(number, self._handler)

    def _arrive(self, number: int, _frame: FrameType | None) -> None:
        self._arrived.add(number)
        if self._on_arrival is not None:
            self._on_arrival(number)

    def fileno(self) -> int:
        """Readable once a signal arrived."""
        return self._reader.fileno()

    @property
    def has_news(self) -> bool:
        """Whether a signal arrived; costs no system call."""
        return bool(self._arrived)

    def reclaim(self) -> bool:
        """Install the handlers again if somebody has changed them; returns whether one had.

        Looks at the two signals that jobs use most, which must be among those collected; costs no
        system call.
        """
        handler = self._handler
        if _getsignal(_TERM) is handler and _getsignal(_ALARM) is handler:
            return False
        self.open()
        return True

    def reclaim_wakeup(self) -> None:
        """Have signals arrive and wake this loop again, before it waits.

        ``asyncio`` may have changed the one, a job that has blocked them the other.
        """
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        _change_mask(signal.SIG_UNBLOCK, self._signals)

    def take(self) -> set[int]:
        """The signals that arrived since the last call; each at most once."""
        # Drain before looking: a signal that comes between leaves a byte for the next turn.
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
        arrived: set[int] = set()
        while self._arrived:
            arrived.add(self._arrived.pop())
        return arrived

    def close(self) -> None:
        """Forget the handlers: every collected signal gets its default action again."""
        signal.set_wakeup_fd(-1)
        reset_to_default(self._signals)
        self._reader.close()
        self._writer.close()


def reset_to_default(signals: Iterable[int]) -> None:
    """Give each signal its default action, also where the parent had it ignored.

    An inherited ``SIGCHLD=SIG_IGN`` loses every exit status without a trace.
    """
    for number in signals:
        signal.signal(number, signal.SIG_DFL)


def ignore(signals: Iterable[int]) -> None:
    """Ignore each signal; children that exec get it ignored too, unless they reset it."""
    for number in signals:
        signal.signal(number, signal.SIG_IGN)


def keep_from_children() -> None:
    """Have whatever this process forks from now on start with default handlers, not with ours.

    Signals are held back across the fork: one that came before the child has reset its handlers
    would end in a set that nobody there reads.
    """
    masks: list[set[int]] = []

    def hold_back() -> None:
        masks.append({int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)})

    def go_on() -> None:
        set_mask(masks.pop())

    def start_anew() -> None:
        signal.set_wakeup_fd(-1)
        reset_to_default(HANDLED)
        go_on()

    os.register_at_fork(before=hold_back, after_in_parent=go_on, after_in_child=start_anew)


def detach_from_parent() -> None:
    """In a forked child: stop waking the parent's loop; its inbox was copied with its socket."""
    signal.set_wakeup_fd(-1)


def current_mask() -> set[int]:
    """The signals that are blocked in this thread."""
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}


def set_mask(mask: Iterable[int]) -> None:
    """Block exactly these signals; what is pending and no longer blocked arrives now."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def blocked(signals: Iterable[int] = HANDLED) -> Generator[set[int]]:
    """Hold signals back for a while; yields the mask that was in force before."""
    before = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, signals)}
    try:
        yield before
    finally:
        set_mask(before)


def alarm(seconds: float) -> None:
    """Have SIGALRM sent once, that many seconds from now; 0 takes it back."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def describe_exit(status: int) -> str:
    """What a wait status says, in words: ``exit 3``, ``SIGKILL``, ``SIGSEGV (core dumped)``."""
    code = waitstatus_to_code(status)
    if code >= 0:
        return f"exit {code}"
    dumped = " (core dumped)" if status & 0x80 else ""
    try:
        return signal.Signals(-code).name + dumped
    except ValueError:
        return f"signal {-code}{dumped}"


def waitstatus_to_code(status: int) -> int:
    """The exit code of a wait status, or minus the number of the signal that ended it."""
    return -(status & 0x7F) if status & 0x7F else status >> 8
