"""Children between fork and READY: those that get there, that cannot, and that take too long."""

import os
from collections.abc import Iterator

from jobd import log
from jobd.scoreboard import State
from jobd.supervisor.child import POLLER, BootFailed, Handle
from jobd.supervisor.deaths import Deaths
from jobd.supervisor.hearing import Hearing
from jobd.supervisor.slots import Slots
from jobd.supervisor.stop import Stopping


class Boots:
    """Watches children boot.

    Args:
        slots: whose children they are.
        deaths: which every new poller is told.
        stopping: begun here when nothing can ever boot.
        timeout_s: after which a child that is not ready is killed.
    """

    def __init__(
        self, slots: Slots, *, deaths: Deaths, stopping: Stopping, timeout_s: float
    ) -> None:
        self._slots = slots
        self._deaths = deaths
        self._stopping = stopping
        self._timeout_s = timeout_s
        self._was_worker_ready = False
        self._told_failure = ""

    def begin(self, handle: Handle, now: float) -> None:
        """It is about to be forked."""
        handle.boot_deadline = now + self._timeout_s

    def forgive(self, gap_s: float) -> None:
        """The machine stood still: that is not the children's time."""
        for handle in self._booting():
            handle.boot_deadline += gap_s

    def deadlines(self) -> Iterator[float]:
        """When something will have to be done; some may have passed."""
        return (handle.boot_deadline for handle in self._booting())

    def succeeded(self, handle: Handle, now: float) -> None:
        """READY has come."""
        handle.became_ready(now)
        slot = self._slots[handle.slot]
        took = now - handle.spawned_at
        log.event(f"{slot.name} ready", level="debug", child=handle.pid, elapsed=took)
        if not self._stopping.has_begun:
            self._slots.assign(slot, State.IDLE)
        if handle.slot != POLLER:
            self._was_worker_ready = True
            return
        for died in self._deaths:
            handle.send(died)

    def failed(self, handle: Handle, failed: BootFailed, now: float) -> None:
        """It has told why it leaves."""
        slot = self._slots[handle.slot]
        if self._stopping.has_begun:
            return
        slot.log_boot_failure("as before" if failed.text == self._told_failure else failed.text)
        self._told_failure = failed.text
        if failed.kind == "config" and not self._was_worker_ready:
            log.event("nothing has booted, and nothing would if tried again", level="fatal")
            self._stopping.fast(now, os.EX_CONFIG)

    def end_long_ones(self, hearing: Hearing, now: float) -> None:
        """Kill those that are not ready in time."""
        for handle in self._booting():
            if now >= handle.boot_deadline and not handle.is_killed:
                # If we were stopped meanwhile, its READY is in the pipe, though select() found
                # nothing (PEP 475: interrupted, and past its timeout, it does not look again).
                hearing.hear(handle, now)
                if handle.ready_at is None:
                    self._end(handle)

    def _end(self, handle: Handle) -> None:
        name, seconds = self._slots[handle.slot].name, f"{self._timeout_s:g} s"
        log.event(f"{name} not ready in {seconds}: killed", level="error", child=handle.pid)
        handle.kill()

    def _booting(self) -> list[Handle]:
        return [handle for handle in self._slots.children() if handle.ready_at is None]
