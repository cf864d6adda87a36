"""Sees to it that there are as many workers as there should be, all of the generation in force.

What to do is decided in `roll`; here it is done, one step a turn of the master's loop. The old
workers of a roll drain without a deadline: one with a job of an hour stays for that hour.
"""

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from jobd import log
from jobd.scoreboard import State
from jobd.supervisor.plan import Generation
from jobd.supervisor.roll import Moves, Trial, most_at_once, next_moves
from jobd.supervisor.slot import Slot
from jobd.supervisor.slots import Slots

_TRY_AGAIN_S: Final = 30.0


class Replacing:
    """Starts replacements, and has those leave that they replace.

    Args:
        slots: where all of it happens.
        generation: to begin with.
        min_uptime_s: that a replacement has to be ready.

    Attributes:
        generation: in force: what is started where somebody died.
        coming: what a roll is replacing the workers with; None if none goes on.
    """

    def __init__(self, slots: Slots, generation: Generation, *, min_uptime_s: float) -> None:
        self._slots = slots
        self._min_uptime_s = min_uptime_s
        self._on_end: Callable[[str], None] = log.event
        self._recycled: dict[Slot, str] = {}
        self._rest_until = 0.0
        self._is_going_back = False
        self.generation = generation
        self.coming: Generation | None = None

    def open(self) -> None:
        """Make the first slots."""
        self._slots.add("poller", self.generation)
        if self.generation.preload is not None:
            self._slots.add("mold", self.generation)
        self._even_out()

    # What is asked for

    def roll_to(self, generation: Generation, on_end: Callable[[str], None]) -> None:
        """Replace all workers; a roll that goes on is given up in favour of this one.

        Args:
            generation: it comes into force when all workers are of it.
            on_end: called then with an empty text, or with why it failed.
        """
        self._give_up_trials()
        previous, self.coming = self.coming, generation
        self._on_end = on_end
        self._is_going_back = False
        if previous is not None:
            self._drop_mold(previous)
        mold = self._slots.add("mold", generation) if generation.preload is not None else None
        if mold is not None:
            mold.has_one_chance = True

    def take_over(self, generation: Generation) -> None:
        """Put a generation into force that runs workers as the last one did."""
        for slot in self._slots:
            if slot.generation is self.generation and slot.kind != "poller":
                slot.generation = generation
        self.generation = generation
        self._even_out()

    def recycle(self, slot: Slot, reason: str) -> None:
        """Replace one worker by another of the same generation."""
        self._recycled.setdefault(slot, reason)

    # What is done

    def step(self, now: float) -> None:
        """Do what is due."""
        failed_mold = self._failed_mold()
        if failed_mold is not None:
            self._fail(failed_mold.failure or "the mold does not boot", now)
        moves = self._moves(now)
        for trial in moves.finish:
            self._finish(self._slots[trial.new])
        if moves.failed:
            self._fail_trials(moves.failed, now)
        else:
            for number in moves.begin:
                self._begin(self._slots[number])
        if self.coming is None:
            self._even_out()
        elif not self._stale() and not self._on_trial():
            self._end("")

    def deadlines(self) -> Iterator[float]:
        """When something will have to be done; some may have passed."""
        for trial in self._trials():
            if trial.ready_at is not None:
                yield trial.ready_at + self._min_uptime_s

    def _moves(self, now: float) -> Moves:
        stale = [slot.number for slot in self._stale()]
        if now < self._rest_until or not self._has_parent():
            stale = []
        most = most_at_once(len(self._slots.serving()))
        return next_moves(
            stale, self._trials(), most=most, min_uptime_s=self._min_uptime_s, now=now
        )

    def _has_parent(self) -> bool:
        """Whether the mold of a roll, if it has one, can fork."""
        mold = self._slots.mold(self.coming) if self.coming is not None else None
        return mold is None or (mold.child is not None and mold.child.ready_at is not None)

    def _stale(self) -> list[Slot]:
        target = self.coming
        self._recycled = {s: why for s, why in self._recycled.items() if not s.is_retired}
        if target is not None:
            return [slot for slot in self._slots.serving() if slot.generation is not target]
        return [slot for slot in self._slots.serving() if slot in self._recycled]

    def _on_trial(self) -> list[Slot]:
        return [slot for slot in self._slots if slot.replaces is not None and not slot.is_retired]

    def _trials(self) -> list[Trial]:
        return [
            Trial(
                slot.replaces.number,
                slot.number,
                slot.child.ready_at if slot.child is not None else None,
                has_failed=slot.child is None and slot.starts > 0,
            )
            for slot in self._on_trial()
            if slot.replaces is not None
        ]

    def _begin(self, old: Slot) -> None:
        generation = self.coming or self.generation
        new = self._slots.add("worker", generation, group=old.group, replaces=old)
        if new is not None:
            log.event(
                f"{old.name} is replaced",
                child=old.child.pid if old.child is not None else None,
                by=new.name,
                generation=generation.number,
                reason=self._recycled.get(old),
            )

    def _finish(self, new: Slot) -> None:
        old, new.replaces = new.replaces, None
        if old is not None and not old.is_retired:
            self._retire(old)

    def _retire(self, slot: Slot) -> None:
        """Let a worker finish its job, whatever time that takes, and leave."""
        slot.is_retired = True
        if slot.child is None:
            self._slots.assign(slot, State.EMPTY)
            self._slots.remove(slot)
        else:
            self._slots.assign(slot, State.STOPPING)
            slot.child.ask_to_stop(signal.SIGTERM)

    # How it fails

    def _failed_mold(self) -> Slot | None:
        """The mold of a roll, if it has died before it was ready."""
        for slot in self._slots:
            is_of_roll = slot.kind == "mold" and slot.generation is self.coming
            has_failed = slot.failure and slot.child is None and not slot.has_booted
            if is_of_roll and has_failed and not slot.is_retired:
                return slot
        return None

    def _fail_trials(self, failed: Sequence[Trial], now: float) -> None:
        slot = self._slots[failed[0].new]
        reason = f"{slot.name} of generation {slot.generation.number}: {slot.failure}"
        if self.coming is None:
            log.event("a worker cannot be replaced; the old one goes on", level="error", why=reason)
            self._rest_until = now + _TRY_AGAIN_S
            self._give_up_trials()
        else:
            self._fail(reason, now)

    def _fail(self, reason: str, now: float) -> None:
        """Give a roll up; those that are replaced already are replaced back."""
        failed, self.coming = self.coming, None
        self._give_up_trials()
        if failed is None:
            return
        self._drop_mold(failed)
        strangers = [s for s in self._slots.serving() if s.generation is not self.generation]
        if strangers and self._is_going_back:
            log.event("going back fails too: both generations go on", level="error", why=reason)
            for slot in strangers:
                slot.generation = self.generation  # for whoever comes after it
        elif strangers:
            self._on_end(reason)
            self._on_end = log.event
            self.coming, self._is_going_back = self.generation, True
            return
        self._rest_until = now
        self._end(reason)

    def _end(self, reason: str) -> None:
        """A roll is over."""
        coming, self.coming = self.coming, None
        if coming is not None and coming is not self.generation:
            self._drop_mold(self.generation)
            self.generation = coming
            self._even_out()
        if self._is_going_back:
            self._is_going_back = False
            log.event("all workers are of the old generation again")
        else:
            self._on_end(reason)

    def _give_up_trials(self) -> None:
        for slot in self._on_trial():
            slot.replaces = None
            self._retire(slot)

    def _drop_mold(self, generation: Generation) -> None:
        mold = self._slots.mold(generation)
        if mold is not None:
            self._retire(mold)

    # How many

    def _even_out(self) -> None:
        """Add what is missing, and let go of what is too much, those without a job first."""
        serving = self._slots.serving()
        wanted = Counter(self.generation.groups)
        missing = wanted - Counter(slot.group for slot in serving)
        for group in missing.elements():
            self._slots.add("worker", self.generation, group=group)
        excess = Counter(slot.group for slot in serving) - wanted
        by_job = sorted(serving, key=self._is_busy)
        for slot in by_job:
            if excess[slot.group] > 0:
                excess[slot.group] -= 1
                self._retire(slot)

    def _is_busy(self, slot: Slot) -> bool:
        return slot.child is not None and self._slots.is_busy(slot.child)
