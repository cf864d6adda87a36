"""Births: which slots get a child now, the fork, and what the child does before its own work.

Source: docs/internals.md has the order of boot; the reasons for each step stand beside it.
"""

import os
import signal
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
from jobd.supervisor.pidfile import PidFile
from jobd.supervisor.plan import Plan
from jobd.supervisor.slots import Slot, Slots

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
            has_room = slot.is_poller or booting < self._most_booting
            if slot.child is None and slot.due <= now and has_room and self._budget.take(now):
                self._spawn(slot, now, is_quiet=is_quiet and not slot.is_poller)
                booting += not slot.is_poller

    def _spawn(self, slot: Slot, now: float, *, is_quiet: bool) -> None:
        try:
            handle, child = slot.prepare(self._plan.identity, now)
        except OSError as error:  # EMFILE, ENFILE
            slot.stay_empty(error, now)
            return
        self._boots.begin(handle, now)
        if is_quiet:
            handle.tell(signal.SIGTSTP)
        # What came between fork and the child's own handlers would be lost in it: the handler that
        # it inherits adds to a set which nobody there reads.
        with signals.blocked() as mask:
            pipe.flush_stdio()
            try:
                pid = os.fork()
            except OSError as error:  # EAGAIN, ENOMEM
                handle.close()
                slot.stay_empty(error, now)
            else:
                if pid == 0:
                    self._become(child, handle, mask)
                handle.pid, slot.child = pid, handle
                slot.restarts += slot.incarnation > 1
                slot.spawned_ms = self._clock.now_ms()
                self._slots.assign(slot, State.BOOTING)
                self._ties.hearing.add(handle)
        child.close()

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
            is_poller = child.slot == POLLER
            name = "poller" if is_poller else f"worker {child.slot} [booting]"
            setproctitle.setproctitle(f"jobd: {name}")
            code = child.work(self._plan.run_poller if is_poller else self._plan.run_worker)
        except BaseException as error:  # noqa: BLE001 - the frames above are the master's
            log.event("a child could not begin", level="fatal", error=error)
        finally:
            # Never sys.exit(): what it unwinds and what is registered to run is the master's.
            pipe.flush_stdio()
            os._exit(code & 0xFF)
