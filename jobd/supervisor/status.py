"""What the master shows of itself: its process title, and what systemd hears.

Title and STATUS change at most once a second, or at once with the state of the instance.
"""

import os
from typing import Final

import msgspec
import setproctitle

from jobd.clock import Clock
from jobd.scoreboard import InstanceState, Scoreboard
from jobd.supervisor.plan import Plan
from jobd.supervisor.sd_notify import EXTENSION, Notifier
from jobd.supervisor.slots import Slots

_INTERVAL_S: Final = 1.0
_SUFFIXES: Final = {
    InstanceState.RUNNING: "",
    InstanceState.QUIET: " quiet",
    InstanceState.STOPPING: " stopping",
}
_REASONS: Final = {
    os.EX_SOFTWARE: "the master failed in every turn; the log has the errors",
    os.EX_TEMPFAIL: "not a single process can be started; the log has the reason",
    os.EX_CONFIG: "the application cannot be loaded; the log has the reason",
}


class Picture(msgspec.Struct, frozen=True):
    """The instance at one moment.

    Attributes:
        ready: workers that have booted.
        waiting: who waits before the next start, because the last one died too early.
        is_serving: the poller and at least one worker are ready.
        left_s: until running jobs are interrupted; while stopping.
        redis_away_s: for how long Redis has not answered; 0 if it does.
        notice: what became of the last reload, if there was one.
    """

    state: InstanceState
    workers: int
    ready: int
    busy: int
    waiting: tuple[str, ...]
    is_serving: bool
    left_s: float
    redis_away_s: float = 0.0
    notice: str = ""


class Reporter:
    """Says it where people and systemd look.

    Args:
        plan: for the name, for how long systemd is asked to wait for READY, and for whom to call
            then.
        slots: whose children are counted.
        scoreboard: where the poller tells of Redis.
        clock: for the interval.
    """

    def __init__(self, plan: Plan, slots: Slots, scoreboard: Scoreboard, *, clock: Clock) -> None:
        self._name = " ".join(filter(None, ("jobd", plan.version, plan.tag)))
        self._on_ready = plan.on_ready
        self._slots = slots
        self._scoreboard = scoreboard
        self._boot_until = clock.monotonic() + plan.generation.boot_timeout_s
        self._notifier = Notifier(clock)
        self._clock = clock
        self._next_at = 0.0
        self._state: InstanceState | None = None
        self._status = ""
        self._notice = ""
        self._is_ready = False

    def open(self) -> None:
        """Find out whether systemd listens."""
        self._notifier.open()

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
                    redis_away_s=self._redis_away_s(now),
                    notice=self._notice,
                )
            )
        if state is InstanceState.STOPPING or (not self._is_ready and now < self._boot_until):
            self._notifier.extend()
        self._notifier.ping()

    def next_ping(self) -> float | None:
        """When the watchdog has to be told again, in monotonic seconds."""
        return self._notifier.next_ping()

    def reload_begins(self) -> None:
        """Settings are about to be read again, or workers to be replaced."""
        if self._is_ready:
            self._notifier.reloading()

    def reload_goes_on(self, with_what: str) -> None:
        """Show from now on what it does."""
        self._notice = with_what
        self._next_at = 0.0

    def reload_ends(self, outcome: str) -> None:
        """It is over, and all still serve or serve again.

        Args:
            outcome: shown behind the status from now on: ``reload refused: ...``.
        """
        self._notice = outcome
        if self._is_ready:
            self._notifier.send("READY=1")
        self._next_at = 0.0

    def ends(self, status: int, why: str = "") -> None:
        """The master is about to leave with this exit status.

        Args:
            status: 0 says nothing more.
            why: in one line, if it is not what the status always means.
        """
        if status != os.EX_OK:
            self._notifier.failed(status, why or _REASONS[status])

    def _redis_away_s(self, now: float) -> float:
        since = self._scoreboard.redis_away_since
        return now - since if since else 0.0

    def _show(self, picture: Picture) -> None:
        setproctitle.setproctitle(title(self._name, picture))
        news: list[str] = []
        if picture.state is InstanceState.STOPPING and self._state is not picture.state:
            news += ["STOPPING=1", EXTENSION]  # at once: the last one may have been for the start
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
            troubles = _troubles(picture)
            text = f"degraded: {text}; {troubles}" if troubles else text
            return f"{text}; {picture.notice}" if picture.notice else text


def _troubles(picture: Picture) -> str:
    troubles: list[str] = []
    if picture.waiting:
        names = ", ".join(picture.waiting)
        troubles.append(f"died too early, started again later: {names}")
    if picture.redis_away_s:
        troubles.append(f"Redis does not answer for {picture.redis_away_s:.0f} s")
    return "; ".join(troubles)
