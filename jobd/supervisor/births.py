"""Births: which slots get a child now, the fork, and what the child does before its own work.

A worker is forked here, or by the mold if there is one (`jobd.supervisor.mold`), by the same order.

Source: docs/internals.md has the order of boot; the reasons for each step stand beside it.
"""

import os
import signal
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec
import setproctitle

from jobd import log, signals
from jobd.clock import Clock
from jobd.scoreboard import State
from jobd.supervisor import child as pipe
from jobd.supervisor.boots import Boots
from jobd.supervisor.brake import ForkBudget
from jobd.supervisor.child import POLLER, Child, Handle
from jobd.supervisor.hearing import Hearing
from jobd.supervisor.mold import Mold
from jobd.supervisor.pidfile import PidFile
from jobd.supervisor.plan import Plan
from jobd.supervisor.slot import Slot
from jobd.supervisor.slots import Slots

_LEAST_BOOTING: Final = 2


class Ties(msgspec.Struct, frozen=True):
    """What is the master's alone, and no child may keep."""

    inbox: signals.SignalInbox
    hearing: Hearing
    locks: list[PidFile]

    def cut(self, siblings: list[Handle]) -> None:
        """In a child, first of all."""
        # The wake-up fd is the master's: a signal to the child would wake the wrong loop.
        self.inbox.close()
        # All master's ends: as long as a sibling holds one, its owner hears no end of stream.
        for end in siblings:
            end.close()
        self.hearing.close()
        for lock in self.locks:
            lock.forget()


class Births:
    """Forks children.

    Args:
        plan: what they run.
        slots: where they sit.
        boots: who watches them boot.
        ties: cut in each child.
        clock: for the budget of forks.
    """

    def __init__(self, plan: Plan, slots: Slots, *, boots: Boots, ties: Ties, clock: Clock) -> None:
        self._plan = plan
        self._slots = slots
        self._boots = boots
        self._ties = ties
        self._clock = clock
        most = plan.generation.workers + 1
        self._budget = ForkBudget(most, 2 * most, clock.monotonic())
        self._has_tried = self._has_begun = False
        self._most_booting = max(len(os.sched_getaffinity(0)), _LEAST_BOOTING)

    @property
    def has_failed(self) -> bool:
        """Not a single child could ever be started."""
        return self._has_tried and not self._has_begun

    def end_a_barren_mold(self, now: float) -> None:
        """Kill a mold that does not fork what it was asked for; the next one will."""
        for handle in self._slots.workers():
            if not handle.pid and now > handle.born_deadline:
                mold = self._slots.mold(self._slots[handle.slot].generation)
                if mold is not None and mold.child is not None and not mold.child.is_killed:
                    log.event(
                        "the mold forks no worker: killed", level="error", child=mold.child.pid
                    )
                    mold.child.kill()

    def next_at(self) -> float:
        """When the next fork may happen, in monotonic seconds."""
        return self._budget.next_at()

    def start_due(self, slots: list[Slot], now: float, *, is_quiet: bool) -> None:
        """Fork for those of the slots that are empty and whose time has come.

        Args:
            slots: the poller's comes first and waits for nobody.
            now: monotonic seconds.
            is_quiet: new workers take no jobs.
        """
        booting = len(self._slots.workers()) - len(self._slots.ready_workers())
        for slot in slots:
            has_room = not slot.is_worker or booting < self._most_booting
            if slot.child is None and slot.due <= now and has_room and self._budget.take(now):
                self._start(slot, now, is_quiet=is_quiet and slot.is_worker)
                booting += slot.is_worker

    def _start(self, slot: Slot, now: float, *, is_quiet: bool) -> None:
        self._has_tried = True
        try:
            handle, child = slot.prepare(self._plan.identity, now)
        except OSError as error:  # EMFILE, ENFILE
            slot.stay_empty(error.strerror, now)
            return
        self._boots.begin(handle, now)
        if is_quiet:
            handle.tell(signal.SIGTSTP)
        mold = self._slots.mold(slot.generation) if slot.is_worker else None
        try:
            if mold is None:
                self._fork(slot, handle, child)
            elif mold.child is not None and slot.stacks is not None:
                slot.child = handle
                fds = [child.fileno(), slot.stacks.fileno()]
                mold.child.order(handle, slot.group, fds)
                self._ties.hearing.add(handle)
        except OSError as error:  # EAGAIN, ENOMEM; EPIPE of a mold that has just died
            handle.close()
            slot.stay_empty(error.strerror, now)
        else:
            self._has_begun = True
            slot.spawned_ms = self._clock.now_ms()
            self._slots.assign(slot, State.BOOTING)
        child.close()

    def _fork(self, slot: Slot, handle: Handle, child: Child) -> None:
        # What came between fork and the child's own handlers would be lost in it: the handler that
        # it inherits adds to a set which nobody there reads.
        with signals.blocked() as mask:
            pipe.flush_stdio()
            pid = os.fork()
            if pid == 0:
                self._become(child, handle, mask)
            handle.pid, slot.child = pid, handle
        self._ties.hearing.add(handle)

    def _become(self, child: Child, handle: Handle, mask: set[int]) -> NoReturn:
        """In the child: cut what ties it to the master's affairs, in this order, and go to work."""
        code = os.EX_SOFTWARE
        try:
            self._ties.cut([*self._slots.children(), handle])
            self._slots.enter(child.slot)
            # A session of its own: Ctrl-C and Ctrl-Z are for the master, KILL for the whole group.
            os.setsid()
            child.die_with_master()
            signals.set_mask(mask)
            slot = self._slots[child.slot]
            booting = "" if child.slot == POLLER else " [booting]"
            setproctitle.setproctitle(f"jobd: {slot.name}{booting}")
            code = child.work(self._work_of(slot))
        except BaseException as error:  # noqa: BLE001 - the frames above are the master's
            log.event("a child could not begin", level="fatal", error=error)
        finally:
            # Never sys.exit(): what it unwinds and what is registered to run is the master's.
            pipe.flush_stdio()
            os._exit(code & 0xFF)

    def _work_of(self, slot: Slot) -> Callable[[Child], int]:
        generation, renewal = slot.generation, self._plan.renewal
        match slot.kind:
            case "mold" if generation.preload is not None and slot.stacks is not None:
                load, run_worker = generation.preload, generation.run_worker
                fd = slot.stacks.fileno()
                return lambda child: Mold(
                    child, stacks_fd=fd, load=load, run_worker=run_worker
                ).run()
            case "trial" if renewal is not None:
                return renewal.attempt
            case "poller":
                return generation.run_poller
            case _:
                return generation.run_worker
