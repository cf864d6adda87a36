"""What can be read of a slot of the scoreboard, as values.

A worker with threads has a page for each of them besides its own; `whole` makes one reading of all.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

MOST_THREADS: Final = 100
"""That a worker may have. Their pages are only addresses until they are used."""
JID_BYTES: Final = 64
"""That a slot has room for."""
MOST_PLACES: Final = 1000
"""Jobs that its loop may run at once, with pages that are numbered after those of its threads."""


class State(IntEnum):
    """What a child is doing."""

    EMPTY = 0
    BOOTING = 1
    IDLE = 2
    RUNNING = 3
    QUIET = 4
    STOPPING = 5
    DEAD = 6
    WAITING = 7  # the master waits before it starts a new child here


class InstanceState(IntEnum):
    """What the instance as a whole is doing, as its master says."""

    RUNNING = 0
    QUIET = 1
    STOPPING = 2


class SlotState(msgspec.Struct, frozen=True):
    """One reading of the child's half: of one page, or of all that a worker has.

    Attributes:
        beat: monotonic seconds of the child's last sign of life.
        started: epoch seconds at which the running job began; 0 when none runs.
        running: fingerprint of the running job.
        processed: jobs run in this slot over all its incarnations, failed ones included.
        finished: fingerprints of jobs that are done and perhaps not yet acknowledged in Redis.
        time_limit: seconds, while a job's own code runs that has one; else 0.
        jobs: that run side by side, where several can, and this tells of the oldest; else 0.
    """

    state: State
    pid: int
    incarnation: int
    beat: float
    started: float
    running: str
    processed: int
    failed: int
    queue: str
    name: str
    jid: str
    finished: tuple[str, ...]
    time_limit: float = 0.0
    jobs: int = 0

    @property
    def is_busy(self) -> bool:
        """Whether a job is running."""
        return self.started > 0


class Limit(NamedTuple):
    """How long the job of a slot may run.

    Attributes:
        deadline: monotonic seconds.
        seconds: from its beginning to the deadline.
        kill_after: seconds that it has to end after it was interrupted; infinity: for ever.
    """

    deadline: float
    seconds: float
    kill_after: float


class Assignment(msgspec.Struct, frozen=True):
    """One reading of the master's half: who the master believes sits in the slot."""

    state: State
    pid: int
    incarnation: int
    spawned: float
    restarts: int
    last_exit: str


def whole(main: SlotState, threads: Sequence[SlotState], counted: Sequence[SlotState]) -> SlotState:
    """A worker with threads as one: the job that is shown is the one that has run longest.

    Args:
        main: what its main thread says, which runs no jobs.
        threads: what those say that do.
        counted: whoever has counted jobs in this slot, those of earlier incarnations too.
    """
    busy = sorted((state for state in threads if state.is_busy), key=lambda state: state.started)
    shown = busy[0] if busy else main
    is_at_work = bool(busy) and main.state is State.IDLE
    return msgspec.structs.replace(
        shown,
        state=State.RUNNING if is_at_work else main.state,
        pid=main.pid,
        incarnation=main.incarnation,
        beat=main.beat,
        processed=main.processed + sum(state.processed for state in counted),
        failed=main.failed + sum(state.failed for state in counted),
        finished=tuple(done for state in threads for done in state.finished),
        jobs=len(busy),
    )


def fingerprint(raw: bytes) -> str:
    """What the ring keeps of a job, as text.

    Not its jid: a job may push itself again under the same one. Python salts its hashes once for a
    process and all that are forked from it, so worker, master and poller agree.
    """
    return as_text(hash(raw))


def shown_jid(jid: str) -> str:
    """How a slot shows a jid: as it is, or its beginning and a fingerprint if it is too long.

    So two of them are told apart by what is shown, which is shown again as it is.
    """
    whole = jid.encode()
    return jid if len(whole) <= JID_BYTES else shortened(whole).decode()


def shortened(whole: bytes) -> bytes:
    """The beginning of a jid that is too long, and a fingerprint of all of it."""
    beginning = whole[: JID_BYTES - 17].decode(errors="ignore").encode()
    return beginning + f"~{fingerprint(whole)}".encode()


def as_text(number: int) -> str:
    """A fingerprint as it is told to others."""
    return f"{number & 0xFFFF_FFFF_FFFF_FFFF:016x}"
