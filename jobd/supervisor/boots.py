"""Children between fork and READY: those that get there, that cannot, and that take too long."""

import os
from collections.abc import Iterator

from jobd import log
from jobd.scoreboard import State
from jobd.supervisor.child import POLLER, Handle
from jobd.supervisor.deaths import Deaths
from jobd.supervisor.hearing import Hearing
from jobd.supervisor.messages import BootFailed, Born, CannotPreload, Ended, Message, Ready, Seats
from jobd.supervisor.slots import Slots
from jobd.supervisor.stop import Stopping


class Boots:
    """Watches children boot.

    Args:
        slots: whose children they are.
        deaths: which every new poller is told.
        stopping: begun here when nothing can ever boot.
    """

    def __init__(self, slots: Slots, *, deaths: Deaths, stopping: Stopping) -> None:
        self._slots = slots
        self._deaths = deaths
        self._stopping = stopping
        self._was_worker_ready = False
        self._told_failure = ""

    def begin(self, handle: Handle, now: float) -> None:
        """It is about to be forked."""
        handle.boot_deadline = now + self._slots[handle.slot].generation.boot_timeout_s

    def forgive(self, gap_s: float) -> None:
        """The machine stood still: that is not the children's time."""
        for handle in self._booting():
            handle.boot_deadline += gap_s
            handle.born_deadline += gap_s

    def deadlines(self) -> Iterator[float]:
        """When something will have to be done; some may have passed."""
        return (handle.boot_deadline for handle in self._booting())

    def understand(self, handle: Handle, message: Message, now: float) -> bool:
        """Take note of what a child tells of its boot; whether it was that."""
        match message:
            case Ready(pid=handle.pid) if handle.ready_at is None:
                self._succeeded(handle, now)
            case BootFailed() if handle.ready_at is None:
                self._failed(handle, message, now)
            case Born(pid) if handle.slot > POLLER and not handle.pid:
                self._born(handle, pid)
            case Ended() if not handle.pid:
                self._never_born(handle, now)
            case CannotPreload(reasons) if handle.slot < POLLER:
                self._cannot_preload(handle, reasons)
            case _:
                return False
        return True

    def _succeeded(self, handle: Handle, now: float) -> None:
        handle.became_ready(now)
        slot = self._slots[handle.slot]
        slot.has_booted = True
        took = now - handle.spawned_at
        log.event(f"{slot.name} ready", level="debug", child=handle.pid, elapsed=took)
        if not self._stopping.has_begun:
            self._slots.assign(slot, State.IDLE)
        if handle.slot > POLLER:
            self._was_worker_ready = True
            self._tell_of_seats()
        if handle.slot == POLLER:
            for died in self._deaths:
                handle.send(died)

    def _failed(self, handle: Handle, failed: BootFailed, now: float) -> None:
        slot = self._slots[handle.slot]
        if self._stopping.has_begun:
            return
        slot.log_boot_failure(failed.text, is_known=failed.text == self._told_failure)
        self._told_failure = failed.text
        is_hopeless = failed.kind == "config" and not self._was_worker_ready
        if is_hopeless and slot.kind != "trial":
            log.event("nothing has booted, and nothing would if tried again", level="fatal")
            self._stopping.fast(now, os.EX_CONFIG)

    def _born(self, handle: Handle, pid: int) -> None:
        """The mold has forked it."""
        handle.was_born(pid)
        stopping = self._stopping.has_begun
        self._slots.assign(self._slots[handle.slot], State.STOPPING if stopping else State.BOOTING)
        self._tell_of_seats()

    def _tell_of_seats(self) -> None:
        """Have the poller publish them: only the death of a pid that others know can be proved."""
        poller = self._slots.ready_poller
        if poller is not None:
            poller.send(Seats(type="seats"))

    def _never_born(self, handle: Handle, now: float) -> None:
        """Nobody holds the other end of its pipe any more, and no pid was ever told."""
        handle.close()
        slot = self._slots[handle.slot]
        if self._stopping.has_begun:
            slot.child = None  # the mold has left
        else:
            slot.stay_empty("the mold did not do it", now)
        if slot.is_retired:
            self._slots.remove(slot)

    def _cannot_preload(self, handle: Handle, reasons: str) -> None:
        self._slots[handle.slot].is_retired = True
        log.event(
            "no preload: importing the application left what a fork would break, so each worker "
            "imports it itself, and takes more memory; start and open such things in a startup "
            "hook, or set preload: false",
            level="warning",
            found=reasons,
        )

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
        slot = self._slots[handle.slot]
        seconds = f"{slot.generation.boot_timeout_s:g} s"
        slot.failure = f"it was not ready in {seconds}"
        log.event(f"{slot.name} not ready in {seconds}: killed", level="error", child=handle.pid)
        handle.kill()

    def _booting(self) -> list[Handle]:
        return [handle for handle in self._slots.children() if handle.ready_at is None]
