"""Workers that have run enough jobs, are old enough, or have grown too big: they are replaced.

Replacement first: so a worker runs somewhat more jobs than ``max_jobs``. Each worker has limits a
little above those that were set, or all of them would leave at once. Memory counts when several
looks have found too much of it, each of them after another job, or without one: a job may need it.

Source: uwsgi's max-requests and reload-on-rss, granian's samples.
"""

import random
from collections.abc import Callable
from typing import Final

import msgspec

from jobd.clock import Clock
from jobd.proc import size_bytes
from jobd.scoreboard import SlotState
from jobd.supervisor.child import Handle
from jobd.supervisor.plan import Wear
from jobd.supervisor.slot import Slot
from jobd.supervisor.slots import Slots

_LOOK_EVERY_S: Final = 1.0
_SAMPLES: Final = 3
_SPREAD: Final = 0.1


class Worn(msgspec.Struct):
    """What is known of one worker.

    Attributes:
        factor: by which its limits are above those that were set.
        first: jobs that its slot had run before.
        samples: looks in a row that found it too big.
        seen: jobs that its slot had run at the last of them.
    """

    factor: float
    first: int
    samples: int = 0
    seen: int = -1

    def sample(self, size_bytes: int, limit_bytes: int, state: SlotState) -> bool:
        """Take note of its size; whether it has been too big for long enough."""
        if size_bytes <= limit_bytes * self.factor:
            self.samples = 0
        elif state.processed != self.seen or not state.is_busy:
            self.samples, self.seen = self.samples + 1, state.processed
        return self.samples >= _SAMPLES


def reason(wear: Wear, worn: Worn, state: SlotState, age_s: float) -> str | None:
    """Why a worker is to be replaced, but for its size; None if it is not."""
    jobs = state.processed - worn.first
    if wear.max_jobs is not None and jobs >= wear.max_jobs * worn.factor:
        return f"it has run {jobs} jobs"
    if wear.max_age_s is not None and age_s >= wear.max_age_s * worn.factor:
        return f"it is {age_s:.0f} s old"
    return None


class WearWatch:
    """Looks at all workers once a second, and at the size of one of them.

    Args:
        slots: where they sit.
        replace: called with a worker's slot, and why it is to be replaced.
        clock: for the second.
        rng: for the spread.
    """

    def __init__(
        self,
        slots: Slots,
        replace: Callable[[Slot, str], None],
        *,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._slots = slots
        self._replace = replace
        self._rng = rng
        self._worn: dict[Handle, Worn] = {}
        self._looked_at = clock.monotonic()
        self._turn = 0

    def look(self, now: float) -> None:
        """If it is time."""
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        known, self._worn = self._worn, {}
        ready = [slot for slot in self._slots.serving() if slot.has_ready_child]
        for slot in ready:
            state = self._slots.left_behind(slot.child) if slot.child is not None else None
            if slot.child is not None and state is not None:
                worn = known.get(slot.child) or self._new(state)
                self._worn[slot.child] = worn
                why = reason(slot.generation.wear, worn, state, now - slot.child.spawned_at)
                if why is not None:
                    self._replace(slot, why)
        self._turn += 1
        if ready:
            self._weigh(ready[self._turn % len(ready)])

    def _new(self, state: SlotState) -> Worn:
        return Worn(self._rng.uniform(1, 1 + _SPREAD), state.processed)

    def _weigh(self, slot: Slot) -> None:
        """One worker a turn: the kernel walks all its page tables for it."""
        limit, child = slot.generation.wear.max_memory_bytes, slot.child
        worn = self._worn.get(child) if child is not None else None
        state = self._slots.left_behind(child) if child is not None else None
        if limit is None or child is None or worn is None or state is None:
            return
        is_shared = slot.generation.preload is not None
        size = size_bytes(child.pid, is_shared=is_shared)
        if worn.sample(size, limit, state):
            self._replace(slot, f"it has {size // 1_000_000} MB")
