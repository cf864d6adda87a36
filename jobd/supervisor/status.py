"""What the master shows of itself: its process title, and READY, STATUS and the ping to systemd.

Title and STATUS change at most once a second, or at once with the state of the instance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import setproctitle

from jobd.clock import Clock
from jobd.scoreboard import InstanceState
from jobd.supervisor.sd_notify import Notifier
from jobd.supervisor.slots import Slots

_INTERVAL_S: Final = 1.0
_SUFFIXES: Final = {
    InstanceState.RUNNING: "",
    InstanceState.QUIET: " quiet",
    InstanceState.STOPPING: " stopping",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """The instance at one moment.

    Attributes:
        ready: workers that have booted.
        waiting: who waits before the next start, because the last one died too early.
        note: what else there is to say: of a reload.
        is_serving: the poller and at least one worker are ready.
        left_s: until running jobs are interrupted; while stopping.
    """

    state: InstanceState
    workers: int
    ready: int
    busy: int
    waiting: tuple[str, ...]
    is_serving: bool
    left_s: float
    note: str = ""


class Reporter:
    """Says it where people and systemd look.

    Args:
        name: ``jobd 0.1.0 daily_mood``.
        slots: whose children are counted.
        on_ready: called once, when the poller and a worker are ready.
        clock: for the interval.

    Attributes:
        note: shown to systemd beside the rest.
    """

    def __init__(
        self, name: str, slots: Slots, *, on_ready: Callable[[], None], clock: Clock
    ) -> None:
        self._name = name
        self._on_ready = on_ready
        self._slots = slots
        self._notifier = Notifier(clock)
        self._clock = clock
        self._next_at = 0.0
        self._state: InstanceState | None = None
        self._status = ""
        self._is_ready = False
        self.note = ""

    def open(self) -> None:
        """Find out whether systemd listens."""
        self._notifier.open()

    def begin_reload(self, note: str) -> None:
        """Tell systemd that a reload goes on, and what it does."""
        self.note = note
        self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")

    def end_reload(self, note: str) -> None:
        """Tell systemd that it is over, and what is to be known of it."""
        self.note = note
        if self._is_ready:
            self._notifier.send("READY=1")

    def report(self, state: InstanceState, left_s: float) -> None:
        """The last step of a turn, so that a loop that is stuck does not ping."""
        now = self._clock.monotonic()
        serving = self._slots.serving()
        ready = sum(slot.child is not None and slot.child.ready_at is not None for slot in serving)
        is_serving = ready > 0 and self._slots.ready_poller is not None
        is_news = state is not self._state or (is_serving and not self._is_ready)
        if is_news or now >= self._next_at:
            self._next_at = now + _INTERVAL_S
            self._show(
                Picture(
                    state=state,
                    workers=len(serving),
                    ready=ready,
                    busy=len(self._slots.busy_workers()),
                    waiting=self._slots.waiting(now),
                    is_serving=is_serving,
                    left_s=left_s,
                    note=self.note,
                )
            )
        self._notifier.ping()

    def next_ping(self) -> float | None:
        """When the watchdog has to be told again, in monotonic seconds."""
        return self._notifier.next_ping()

    def _show(self, picture: Picture) -> None:
        setproctitle.setproctitle(title(self._name, picture))
        news: list[str] = []
        if picture.state is InstanceState.STOPPING and self._state is not picture.state:
            news.append("STOPPING=1")
        if picture.is_serving and not self._is_ready:
            self._is_ready = True
            news += ["READY=1", "WATCHDOG=1"]
        self._state = picture.state
        text = status(picture)
        if news or text != self._status:
            self._status = text
            self._notifier.send(*news, f"STATUS={text}")
        if "READY=1" in news:
            self._on_ready()


def title(name: str, picture: Picture) -> str:
    """``jobd 0.1.0 daily_mood [3 of 8 busy] stopping``."""
    return f"{name} [{picture.busy} of {picture.workers} busy]{_SUFFIXES[picture.state]}"


def status(picture: Picture) -> str:
    """One line for ``systemctl status``."""
    jobs = f"{picture.busy} job{'' if picture.busy == 1 else 's'}"
    match picture.state:
        case InstanceState.STOPPING:
            left = f"{max(0.0, picture.left_s):.0f} s left"
            return f"draining {jobs}, {left if picture.left_s < float('inf') else 'no limit'}"
        case InstanceState.QUIET:
            return f"quiet, {jobs} running"
        case InstanceState.RUNNING:
            word = "ready" if picture.is_serving else "booting"
            text = f"{word} {picture.ready}/{picture.workers}, {jobs} running"
            text = f"{text}; {picture.note}" if picture.note else text
            if not picture.waiting:
                return text
            names = ", ".join(picture.waiting)
            return f"degraded: {text}; died too early, started again later: {names}"
