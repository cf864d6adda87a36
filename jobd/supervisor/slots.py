"""The places of an instance: for the poller, each worker and the mold, and who sits in them.

Only facts and questions; who is started, signalled and reaped is the master's affair.
"""

import contextlib
import os
import random
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from jobd import log, signals
from jobd.clock import Clock
from jobd.scoreboard import Scoreboard, SlotState, State
from jobd.supervisor.brake import Brake
from jobd.supervisor.child import POLLER, Child, Handle, pair
from jobd.supervisor.stacks import Stacks

_LOOK_EVERY_S: Final = 0.2
MOLD: Final = -1
"""The mold's slot, which has no page in the scoreboard."""


@dataclass(slots=True)
class Slot:
    """A place for one child after the other.

    Attributes:
        incarnation: of the child that sits here, or sat here last; 0 before the first.
        spawned_ms: epoch milliseconds.
        due: when the next child may be started, while there is none; monotonic seconds.
        processed: jobs that all children here have run, up to the last one that has left.
        is_retired: there will be no next child.
    """

    number: int
    brake: Brake
    child: Handle | None = None
    stacks: Stacks | None = None
    incarnation: int = 0
    restarts: int = 0
    last_exit: str = ""
    spawned_ms: int = 0
    due: float = 0.0
    processed: int = 0
    is_retired: bool = False

    @property
    def is_poller(self) -> bool:
        """Or a worker's."""
        return self.number == POLLER

    @property
    def name(self) -> str:
        """As it is in logs and titles."""
        if self.number < 0:
            return "mold"
        return "poller" if self.is_poller else f"worker {self.number}"

    def vacate(self, status: int, left: SlotState | None, now: float) -> None:
        """The child was reaped: say so, and set the time of the next one.

        Args:
            status: as ``waitpid`` gave it.
            left: what the child had written here, if anything.
            now: monotonic seconds.
        """
        child, self.child = self.child, None
        if child is None:
            return
        # What is finished and not acknowledged lies in its list just as the running job does.
        held_job = left is not None and (left.is_busy or bool(left.finished))
        health_s = None if child.ready_at is None else now - child.ready_at
        delay_s = self.brake.delay_s(
            health_s=health_s, held_job=held_job, has_worked=self._has_worked(left)
        )
        self.due = now + delay_s
        self.last_exit = signals.describe_exit(status)
        is_expected = child.is_asked_to_stop or (status == 0 and not held_job)
        will_return = bool(delay_s) and not child.is_asked_to_stop and not self.is_retired
        log.event(
            f"{self.name} left",
            level="info" if is_expected else "warning",
            child=child.pid,
            status=self.last_exit,
            job_jid=left.jid if left is not None and left.is_busy else None,
            again_in=f"{delay_s:.1f} s" if will_return else None,
            stack=self._last_stacks() if os.WIFSIGNALED(status) else "",
        )

    def _has_worked(self, left: SlotState | None) -> bool:
        """Whether the child that has left ran a job to its end; the counter is the slot's."""
        if left is None or self.is_poller:  # whose counters mean something else
            return False
        before, self.processed = self.processed, left.processed
        return left.processed > before

    def stay_empty(self, reason: str | None, now: float) -> None:
        """The child could not be forked: the brake counts that as a death."""
        self._drop_stacks()
        self.child = None
        self.due = now + self.brake.delay_s(health_s=None, held_job=False)
        log.event(f"{self.name} cannot be forked", level="error", reason=reason)

    def prepare(self, identity: str, now: float) -> tuple[Handle, Child]:
        """Before a fork: the pipe to the next child, and a file for its stacks.

        Args:
            identity: of the instance.
            now: monotonic seconds.

        Returns:
            Both ends, the master's first.

        Raises:
            OSError: there are not enough descriptors; call `stay_empty`.
        """
        self._drop_stacks()
        self.stacks = Stacks()
        ours, theirs = pair()
        self.incarnation += 1
        life = {"slot": self.number, "incarnation": self.incarnation}
        handle = Handle(ours, spawned_at=now, **life)
        return handle, Child(theirs, identity=identity, master=os.getpid(), **life)

    def log_boot_failure(self, text: str) -> None:
        """Say why the child here could not boot: a sentence, or a whole stack."""
        stack, reason = (text, None) if "\n" in text else ("", text)
        pid = self.child.pid if self.child is not None else None
        log.event(f"{self.name} cannot boot", level="error", child=pid, reason=reason, stack=stack)

    def _last_stacks(self) -> str:
        """What a crash left; the next child gets a file of its own."""
        text = self.stacks.take(is_complete=True) if self.stacks is not None else ""
        self._drop_stacks()
        return text

    def _drop_stacks(self) -> None:
        if self.stacks is not None:
            self.stacks.close()
            self.stacks = None


class Slots:
    """All slots, the poller's first, and the scoreboard that shows them to the children.

    Args:
        workers: how many there should be.
        scoreboard: has a page for each.
        has_mold: whether a mold forks them.
        clock: for what is looked at now and then.
        rng: for the brakes.
    """

    def __init__(
        self,
        workers: int,
        scoreboard: Scoreboard,
        *,
        has_mold: bool,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        numbers = [POLLER, *([MOLD] if has_mold else []), *range(1, workers + 1)]
        self._slots = {number: Slot(number, Brake(rng)) for number in numbers}
        self.worker_count = workers
        self._scoreboard = scoreboard
        self._clock = clock
        self._looked_at = 0.0

    def make_room(self) -> None:
        """Let the master have two descriptors a child, and what a roll needs for a second one.

        Only if the soft limit is below that: a job may use select(2), which ends at 1,024.
        """
        needed = 4 * self.worker_count + 68
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft in {hard, resource.RLIM_INFINITY} or soft >= needed:
            return
        with contextlib.suppress(OSError, ValueError):  # a hard one above fs.nr_open
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            log.event("limit of open files raised", level="debug", before=soft, now=hard)

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots.values())

    def __getitem__(self, number: int) -> Slot:
        return self._slots[number]

    @property
    def poller(self) -> Handle | None:
        """The poller, while there is one."""
        return self._slots[POLLER].child

    @property
    def is_poller_ready(self) -> bool:
        """Whether there is one that listens."""
        return self.poller is not None and self.poller.ready_at is not None

    @property
    def mold(self) -> Slot | None:
        """What forks the workers; None if the master does."""
        mold = self._slots.get(MOLD)
        return None if mold is None or mold.is_retired else mold

    @property
    def mold_child(self) -> Handle | None:
        """The mold's process, as long as it lives."""
        return self._slots[MOLD].child if MOLD in self._slots else None

    def startable(self) -> list[Slot]:
        """Where there should be a child, and can be one by now."""
        mold = self.mold
        has_parent = mold is None or (mold.child is not None and mold.child.ready_at is not None)
        return [slot for slot in self if not slot.is_retired and (slot.number <= 0 or has_parent)]

    def children(self) -> list[Handle]:
        """All that live, or have died and were not reaped yet."""
        return [slot.child for slot in self if slot.child is not None]

    def find(self, pid: int) -> Handle | None:
        """The child of that pid, if it is known."""
        return next((handle for handle in self.children() if handle.pid == pid), None)

    def workers(self) -> list[Handle]:
        """The children but the poller and the mold."""
        return [handle for handle in self.children() if handle.slot > POLLER]

    def ready_workers(self) -> list[Handle]:
        """Workers that have booted."""
        return [handle for handle in self.workers() if handle.ready_at is not None]

    def busy_workers(self) -> list[Handle]:
        """Workers that run a job."""
        return [handle for handle in self.workers() if self.is_busy(handle)]

    def waiting(self, now: float) -> tuple[int, ...]:
        """Numbers of the slots whose next child has to wait; the mold's is -1."""
        waiting = (slot for slot in self if slot.child is None and not slot.is_retired)
        return tuple(slot.number for slot in waiting if slot.due > now)

    def left_behind(self, handle: Handle) -> SlotState | None:
        """The child's half of its slot; None if this child has not written there yet."""
        if handle.slot < 0:
            return None
        seen = self._scoreboard.read(handle.slot)
        return seen if seen.incarnation == handle.incarnation else None

    def is_busy(self, handle: Handle) -> bool:
        """Whether this child runs a job."""
        left = self.left_behind(handle)
        return left is not None and left.is_busy

    def assign(self, slot: Slot, state: State) -> None:
        """Show the children who sits in the slot.

        Not while it is only ordered from the mold: a sweep that saw a new incarnation without a pid
        would take its jobs for a dead worker's.
        """
        if slot.number < 0 or (slot.child is not None and not slot.child.pid):
            return
        self._scoreboard.assign(
            slot.number,
            state=state,
            pid=slot.child.pid if slot.child is not None else 0,
            incarnation=slot.incarnation,
            spawned=slot.spawned_ms / 1000,
            restarts=slot.restarts,
            last_exit=slot.last_exit,
        )

    def log_stacks(self) -> None:
        """What children have written since, each in one piece; looks at most every 0.2 s."""
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        for slot in self:
            text = slot.stacks.take() if slot.stacks is not None and slot.child is not None else ""
            if text and slot.child is not None:
                left = self.left_behind(slot.child)
                is_busy = left is not None and left.is_busy
                log.event(
                    f"stacks of {slot.name}",
                    level="warning",
                    child=slot.child.pid,
                    job=left.name if left is not None and is_busy else None,
                    job_jid=left.jid if left is not None and is_busy else None,
                    stack=text,
                )

    def enter(self, number: int) -> None:
        """In a child: let go of what belongs to its siblings, and take up its own."""
        for slot in self:
            if slot.stacks is not None and slot.number != number:
                slot.stacks.close()
            elif slot.stacks is not None:
                slot.stacks.offer()

    def _state_of(self, slot: Slot) -> str | None:
        if slot.number < 0:
            return None
        return self._scoreboard.read_assignment(slot.number).state.name.lower()

    def log_table(self) -> None:
        """One line for each slot."""
        now = self._clock.monotonic()
        for slot in self:
            child = slot.child
            left = self.left_behind(child) if child is not None else None
            is_busy = left is not None and left.is_busy
            log.event(
                f"state of {slot.name}",
                state=self._state_of(slot),
                child=child.pid if child is not None else None,
                doing=left.state.name.lower() if left is not None else None,
                job=left.name if left is not None and is_busy else None,
                job_jid=left.jid if left is not None and is_busy else None,
                age=f"{now - child.spawned_at:.1f} s" if child is not None else None,
                waits=f"{slot.due - now:.1f} s" if child is None and slot.due > now else None,
                restarts=slot.restarts,
                last_exit=slot.last_exit or None,
            )
