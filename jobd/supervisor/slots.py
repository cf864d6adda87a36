"""All places of an instance, and the scoreboard that shows them to its children."""

import contextlib
import random
import resource
from collections.abc import Callable, Iterator
from typing import Final

from jobd import log
from jobd.clock import Clock
from jobd.scoreboard import Scoreboard, SlotState, State
from jobd.supervisor.brake import Brake
from jobd.supervisor.child import POLLER, Handle
from jobd.supervisor.plan import Generation
from jobd.supervisor.slot import Kind, Slot, shown_job

_LOOK_EVERY_S: Final = 0.2


class Slots:
    """The slots, the poller's first.

    Args:
        scoreboard: has a page for each worker.
        clock: for what is looked at now and then.
        rng: for the brakes.
    """

    def __init__(self, scoreboard: Scoreboard, *, clock: Clock, rng: random.Random) -> None:
        self._slots: dict[int, Slot] = {}
        self._scoreboard = scoreboard
        self._clock = clock
        self._rng = rng
        self._incarnations: dict[int, int] = {}  # of numbers that are free again
        self._last_helper = 0
        self._looked_at = 0.0

    # Who there is

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._slots.values()))

    def __getitem__(self, number: int) -> Slot:
        return self._slots[number]

    @property
    def poller(self) -> Handle | None:
        """The poller, while there is one."""
        return self._slots[POLLER].child

    @property
    def ready_poller(self) -> Handle | None:
        """The poller, while there is one that listens."""
        poller = self.poller
        return poller if poller is not None and poller.ready_at is not None else None

    def mold(self, generation: Generation) -> Slot | None:
        """What forks the workers of a generation; None if the master does."""
        molds = (slot for slot in self if slot.kind == "mold" and not slot.is_retired)
        return next((slot for slot in molds if slot.generation is generation), None)

    def serving(self) -> list[Slot]:
        """The workers that there should be: neither on trial nor about to leave."""
        return [s for s in self if s.is_worker and not s.is_retired and s.replaces is None]

    def children(self) -> list[Handle]:
        """All that live, or have died and were not reaped yet."""
        return [slot.child for slot in self if slot.child is not None]

    def find(self, pid: int) -> Handle | None:
        """The child of that pid, if it is known."""
        return next((handle for handle in self.children() if handle.pid == pid), None)

    def slot_of(self, handle: Handle) -> Slot | None:
        """Where a child sits; None if it has left."""
        return next((slot for slot in self if slot.child is handle), None)

    def workers(self) -> list[Handle]:
        """The children that are workers."""
        return [slot.child for slot in self if slot.is_worker and slot.child is not None]

    def helpers(self) -> list[Handle]:
        """The children that are molds or trials."""
        return [handle for handle in self.children() if handle.slot < POLLER]

    def ready_workers(self) -> list[Handle]:
        """Workers that have booted."""
        return [handle for handle in self.workers() if handle.ready_at is not None]

    def busy_workers(self) -> list[Handle]:
        """Workers that run a job."""
        return [handle for handle in self.workers() if self.is_busy(handle)]

    def startable(self) -> list[Slot]:
        """Where there should be a child, and can be one by now."""
        return [slot for slot in self if slot.is_wanted and self._has_parent(slot)]

    def _has_parent(self, slot: Slot) -> bool:
        mold = self.mold(slot.generation) if slot.is_worker else None
        return mold is None or (mold.child is not None and mold.child.ready_at is not None)

    def waiting(self, now: float) -> tuple[str, ...]:
        """Names of the slots whose next child has to wait."""
        waiting = (slot for slot in self if slot.child is None and slot.is_wanted)
        return tuple(slot.name for slot in waiting if slot.due > now)

    # How they come and go

    def add(
        self,
        kind: Kind,
        generation: Generation,
        *,
        group: str = "",
        replaces: Slot | None = None,
    ) -> Slot | None:
        """A new slot; None if the scoreboard has no page left for it."""
        number = self._free_number(kind)
        if number is None:
            return None
        slot = Slot(number, kind, Brake(self._rng), generation, group=group, replaces=replaces)
        slot.incarnation = self._incarnations.pop(number, 0)
        if slot.is_worker:  # what others have run on this page does not count for its brake
            slot.processed = self._scoreboard.read(number).processed
        self._slots[number] = slot
        return slot

    def remove(self, slot: Slot) -> None:
        """Forget an empty slot; who takes its number goes on with its incarnations."""
        slot.drop_stacks()
        self._incarnations[slot.number] = slot.incarnation
        self._slots.pop(slot.number, None)

    def _free_number(self, kind: Kind) -> int | None:
        if kind == "poller":
            return POLLER
        if kind == "worker":
            numbers = range(1, self._scoreboard.slots + 1)
            return next((number for number in numbers if number not in self._slots), None)
        self._last_helper -= 1
        return self._last_helper

    def make_room(self, workers: int) -> None:
        """Let the master have two descriptors a child, and what a roll needs for a second one.

        Only if the soft limit is below that: a job may use select(2), which ends at 1,024.
        """
        needed = 4 * workers + 64
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft in {hard, resource.RLIM_INFINITY} or soft >= needed:
            return
        with contextlib.suppress(OSError, ValueError):  # a hard one above fs.nr_open
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            log.event("limit of open files raised", level="debug", before=soft, now=hard)

    # What they show

    def left_behind(self, handle: Handle) -> SlotState | None:
        """The child's half of its slot; None if this child has not written there yet."""
        if handle.slot < POLLER:
            return None
        seen = self._scoreboard.read(handle.slot)
        return seen if seen.incarnation == handle.incarnation else None

    def left_by_threads(self, handle: Handle) -> dict[int, SlotState | None]:
        """What each of its threads that run jobs has written; None: nothing."""
        if self.left_behind(handle) is None:
            return {0: None}
        pages = {
            n: self._scoreboard.read_thread(handle.slot, n)
            for n in self._scoreboard.threads(handle.slot)
        }
        own = handle.incarnation
        return {n: seen if seen.incarnation == own else None for n, seen in pages.items()}

    def is_busy(self, handle: Handle) -> bool:
        """Whether this child runs a job."""
        left = self.left_behind(handle)
        return left is not None and left.is_busy

    def assign(self, slot: Slot, state: State) -> None:
        """Show the children who sits in the slot.

        Not while it is only ordered from the mold: a sweep that saw a new incarnation without a pid
        would take its jobs for a dead worker's.
        """
        if slot.number < POLLER or (slot.child is not None and not slot.child.pid):
            return
        self._scoreboard.assign(
            slot.number,
            state=state,
            pid=slot.child.pid if slot.child is not None else 0,
            incarnation=slot.incarnation,
            spawned=slot.spawned_ms / 1000,
            restarts=max(slot.starts - 1, 0),
            last_exit=slot.last_exit,
        )

    def log_stacks(self, is_for_others: Callable[[Handle], bool]) -> None:
        """What children have written since, each in one piece; looks at most every 0.2 s."""
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        for slot in self:
            if slot.child is None or slot.stacks is None or is_for_others(slot.child):
                continue
            if text := slot.stacks.take():
                log.event(
                    f"stacks of {slot.name}",
                    level="warning",
                    child=slot.child.pid,
                    stack=text,
                    **shown_job(self.left_behind(slot.child)),
                )

    def enter(self, number: int) -> None:
        """In a child: let go of what belongs to its siblings, and take up its own."""
        for slot in self:
            if slot.stacks is not None and slot.number != number:
                slot.stacks.close()
            elif slot.stacks is not None:
                slot.stacks.offer()

    def log_table(self) -> None:
        """One line for each slot."""
        for slot in self:
            self._log_state(slot)

    def _log_state(self, slot: Slot) -> None:
        now, child = self._clock.monotonic(), slot.child
        left = self.left_behind(child) if child is not None else None
        state = None
        if slot.number >= POLLER:
            state = self._scoreboard.read_assignment(slot.number).state.name.lower()
        log.event(
            f"state of {slot.name}",
            state=state,
            child=child.pid if child is not None else None,
            generation=slot.generation.number,
            doing=left.state.name.lower() if left is not None else None,
            **shown_job(left),
            age=f"{now - child.spawned_at:.1f} s" if child is not None else None,
            waits=f"{slot.due - now:.1f} s" if child is None and slot.due > now else None,
            restarts=max(slot.starts - 1, 0),
            last_exit=slot.last_exit or None,
        )
