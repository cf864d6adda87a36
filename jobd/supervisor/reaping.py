"""The dead: who they were, and what is to be told of them."""

import contextlib
import os
import signal

from jobd import log, signals
from jobd.scoreboard import State
from jobd.supervisor.child import POLLER, Handle
from jobd.supervisor.deaths import Deaths
from jobd.supervisor.hearing import Hearing
from jobd.supervisor.slots import Slots
from jobd.supervisor.stop import Stopping
from jobd.supervisor.store_keeper import StoreKeeper


class Reaper:
    """Reaps whatever has died, each time that it is asked.

    Args:
        slots: whose children are ours.
        hearing: for last words.
        deaths: where the poller's part is kept.
        store: the embedded one.
        stopping: whether seats are filled again.
    """

    def __init__(
        self,
        slots: Slots,
        hearing: Hearing,
        *,
        deaths: Deaths,
        store: StoreKeeper,
        stopping: Stopping,
    ) -> None:
        self._slots = slots
        self._hearing = hearing
        self._deaths = deaths
        self._store = store
        self._stopping = stopping

    def reap(self, now: float) -> None:
        """Take note of every child that has died or was stopped."""
        with contextlib.suppress(ChildProcessError):  # there is none at all
            while (found := os.waitpid(-1, os.WNOHANG | os.WUNTRACED))[0]:
                self._note(*found, now)

    def _note(self, pid: int, status: int, now: float) -> None:
        handle = self._slots.find(pid) or self._newly_born(pid, now)
        if os.WIFSTOPPED(status):
            if handle is not None:
                name = signal.Signals(os.WSTOPSIG(status)).name
                log.event("a child was stopped", level="warning", child=pid, signal=name)
        elif handle is not None:
            self._bring_to_an_end(handle, status, now)
        elif self._store.is_it(pid):
            self._store.died(status, now)
        else:
            # As pid 1, or below a subreaper, strangers' children come to us too.
            reason = signals.describe_exit(status)
            log.event("a stranger was reaped", level="debug", child=pid, status=reason)

    def _newly_born(self, pid: int, now: float) -> Handle | None:
        """A worker of the mold may die before we have read its pid."""
        for handle in self._slots.workers():
            if not handle.pid:
                self._hearing.hear(handle, now)
        return self._slots.find(pid)

    def _bring_to_an_end(self, handle: Handle, status: int, now: float) -> None:
        """Close the books of a child that was just reaped."""
        handle.is_reaped = True
        self._hearing.end(handle, now)
        # Before a new incarnation writes over it.
        left = self._slots.left_behind(handle)
        slot = self._slots[handle.slot]
        slot.vacate(status, left, now)
        # Told before the seat is shown as empty, so that no sweep finds the lists before the blame.
        if handle.slot > POLLER and handle.ready_at is not None:
            for died in self._deaths.add(handle, status, self._slots.left_by_threads(handle)):
                if self._slots.ready_poller is not None:
                    self._slots.ready_poller.send(died)
        is_over = self._stopping.has_begun or not slot.is_wanted
        self._slots.assign(slot, State.EMPTY if is_over else State.WAITING)
        if slot.is_retired:
            self._slots.remove(slot)
