"""What every child is doing, in memory that master, poller and workers share.

One anonymous map is made before the first fork. Slot 0 is the poller's, slots 1 to N are the
workers'. Each slot is a page of its own, so untouched slots cost nothing. In a worker with threads
each of them has one too, numbered from 1, and the slot's is its main thread's; the places of a loop
are numbered after them. A page has halves:
the first is written by the child alone, the second by the master alone, and each half starts with
a sequence number that is odd while its writer is busy: a reader that sees it odd, or changed, reads
again. So the hot path of a worker writes no bookkeeping to Redis, and a job that closes every file
descriptor, or keeps the GIL for an hour, still shows what it is doing.

The bytes of a page::

    0     sequence, state, pid, incarnation, beat, job started (epoch s), processed, failed
    48    fingerprint of the running job, and whether its name is known by now
    64    queue and class of the running job, cut to their fields, and its jid (`shown_jid`)
    448   its deadline (monotonic s; 0 without one), its time_limit and kill_after (s)
    472   in a slot's first page: how many threads of the worker run jobs (0: its main thread does)
          with the places of its loop that were used, the most that any worker of this slot had, and
          whether the main thread runs jobs beside a loop
    512   ring of the fingerprints of jobs that are finished but not yet acknowledged
    2048  master's half: sequence, state, pid, incarnation, spawned (epoch s), restarts, last exit
    2304  jid of the job that is cancelled, likewise

Source: gunicorn's workertmp and Apache's scoreboard for the idea; 0.18 µs a beat was measured
against 1.75 µs for a touched file.
"""

import mmap
import struct
from collections.abc import Sequence
from typing import Final

from jobd.clock import Clock
from jobd.slot_state import (
    JID_BYTES,
    MOST_PLACES,
    MOST_THREADS,
    Assignment,
    InstanceState,
    Limit,
    SlotState,
    State,
    as_text,
    fingerprint,
    shortened,
    shown_jid,
    whole,
)

__all__ = [
    "NO_JID",
    "RING_SIZE",
    "SLOTS",
    "Assignment",
    "InstanceState",
    "Limit",
    "Scoreboard",
    "SlotState",
    "SlotWriter",
    "State",
    "fingerprint",
    "shown_jid",
]

SLOTS: Final = 1024
NO_JID: Final = "-"
"""Stands for the jid of a job that has none, so that it can be told from no job."""
_PAGE: Final = 4096
_HALF: Final = 2048
_MOST_PAGES: Final = MOST_THREADS + MOST_PLACES
_MAP_NORESERVE: Final = 0x4000  # on every architecture but Alpha, MIPS, PowerPC and SPARC
_RING_AT: Final = 512
_RING_ENTRY: Final = 8
RING_SIZE: Final = (_HALF - _RING_AT - 8) // _RING_ENTRY

_CHILD = struct.Struct("<IIIIddQQ")
_JOB_AT: Final = 64
_JOB = struct.Struct("<128s192s64s")
_JID_AT: Final = _JOB_AT + 128 + 192
_JID = struct.Struct(f"{JID_BYTES}s")
_DEADLINE_AT: Final = _JID_AT + _JID.size
_THREADS_AT: Final = 472
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
_DEADLINE: Final = _DEADLINE_AT // 8
_TIME_LIMIT: Final = _DEADLINE + 1
_KILL_AFTER: Final = _DEADLINE + 2
_RING: Final = (_RING_AT + 8) // 8
_THREADS: Final = _THREADS_AT // 4
_MAIN_TOO: Final = _THREADS + 2
_MOST_U32: Final = 0xFFFF_FFFF
_U32 = struct.Struct("<I")
_PAGES = struct.Struct("<III")
_I64 = struct.Struct("<q")
_F64 = struct.Struct("<d")
_COUNTS = struct.Struct("<QQ")
_LIMIT = struct.Struct("<ddd")
_MASTER = struct.Struct("<IIIIdI64s")
_INSTANCE_AT: Final = 3072  # in slot 0's page: the state of the whole instance
_USED_AT: Final = _INSTANCE_AT + 4
_OFFSET_AT: Final = 1024  # in slot 0's page, the poller's half: offset of the server's clock
_AWAY_AT: Final = 1032  # and since when Redis has not answered
_NEWEST_CANCEL: Final = 1040 // 8  # and this: changes when another job was cancelled
_CANCEL_AT: Final = 2304
_HAS_ASYNC_JOBS: Final = 1048 // 8  # whether there are any, as the workers say
_WAKES: Final = 3080 // 8  # in slot 0's page, the master's half: when it looks up again


class SlotWriter:
    """The child's pen for a page of its slot. One thread writes, so nothing here is locked.

    Attributes:
        number: of the slot.
    """

    def __init__(
        self, number: int, page: memoryview, clock: Clock, first: "memoryview[float]"
    ) -> None:
        self.number = number
        self._first = first
        self._page = page
        # One store each: struct's pack_into() writes zeros first, which a reader would see.
        self._words = page.cast("I")
        self._doubles = page.cast("d")
        self._quads = page.cast("q")
        self._cancelled_jid = page[_CANCEL_AT : _CANCEL_AT + _JID.size]
        self._jid = page[_JID_AT : _JID_AT + _JID.size]
        self._clock = clock
        # As it is between two writes; a killed writer left it odd.
        self._sequence: int = self._words[0] & ~1
        self._processed, self._failed = _COUNTS.unpack_from(page, _COUNTS_AT)
        self._in_ring = 0
        self._shown = ("", "")

    def open(self, pid: int, incarnation: int, threads: int = 0) -> None:
        """Take over the slot. The counters go on: they are the slot's, not the process's.

        Args:
            pid: ours.
            incarnation: of the slot.
            threads: that run jobs, each with a page of its own; 0 if this one does.
        """
        self._begin()
        _CHILD.pack_into(
            self._page,
            0,
            self._sequence + 1,
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
        self._doubles[_DEADLINE] = 0.0
        self._words[_THREADS] = threads
        self._words[_MAIN_TOO] = 0
        self._words[_THREADS + 1] = max(threads, self._words[_THREADS + 1])
        self._end()

    def hold(self, raw: bytes, started: float) -> None:
        """A job is in hand and not parsed yet: should that kill this process, it is charged.

        The write is not ended before `start` or the end of the job: who reads meanwhile waits.
        """
        words = self._words
        words[0] = self._sequence + 1
        self._quads[_RUNNING] = hash(raw)
        words[_IS_NAMED] = 0
        self._doubles[_STARTED] = started  # the last: from now on it is charged

    def start(self, queue: str, name: str, jid: str) -> None:
        """The job in hand begins. Longer names are cut: they are shown, never compared."""
        words, shown = self._words, jid.encode()
        if len(shown) > _JID.size:
            shown = shortened(shown)
        if self._shown == (queue, name):  # the same as before, most often
            _JID.pack_into(self._page, _JID_AT, shown)
        else:
            self._shown = (queue, name)
            _JOB.pack_into(self._page, _JOB_AT, queue.encode(), name.encode(), shown)
        words[_IS_NAMED] = 1
        words[0] = self._sequence = (self._sequence + 2) & _MOST_U32

    def finish(self, raw: bytes | None, *, failed: bool) -> None:
        """The running job ended.

        Args:
            raw: the job, whose fingerprint enters the ring, to be acknowledged if this process
                dies before it can do so itself; None if it is settled, or cannot be told from
                another job.
            failed: whether it counts as failed too.
        """
        words, quads, in_ring = self._words, self._quads, self._in_ring
        words[0] = self._sequence + 1
        quads[_PROCESSED] = self._processed = self._processed + 1
        if failed:
            quads[_FAILED] = self._failed = self._failed + 1
        if raw is not None and in_ring < RING_SIZE:
            quads[_RING + in_ring] = hash(raw)
            words[_IN_RING] = self._in_ring = in_ring + 1
        self._doubles[_STARTED] = 0.0
        words[0] = self._sequence = (self._sequence + 2) & _MOST_U32

    def limit(self, limit: Limit) -> None:
        """The running job's own code begins, and may take so long."""
        doubles = self._doubles
        doubles[_TIME_LIMIT], doubles[_KILL_AFTER] = limit.seconds, limit.kill_after
        doubles[_DEADLINE] = limit.deadline  # the last: from now on it holds

    def unlimit(self) -> None:
        """It has ended: settling it may take longer."""
        self._doubles[_DEADLINE] = 0.0

    def show_pages(self, count: int, *, main_too: bool) -> None:
        """Say how many further pages show jobs, and whether this one does; any thread may."""
        words = self._words
        words[_MAIN_TOO] = main_too
        words[_THREADS + 1] = max(count, words[_THREADS + 1])
        words[_THREADS] = count

    @property
    def redis_away_since(self) -> float:
        """Monotonic seconds since which the poller has had no answer; 0 if it has one."""
        return self._first[_AWAY_AT // 8]

    @property
    def is_busy(self) -> bool:
        """Whether a job runs."""
        return self._doubles[_STARTED] > 0

    @property
    def master_wakes_at(self) -> float:
        """Monotonic seconds at which the master looks up by itself."""
        return self._first[_WAKES]

    @property
    def is_cancelled(self) -> bool:
        """Whether the master says that the running job is."""
        return self._cancelled_jid[0] != 0 and self._cancelled_jid == self._jid

    def give_up(self) -> None:
        """The running job ended without being processed: it was given back."""
        self._begin()
        self._doubles[_STARTED] = 0.0
        self._end()

    def acknowledged(self) -> None:
        """Everything in the ring is known to Redis."""
        if self._in_ring:
            words = self._words
            words[0] = self._sequence + 1
            self._in_ring = words[_IN_RING] = 0
            words[0] = self._sequence = (self._sequence + 2) & _MOST_U32

    def set_counts(self, processed: int, failed: int) -> None:
        """Set the counters; the poller keeps in its slot what Redis knows already."""
        self._begin()
        self._processed, self._failed = processed, failed
        self._quads[_PROCESSED], self._quads[_FAILED] = processed, failed
        self._end()

    def set_state(self, state: State) -> None:
        """Say what this child is doing while it runs no job."""
        self._begin()
        self._words[_STATE] = state
        self._doubles[_BEAT] = self._clock.monotonic()
        self._end()

    def beat(self) -> None:
        """Sign of life."""
        self._doubles[_BEAT] = self._clock.monotonic()

    # What each job needs does the same itself: two calls would cost it 3 %.

    def _begin(self) -> None:
        self._words[0] = self._sequence + 1

    def _end(self) -> None:
        self._words[0] = self._sequence = (self._sequence + 2) & _MOST_U32


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
        pages = 1 + slots + slots * _MOST_PAGES
        # Gigabytes of addresses, of which only pages that are used are ever memory.
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self._map = memoryview(mmap.mmap(-1, pages * _PAGE, flags=flags))
        self._first = self._page(0).cast("d")

    def _page(self, slot: int, thread: int = 0) -> memoryview:
        number = slot
        if thread:
            number = self.slots + (slot - 1) * _MOST_PAGES + thread
        return self._map[number * _PAGE : (number + 1) * _PAGE]

    def writer(self, slot: int, thread: int = 0) -> SlotWriter:
        """The pen for the child's half of a page."""
        return SlotWriter(slot, self._page(slot, thread), self._clock, self._first)

    def threads(self, slot: int) -> Sequence[int]:
        """The numbers of the pages that show jobs of a slot; 0 is its main thread's."""
        count, _, main_too = _PAGES.unpack_from(self._page(slot), _THREADS_AT)
        return range(0 if main_too or not count else 1, count + 1)

    def read(self, slot: int) -> SlotState:
        """What the child in a slot does; of one with threads, all of them as one."""
        main = self.read_thread(slot, 0)
        most: int = _U32.unpack_from(self._page(slot), _THREADS_AT + 4)[0]
        if not most:
            return main
        pages = {thread: self.read_thread(slot, thread) for thread in range(1, most + 1)}
        # A thread that has not begun yet shows what one before it did.
        # One that a loop has added since is seen the next time.
        shown = [pages.get(n) if n else main for n in self.threads(slot)]
        own = [page for page in shown if page and page.incarnation == main.incarnation]
        return whole(main, own, list(pages.values()))

    def read_thread(self, slot: int, thread: int) -> SlotState:
        """A consistent copy of the child's half of a page."""
        page = self._page(slot, thread)
        for _ in range(_READ_TRIES):
            # Asked before the copy, not of it: memcpy() may copy a page's end before its beginning.
            sequence = _U32.unpack_from(page, 0)[0]
            copy = bytes(page[:_HALF])
            if sequence & 1 == 0 and sequence == _U32.unpack_from(page, 0)[0]:
                return _parse(copy)
        # Its writer was killed in the middle of a write: what is there is all there is.
        return _parse(bytes(page[:_HALF]))

    def limit(self, slot: int, thread: int = 0) -> Limit | None:
        """The limit of the job that a thread runs, if it has one."""
        page = self._page(slot, thread)
        limit = Limit(*_LIMIT.unpack_from(page, _DEADLINE_AT))
        # Another one by now: what was read may be half of each.
        is_whole = _F64.unpack_from(page, _DEADLINE_AT)[0] == limit.deadline
        return limit if limit.deadline and is_whole else None

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

    def cancel(self, slot: int, jid: str, thread: int = 0) -> None:
        """Say that this job is cancelled if the thread runs it. The master alone calls this."""
        _JID.pack_into(self._page(slot, thread), _CANCEL_AT, shown_jid(jid).encode())

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
        return self._first[_OFFSET_AT // 8]

    def set_clock_offset(self, seconds: float) -> None:
        """Leave the measured offset for the workers. The poller alone calls this."""
        _F64.pack_into(self._page(0), _OFFSET_AT, seconds)

    @property
    def redis_away_since(self) -> float:
        """Monotonic seconds since which the poller has had no answer; 0 if it has one."""
        return self._first[_AWAY_AT // 8]

    def set_redis_away_since(self, seconds: float) -> None:
        """Tell the master. The poller alone calls this."""
        _F64.pack_into(self._page(0), _AWAY_AT, seconds)

    @property
    def newest_cancel(self) -> float:
        """A number of the poller's that changes when another job was cancelled."""
        return self._first[_NEWEST_CANCEL]

    def set_newest_cancel(self, number: float) -> None:
        """Have the workers look for what was cancelled. The poller alone calls this."""
        self._first[_NEWEST_CANCEL] = number

    @property
    def has_async_jobs(self) -> bool:
        """Whether workers run jobs in loops: the poller does not know the application."""
        return self._first[_HAS_ASYNC_JOBS] > 0

    def set_has_async_jobs(self, *, has_any: bool) -> None:
        """Tell the poller. Any worker calls this when it has booted."""
        self._first[_HAS_ASYNC_JOBS] = float(has_any)

    def set_master_wakes_at(self, monotonic: float) -> None:
        """Say until when the master waits. The master alone calls this."""
        self._first[_WAKES] = monotonic

    def set_instance_state(self, state: InstanceState) -> None:
        """Say what the instance as a whole is doing. The master alone calls this."""
        _U32.pack_into(self._page(0), _INSTANCE_AT, state)


_READ_TRIES: Final = 1000


def _parse(copy: bytes) -> SlotState:
    _, state, pid, incarnation, beat, started, processed, failed = _CHILD.unpack_from(copy, 0)
    is_named = _U32.unpack_from(copy, _IS_NAMED_AT)[0]
    deadline = _F64.unpack_from(copy, _DEADLINE_AT)[0]
    queue, name, jid = _JOB.unpack_from(copy, _JOB_AT) if is_named else (b"", b"", b"")
    count = min(_U32.unpack_from(copy, _RING_AT)[0], RING_SIZE)
    starts = range(_RING_AT + 8, _RING_AT + 8 + count * _RING_ENTRY, _RING_ENTRY)
    finished = tuple(as_text(_I64.unpack_from(copy, at)[0]) for at in starts)
    return SlotState(
        State.RUNNING if started else State(state),  # to write that, too, would cost each job
        pid,
        incarnation,
        beat,
        started,
        as_text(_I64.unpack_from(copy, _RUNNING_AT)[0]),
        processed,
        failed,
        _text(queue),
        _text(name),
        _text(jid),
        finished,
        _F64.unpack_from(copy, _DEADLINE_AT + 8)[0] if deadline else 0.0,
    )


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode(errors="replace")
