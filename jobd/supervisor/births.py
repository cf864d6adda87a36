"""Births: which slots get a child now, the fork, and what the child does before its own work.

A worker is forked here, or by the mold if there is one (`jobd.supervisor.mold`), by the same order.

Source: docs/internals.md has the order of boot; the reasons for each step stand beside it.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

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
from jobd.supervisor.slots import MOLD, Slot, Slots

_LEAST_BOOTING: Final = 2


@dataclass(frozen=True, slots=True)
class Ties:
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
        self._budget = ForkBudget(plan.workers + 1, 2 * (plan.workers + 1), clock.monotonic())
        self._most_booting = max(len(os.sched_getaffinity(0)), _LEAST_BOOTING)

    @property
    def has_failed(self) -> bool:
        """Not a single child could ever be started."""
        return not any(slot.spawned_ms for slot in self._slots)

    def end_a_barren_mold(self, now: float) -> None:
        """Kill a mold that does not fork what it was asked for; the next one will."""
        mold = self._slots.mold
        if mold is None or mold.child is None or mold.child.is_killed:
            return
        late = [each for each in self._slots.workers() if not each.pid and now > each.born_deadline]
        if late:
            log.event("the mold forks no worker: killed", level="error", child=mold.child.pid)
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
            is_worker = slot.number > POLLER
            has_room = not is_worker or booting < self._most_booting
            if slot.child is None and slot.due <= now and has_room and self._budget.take(now):
                self._start(slot, now, is_quiet=is_quiet and is_worker)
                booting += is_worker

    def _start(self, slot: Slot, now: float, *, is_quiet: bool) -> None:
        try:
            handle, child = slot.prepare(self._plan.identity, now)
        except OSError as error:  # EMFILE, ENFILE
            slot.stay_empty(error.strerror, now)
            return
        self._boots.begin(handle, now)
        if is_quiet:
            handle.tell(signal.SIGTSTP)
        mold = self._slots.mold
        try:
            if mold is None or slot.number <= POLLER:
                self._fork(slot, handle, child)
            elif mold.child is not None and slot.stacks is not None:
                slot.child = handle
                mold.child.order(handle, [child.fileno(), slot.stacks.fileno()])
                self._ties.hearing.add(handle)
        except OSError as error:  # EAGAIN, ENOMEM; EPIPE of a mold that has just died
            handle.close()
            slot.stay_empty(error.strerror, now)
        else:
            slot.restarts += slot.incarnation > 1
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
            name = self._slots[child.slot].name
            booting = "" if child.slot == POLLER else " [booting]"
            setproctitle.setproctitle(f"jobd: {name}{booting}")
            code = child.work(self._work_of(child.slot))
        except BaseException as error:  # noqa: BLE001 - the frames above are the master's
            log.event("a child could not begin", level="fatal", error=error)
        finally:
            # Never sys.exit(): what it unwinds and what is registered to run is the master's.
            pipe.flush_stdio()
            os._exit(code & 0xFF)

    def _work_of(self, number: int) -> Callable[[Child], int]:
        plan, stacks = self._plan, self._slots[number].stacks
        if number != MOLD or plan.preload is None or stacks is None:
            return plan.run_poller if number == POLLER else plan.run_worker
        load, run_worker, fd = plan.preload, plan.run_worker, stacks.fileno()
        return lambda child: Mold(child, stacks_fd=fd, load=load, run_worker=run_worker).run()
