"""Workers that have run enough jobs, are old enough, or have grown too big: they are replaced.

Replacement first: so a worker runs somewhat more jobs than ``max_jobs``. Each worker has limits a
little above those that were set, or all of them would leave at once. Memory counts when several
looks have found too much of it, each of them after another job, or without one: a job may need it.

Half as much again is too much for one job, too: where several looks in a row find that during the
same job, the worker is killed, and the job has failed as one that outran its ``time_limit``.

Source: uwsgi's max-requests, reload-on-rss and evil-reload-on-rss, granian's samples.
"""

import random
import signal
from collections.abc import Callable
from typing import Final

import msgspec

from jobd import log
from jobd.clock import Clock
from jobd.proc import resident_bytes, share_bytes
from jobd.scoreboard import SlotState
from jobd.supervisor.child import Handle
from jobd.supervisor.plan import Wear
from jobd.supervisor.slot import Slot
from jobd.supervisor.slots import Slots

_LOOK_EVERY_S: Final = 1.0
_SAMPLES: Final = 3
_SPREAD: Final = 0.1
_FAR_BEYOND: Final = 1.5
_MOST_WEIGHED: Final = 4
"""In one turn: the kernel walks all page tables of a process for its share of common memory."""


class Worn(msgspec.Struct):
    """What is known of one worker.

    Attributes:
        factor: by which its limits are above those that were set.
        first: jobs that its slot had run before.
        samples: looks in a row that found it too big.
        seen: jobs that its slot had run at the last of them.
        huge: looks in a row that found it far too big during the same job.
        during: jobs that its slot had run before that one.
    """

    factor: float
    first: int
    samples: int = 0
    seen: int = -1
    huge: int = 0
    during: int = -1

    def sample(self, size_bytes: int, limit_bytes: int, state: SlotState) -> bool:
        """Take note of its size; whether it has been too big for long enough."""
        if size_bytes <= limit_bytes * self.factor:
            self.samples = 0
        elif state.processed != self.seen or not state.is_busy:
            self.samples, self.seen = self.samples + 1, state.processed
        if size_bytes <= limit_bytes * _FAR_BEYOND or not state.is_busy:
            self.huge = 0
        else:
            self.huge = self.huge + 1 if state.processed == self.during else 1
            self.during = state.processed
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
        big: list[tuple[Slot, Handle, SlotState]] = []
        for slot in self._slots:
            child = slot.child
            state = self._slots.left_behind(child) if slot.is_worker and child else None
            if child is None or state is None or child.ready_at is None or child.is_killed:
                continue
            worn = self._worn[child] = known.get(child) or self._new(state)
            why = reason(slot.generation.wear, worn, state, now - child.spawned_at)
            if why is not None:
                self._recycle(slot, why)
            if self._may_be_too_big(slot, child, state):
                big.append((slot, child, state))
        self._turn += 1
        first = self._turn % len(big) if big else 0
        for slot, child, state in (big[first:] + big[:first])[:_MOST_WEIGHED]:
            self._weigh(slot, child, state)

    def _new(self, state: SlotState) -> Worn:
        return Worn(self._rng.uniform(1, 1 + _SPREAD), state.processed)

    def _recycle(self, slot: Slot, why: str) -> None:
        """Unless it leaves anyhow, as those do that only finish their job."""
        if slot.replaces is None and not slot.is_retired:
            self._replace(slot, why)

    def _may_be_too_big(self, slot: Slot, child: Handle, state: SlotState) -> bool:
        limit = slot.generation.wear.max_memory_bytes
        worn = self._worn[child]
        if limit is None:
            return False
        size = resident_bytes(child.pid)
        is_big = size > limit * worn.factor
        if not is_big:  # nor is its share
            worn.sample(size, limit, state)
        return is_big

    def _weigh(self, slot: Slot, child: Handle, state: SlotState) -> None:
        limit, worn = slot.generation.wear.max_memory_bytes or 0, self._worn[child]
        is_shared = slot.generation.preload is not None
        size = share_bytes(child.pid) if is_shared else resident_bytes(child.pid)
        if worn.sample(size, limit, state):
            self._recycle(slot, f"it has {size // 1_000_000} MB")
        if worn.huge == _SAMPLES - 1:
            child.signal(signal.SIGTTIN)  # what does the job do that takes so much?
        elif worn.huge >= _SAMPLES:
            child.outgrown = limit
            log.event(
                f"{slot.name} is killed: its job makes it grow far beyond worker.max_memory",
                level="error",
                child=child.pid,
                bytes=size,
                max_memory=limit,
                job=state.name,
                job_jid=state.jid,
            )
            child.kill()
