"""Stopping: who is signalled when, and killed if that does not help.

TERM to the workers; at the deadline USR2 to those that are still busy; 3 s later KILL; when the
last of them has left, TERM to the poller; when that has left, the end. It is carried on by the
master's own loop, which reaps and obeys meanwhile.
"""

import signal
from collections.abc import Iterator
from typing import Final

import msgspec

from jobd import log
from jobd.scoreboard import InstanceState, Scoreboard, State
from jobd.supervisor.child import POLLER, Handle
from jobd.supervisor.slots import Slots

NEVER: Final = float("inf")
KILL_AFTER_S: Final = 3.0
"""Between asking a worker to give its job back and SIGKILL."""
POLLER_LEAVES_S: Final = 5.0
"""For the poller to return what killed workers held."""


class Stop(msgspec.Struct):
    """What happens when, in monotonic seconds.

    Attributes:
        code: the exit status of the instance.
        interrupt_at: running jobs are given back.
        kill_at: workers that have not left are killed.
        is_fast: nothing was allowed to finish.
        is_interrupted: the running jobs have been told.
        poller_kill_at: when the poller is killed; `NEVER` until the workers are gone.
    """

    code: int
    interrupt_at: float
    kill_at: float
    is_fast: bool
    is_interrupted: bool = False
    poller_kill_at: float = NEVER


class Stopping:
    """The end of an instance, once it was asked for.

    Args:
        slots: who has to leave.
        scoreboard: where the children see it.

    Attributes:
        exit_code: of the instance; None until nobody is left.
    """

    def __init__(self, slots: Slots, scoreboard: Scoreboard) -> None:
        self._slots = slots
        self._scoreboard = scoreboard
        self._stop: Stop | None = None
        self._is_interrupted = False
        self.exit_code: int | None = None

    @property
    def has_begun(self) -> bool:
        """Stopping is final."""
        return self._stop is not None

    def gracefully(self, now: float) -> None:
        """Let running jobs finish for a while; repeats change nothing."""
        if self._stop is not None:
            return
        seconds = self._slots[POLLER].generation.timeout_s
        shown = f"{seconds:g} s" if seconds < NEVER else "unlimited"
        log.event("stopping", timeout=shown, running=len(self._slots.busy_workers()))
        self._begin(Stop(0, now + seconds, now + seconds + KILL_AFTER_S, is_fast=False))

    def fast(self, now: float, code: int = 0) -> None:
        """Have running jobs given back at once."""
        if self._stop is not None and self._stop.is_fast:
            return
        log.event("stopping now", running=len(self._slots.busy_workers()))
        poller_kill_at = NEVER
        if self._stop is not None:
            code, poller_kill_at = self._stop.code, self._stop.poller_kill_at
        stop = Stop(code, NEVER, now + KILL_AFTER_S, is_fast=True, poller_kill_at=poller_kill_at)
        self._begin(stop)

    def interrupt(self, now: float) -> None:
        """Ctrl-C: first as TERM, a second time as QUIT."""
        stop = self.fast if self._is_interrupted else self.gracefully
        self._is_interrupted = True
        stop(now)

    def give_up(self, code: int) -> None:
        """Leave at the end of this turn, whoever is still there."""
        self.exit_code = code

    def deadlines(self) -> Iterator[float]:
        """When something will have to be done; some may have passed."""
        if self._stop is not None:
            yield from (self._stop.interrupt_at, self._stop.kill_at, self._stop.poller_kill_at)

    def left_s(self, now: float) -> float:
        """Seconds that running jobs still have."""
        stop = self._stop
        return min(stop.interrupt_at, stop.kill_at) - now if stop is not None else 0.0

    def carry_on(self, now: float) -> None:
        """Do what is due."""
        stop, workers, poller = self._stop, self._slots.workers(), self._slots.poller
        if stop is None:
            return
        if workers:
            self._press(workers, stop, now)
        elif helpers := self._slots.helpers():
            self._press(helpers, stop, now)
        elif poller is None:
            self.exit_code = stop.code
        elif stop.poller_kill_at == NEVER:
            # Last, for it returns what killed workers held; and it has been told of them before.
            stop.poller_kill_at = now + POLLER_LEAVES_S
            poller.ask_to_stop(signal.SIGTERM)
        elif now >= stop.poller_kill_at and not poller.is_killed:
            log.event("the poller does not leave: killed", level="warning", child=poller.pid)
            poller.kill()

    def _begin(self, stop: Stop) -> None:
        self._stop = stop
        self._scoreboard.set_instance_state(InstanceState.STOPPING)
        for helper in self._slots.helpers():
            helper.ask_to_stop(signal.SIGTERM)
        for handle in self._slots.workers():
            self._slots.assign(self._slots[handle.slot], State.STOPPING)
            handle.ask_to_stop(signal.SIGQUIT if stop.is_fast else signal.SIGTERM)

    def _press(self, workers: list[Handle], stop: Stop, now: float) -> None:
        if now >= stop.kill_at:
            for handle in workers:
                if not handle.is_killed:
                    log.event("a worker does not leave: killed", level="warning", child=handle.pid)
                    handle.kill()
        elif now >= stop.interrupt_at and not stop.is_interrupted:
            stop.is_interrupted = True
            busy = [handle for handle in workers if self._slots.is_busy(handle)]
            log.event("time is up: running jobs are given back", running=len(busy))
            for handle in busy:
                handle.signal(signal.SIGUSR2)
