"""What every child is doing, in memory that master, poller and workers share.

One anonymous map is made before the first fork. Slot 0 is the poller's, slots 1 to N are the
workers'. Each slot is a page of its own, so untouched slots cost nothing. A page has two halves:
the first is written by the child alone, the second by the master alone, and each half starts with
a sequence number that is odd while its writer is busy: a reader that sees it odd, or changed, reads
again. So the hot path of a worker writes no bookkeeping to Redis, and a job that closes every file
descriptor, or keeps the GIL for an hour, still shows what it is doing.

The bytes of a page::

    0     sequence, state, pid, incarnation, beat, job started (epoch s), processed, failed
    48    fingerprint of the running job, and whether its name is known by now
    64    queue, class and jid of the running job, each cut to its field
    512   ring of the fingerprints of jobs that are finished but not yet acknowledged
    2048  master's half: sequence, state, pid, incarnation, spawned (epoch s), restarts, last exit

Source: gunicorn's workertmp and Apache's scoreboard for the idea; 0.18 µs a beat was measured
against 1.75 µs for a touched file.
"""

import mmap
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from jobd.clock import Clock

SLOTS: Final = 1024
NO_JID: Final = "-"
"""Stands for the jid of a job that has none, so that it can be told from no job."""
_PAGE: Final = 4096
_HALF: Final = 2048
_RING_AT: Final = 512
_RING_ENTRY: Final = 8
RING_SIZE: Final = (_HALF - _RING_AT - 8) // _RING_ENTRY

_CHILD = struct.Struct("<IIIIddQQ")
_JOB_AT: Final = 64
_JOB = struct.Struct("<128s192s64s")
_JID_AT: Final = _JOB_AT + 128 + 192
_JID_BYTES: Final = 64
_COUNTS_AT: Final = 32
_RUNNING_AT: Final = 48
_IS_NAMED_AT: Final = 56
# The hot path's fields, as indexes of the page cast to their size.
_STATE: Final = 4 // 4
_IS_NAMED: Final = _IS_NAMED_AT // 4
_IN_RING: Final = _RING_AT // 4
_BEAT: Final = 16 // 8
_STARTED: Final = 24 // 8
_PROCESSED: Final = _COUNTS_AT // 8
_FAILED: Final = _PROCESSED + 1
_RUNNING: Final = _RUNNING_AT // 8
_RING: Final = (_RING_AT + 8) // 8
_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")
_F64 = struct.Struct("<d")
_COUNTS = struct.Struct("<QQ")
_MASTER = struct.Struct("<IIIIdI64s")
_INSTANCE_AT: Final = 3072  # in slot 0's page: the state of the whole instance
_USED_AT: Final = _INSTANCE_AT + 4
_OFFSET_AT: Final = 1024  # in slot 0's page, the poller's half: offset of the server's clock


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


# As plain integers, which cost a tenth to store.
_IS_IDLE: Final = int(State.IDLE)
_IS_RUNNING: Final = int(State.RUNNING)


class InstanceState(IntEnum):
    """What the instance as a whole is doing, as its master says."""

    RUNNING = 0
    QUIET = 1
    STOPPING = 2


@dataclass(frozen=True, slots=True)
class SlotState:
    """One reading of the child's half.

    Attributes:
        beat: monotonic seconds of the child's last sign of life.
        started: epoch seconds at which the running job began; 0 when none runs.
        running: fingerprint of the running job.
        processed: jobs run in this slot over all its incarnations, failed ones included.
        finished: fingerprints of jobs that are done and perhaps not yet acknowledged in Redis.
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

    @property
    def is_busy(self) -> bool:
        """Whether a job is running."""
        return self.started > 0


@dataclass(frozen=True, slots=True)
class Assignment:
    """One reading of the master's half: who the master believes sits in the slot."""

    state: State
    pid: int
    incarnation: int
    spawned: float
    restarts: int
    last_exit: str


class SlotWriter:
    """The child's pen for its own slot. One process writes, so nothing here is locked.

    Attributes:
        number: of the slot.
    """

    def __init__(self, number: int, page: memoryview, clock: Clock) -> None:
        self.number = number
        self._page = page
        # One store each: struct's pack_into() writes zeros first, which a reader would see.
        self._words = page.cast("I")
        self._doubles = page.cast("d")
        self._quads = page.cast("q")
        self._jid = page[_JID_AT : _JID_AT + _JID_BYTES]
        self._clock = clock
        self._sequence: int = self._words[0] & ~1  # a killed writer left it odd
        self._processed, self._failed = _COUNTS.unpack_from(page, _COUNTS_AT)
        self._in_ring = 0
        self._shown = ("", "")

    def open(self, pid: int, incarnation: int) -> None:
        """Take over the slot. The counters go on: they are the slot's, not the process's."""
        self._begin()
        _CHILD.pack_into(
            self._page,
            0,
            self._sequence,
            State.BOOTING,
            pid,
            incarnation,
            self._clock.monotonic(),
            0.0,
            self._processed,
            self._failed,
        )
        _JOB.pack_into(self._page, _JOB_AT, b"", b"", b"")
        self._shown = ("", "")
        self._in_ring = self._words[_IN_RING] = 0
        self._end()

    def hold(self, raw: bytes, started: float) -> None:
        """A job is in hand and not parsed yet: should that kill this process, it is charged.

        The write is not ended before `start` or the end of the job: who reads meanwhile waits.
        """
        words = self._words
        words[0] = self._sequence = self._sequence | 1
        self._quads[_RUNNING] = hash(raw)
        words[_IS_NAMED] = 0
        self._doubles[_STARTED] = started  # the last: from now on it is charged
        words[_STATE] = _IS_RUNNING

    def start(self, queue: str, name: str, jid: str, started: float) -> None:
        """The job begins. Longer names are cut: they are shown, never compared."""
        words = self._words
        words[0] = self._sequence | 1
        if self._shown == (queue, name):  # the same as before, most often
            self._jid[:] = jid.encode()[:_JID_BYTES].ljust(_JID_BYTES, b"\0")
        else:
            self._shown = (queue, name)
            _JOB.pack_into(self._page, _JOB_AT, queue.encode(), name.encode(), jid.encode())
        words[_IS_NAMED] = 1
        self._doubles[_STARTED] = started
        words[_STATE] = _IS_RUNNING
        self._end()

    def finish(self, raw: bytes | None, *, failed: bool) -> None:
        """The running job ended.

        Args:
            raw: the job, whose fingerprint enters the ring, to be acknowledged if this process
                dies before it can do so itself; None if it is settled, or cannot be told from
                another job.
            failed: whether it counts as failed too.
        """
        words, quads = self._words, self._quads
        words[0] = self._sequence | 1
        self._processed += 1
        quads[_PROCESSED] = self._processed
        if failed:
            self._failed += 1
            quads[_FAILED] = self._failed
        if raw is not None and self._in_ring < RING_SIZE:
            quads[_RING + self._in_ring] = hash(raw)
            self._in_ring += 1
            words[_IN_RING] = self._in_ring
        self._end_job()

    def give_up(self) -> None:
        """The running job ended without being processed: it was given back."""
        self._begin()
        self._end_job()

    def _end_job(self) -> None:
        self._doubles[_STARTED] = 0.0
        self._words[_STATE] = _IS_IDLE
        self._doubles[_BEAT] = self._clock.monotonic()
        self._end()

    def acknowledged(self) -> None:
        """Everything in the ring is known to Redis."""
        if self._in_ring:
            self._in_ring = 0
            self._begin()
            self._words[_IN_RING] = 0
            self._end()

    def set_counts(self, processed: int, failed: int) -> None:
        """Set the counters; the poller keeps in its slot what Redis knows already."""
        self._begin()
        self._processed, self._failed = processed, failed
        self._quads[_PROCESSED], self._quads[_FAILED] = processed, failed
        self._end()

    def set_state(self, state: State) -> None:
        """Say what this child is doing when it runs no job."""
        self._begin()
        self._words[_STATE] = state
        self._doubles[_BEAT] = self._clock.monotonic()
        self._end()

    def beat(self) -> None:
        """Sign of life."""
        self._doubles[_BEAT] = self._clock.monotonic()

    def _begin(self) -> None:
        self._sequence |= 1
        self._words[0] = self._sequence

    def _end(self) -> None:
        # Odd for as long as it was written, then even: whatever it was before.
        self._words[0] = self._sequence = ((self._sequence | 1) + 1) & 0xFFFFFFFF


class Scoreboard:
    """The whole map. Make it before the first fork; every child inherits it.

    Args:
        clock: for the beats.
        slots: workers that fit, besides the poller.

    Attributes:
        slots: as given.
    """

    def __init__(self, clock: Clock, slots: int = SLOTS) -> None:
        self._clock = clock
        self.slots = slots
        self._map = memoryview(mmap.mmap(-1, (slots + 1) * _PAGE))

    def _page(self, slot: int) -> memoryview:
        return self._map[slot * _PAGE : (slot + 1) * _PAGE]

    def writer(self, slot: int) -> SlotWriter:
        """The pen for the child's half of a slot."""
        return SlotWriter(slot, self._page(slot), self._clock)

    def read(self, slot: int) -> SlotState:
        """A consistent copy of the child's half."""
        page = self._page(slot)
        for _ in range(_READ_TRIES):
            # Asked before the copy, not of it: memcpy() may copy a page's end before its beginning.
            sequence = _U32.unpack_from(page, 0)[0]
            copy = bytes(page[:_HALF])
            if sequence & 1 == 0 and sequence == _U32.unpack_from(page, 0)[0]:
                return _parse(copy)
        # Its writer was killed in the middle of a write: what is there is all there is.
        return _parse(bytes(page[:_HALF]))

    def assign(
        self,
        slot: int,
        *,
        state: State,
        pid: int = 0,
        incarnation: int = 0,
        spawned: float = 0.0,
        restarts: int = 0,
        last_exit: str = "",
    ) -> None:
        """Write the master's half. The master alone calls this."""
        if slot > self.used:
            _U32.pack_into(self._page(0), _USED_AT, slot)
        page = self._page(slot)
        sequence = (_U32.unpack_from(page, _HALF)[0] | 1) & 0xFFFFFFFF
        _U32.pack_into(page, _HALF, sequence)
        text = last_exit.encode()[:63]
        _MASTER.pack_into(page, _HALF, sequence, state, pid, incarnation, spawned, restarts, text)
        _U32.pack_into(page, _HALF, (sequence + 1) & 0xFFFFFFFF)

    def read_assignment(self, slot: int) -> Assignment:
        """A consistent copy of the master's half."""
        page = self._page(slot)
        copy = b""
        for _ in range(_READ_TRIES):
            sequence = _U32.unpack_from(page, _HALF)[0]
            copy = bytes(page[_HALF : _HALF + _MASTER.size])
            if sequence & 1 == 0 and sequence == _U32.unpack_from(page, _HALF)[0]:
                break
        _, state, pid, incarnation, spawned, restarts, text = _MASTER.unpack(copy)
        return Assignment(State(state), pid, incarnation, spawned, restarts, _text(text))

    @property
    def used(self) -> int:
        """The highest slot that was ever assigned; a roll takes more than there are workers."""
        used: int = _U32.unpack_from(self._page(0), _USED_AT)[0]
        return used

    @property
    def instance_state(self) -> InstanceState:
        """What the instance as a whole is doing."""
        return InstanceState(_U32.unpack_from(self._page(0), _INSTANCE_AT)[0])

    @property
    def clock_offset_s(self) -> float:
        """Seconds by which the server's clock is ahead of ours, as the poller measured it."""
        offset: float = _F64.unpack_from(self._page(0), _OFFSET_AT)[0]
        return offset

    def set_clock_offset(self, seconds: float) -> None:
        """Leave the measured offset for the workers. The poller alone calls this."""
        _F64.pack_into(self._page(0), _OFFSET_AT, seconds)

    def set_instance_state(self, state: InstanceState) -> None:
        """Say what the instance as a whole is doing. The master alone calls this."""
        _U32.pack_into(self._page(0), _INSTANCE_AT, state)


class ServerClock:
    """This machine's clocks, and the server's as the poller last compared it.

    Scores in Redis are compared with the server's clock, so they are made from it.
    """

    def __init__(self, clock: Clock, scoreboard: Scoreboard) -> None:
        self._scoreboard = scoreboard
        self.now_ms = clock.now_ms
        self.monotonic = clock.monotonic

    def server_s(self, now_ms: int) -> float:
        """Epoch seconds by the server's clock at the moment ``now_ms`` of ours."""
        return now_ms / 1000 + self._scoreboard.clock_offset_s


_READ_TRIES: Final = 1000


def _parse(copy: bytes) -> SlotState:
    _, state, pid, incarnation, beat, started, processed, failed = _CHILD.unpack_from(copy, 0)
    is_named = _U32.unpack_from(copy, _IS_NAMED_AT)[0]
    queue, name, jid = _JOB.unpack_from(copy, _JOB_AT) if is_named else (b"", b"", b"")
    count = min(_U32.unpack_from(copy, _RING_AT)[0], RING_SIZE)
    starts = range(_RING_AT + 8, _RING_AT + 8 + count * _RING_ENTRY, _RING_ENTRY)
    finished = tuple(_as_text(_I64.unpack_from(copy, at)[0]) for at in starts)
    return SlotState(
        State(state),
        pid,
        incarnation,
        beat,
        started,
        _as_text(_I64.unpack_from(copy, _RUNNING_AT)[0]),
        processed,
        failed,
        _text(queue),
        _text(name),
        _text(jid),
        finished,
    )


def fingerprint(raw: bytes) -> str:
    """What the ring keeps of a job, as text.

    Not its jid: a job may push itself again under the same one. Python salts its hashes once for a
    process and all that are forked from it, so worker, master and poller agree.
    """
    return _as_text(hash(raw))


def _as_text(number: int) -> str:
    return f"{number & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode(errors="replace")
