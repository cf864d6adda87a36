"""What each class of jobs has cost so far, in memory that workers and poller share.

A worker adds to rows of its own, a store for most jobs; the poller sums them up over all workers
and publishes what was added since it last did, with a heartbeat that it sends anyway. So metrics
cost a worker no round trip, a job that runs for hours delays nobody's numbers, and kill -9 of a
worker or of the poller loses none.

One anonymous map is made before the first fork. Slot 0 is the poller's: it keeps there what Redis
knows already. Untouched pages cost nothing. The bytes of a slot::

    0     number of rows in use, 8 bytes
    512   row after row: 29 counters of 8 bytes, length of the name, the name

A name is that of the class, a NUL and the queue. A row without a class has how long jobs waited in
that queue, as far as they were sampled.

A row is only ever added, and a counter only grows, so a reader needs no lock: it may see a job's
execution before its duration, and gets that with the next heartbeat.
"""

import mmap
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import add
from typing import Final

from jobd.metrics import BUCKETS, Counts, bucket

_POLLER_SLOT: Final = 0
ROWS: Final = 1_024
"""So many classes in so many queues a worker can tell apart; further ones are not counted."""
_ROW: Final = 512
_SLOT: Final = _ROW * (ROWS + 1)
_WORDS_A_ROW: Final = _ROW // 8
_COUNTERS: Final = 3 + BUCKETS
_NAME_AT: Final = (_COUNTERS + 1) * 8
_LONGEST_NAME: Final = _ROW - _NAME_AT
_BEFORE_QUEUE: Final = "\0"


def row_of(name: str, queue: str) -> str:
    """The row of a class of jobs in one queue."""
    return f"{name}{_BEFORE_QUEUE}{queue}"


def wait_row(queue: str) -> str:
    """The row of the waits in one queue."""
    return row_of("", queue)  # no class has an empty name


def by_class(rows: Mapping[str, Counts]) -> dict[str, Counts]:
    """The counts of rows, summed up by class."""
    return _summed((name, counts) for name, _, counts in _taken_apart(rows) if name)


def by_queue(rows: Mapping[str, Counts]) -> dict[str, Counts]:
    """The counts of rows, summed up by queue."""
    return _summed((queue, counts) for name, queue, counts in _taken_apart(rows) if name)


def waits(rows: Mapping[str, Counts]) -> dict[str, Counts]:
    """How long jobs waited, by queue."""
    return {queue: counts for name, queue, counts in _taken_apart(rows) if not name}


class TallyWriter:
    """One process's pen for its own rows; they outlive it, for whoever takes its place."""

    def __init__(self, slot: memoryview) -> None:
        self._slot = slot
        # One store each, never half of a number: see the scoreboard.
        self._words = slot.cast("Q")
        self._rows = {_name(slot, row): row * _WORDS_A_ROW for row in range(1, self._words[0] + 1)}

    def count(self, name: str, elapsed_ms: int) -> None:
        """A job of this class is done."""
        at = self._rows.get(name) or self._row(name)
        if at is not None:
            if elapsed_ms:  # most jobs are over within a millisecond
                self._words[at + 2] += elapsed_ms
                self._words[at + 3 + bucket(elapsed_ms)] += 1
            else:
                self._words[at + 3] += 1

    def count_failure(self, name: str) -> None:
        """A job of this class failed. How long it took says nothing, so it is not kept."""
        at = self._row(name)
        if at is not None:
            self._words[at + 1] += 1

    def put(self, tallies: Mapping[str, Counts]) -> None:
        """Set whole rows."""
        for name, counts in tallies.items():
            at = self._row(name)
            if at is not None:
                self._words[at : at + _COUNTERS] = memoryview(array("Q", counts.numbers))

    def has_room_for(self, name: str) -> bool:
        """Whether there is a row for a class, or place for one more."""
        return self._row(name) is not None

    def _row(self, name: str) -> int | None:
        try:
            return self._rows[name]
        except KeyError:
            # Names longer than a row has room for count as one, if they begin alike.
            text = name.encode(errors="replace")[:_LONGEST_NAME]
            shown = _decoded(text)
            at = self._rows.get(shown) or self._add(text)
            if at is not None:
                self._rows[name] = self._rows[shown] = at
            return at

    def _add(self, text: bytes) -> int | None:
        row = self._words[0] + 1
        if row > ROWS:
            return None
        begin = row * _ROW + _NAME_AT
        self._slot[begin : begin + len(text)] = text
        self._words[row * _WORDS_A_ROW + _COUNTERS] = len(text)
        self._words[0] = row  # last: a reader looks at whole rows only
        return row * _WORDS_A_ROW


class Tallies:
    """The whole map. Make it before the first fork; every child inherits it.

    Args:
        workers: how many slots there are besides the poller's.
        used: the highest that was ever used; only so many are looked at.
    """

    def __init__(self, workers: int, used: Callable[[], int] | None = None) -> None:
        self._used = used or (lambda: workers)
        self._map = memoryview(mmap.mmap(-1, (workers + 1) * _SLOT))

    def writer(self, slot: int) -> TallyWriter:
        """The pen for the rows of a slot."""
        return TallyWriter(self._of(slot))

    def added(self) -> dict[str, Counts]:
        """What the workers counted and nobody has published, by row; O(workers x rows)."""
        total: dict[str, list[int]] = {}
        for slot in range(1, self._used() + 1):
            for name, numbers in self._rows(slot):
                total[name] = list(map(add, total[name], numbers)) if name in total else numbers
        known, writer = self.read(_POLLER_SLOT), self.writer(_POLLER_SLOT)
        return {
            name: counts - known.get(name, Counts())
            for name, counts in zip(total, map(Counts.of, total.values()), strict=True)
            # What cannot be noted as published would be published again and again.
            if counts != known.get(name) and writer.has_room_for(name)
        }

    def by_queue(self) -> dict[tuple[str, str], Counts]:
        """What the workers counted since the start, by class and queue; O(workers x rows).

        With an empty class: how long jobs waited in that queue.
        """
        total: dict[tuple[str, str], Counts] = {}
        for slot in range(1, self._used() + 1):
            for row, counts in self.read(slot).items():
                name, _, queue = row.partition(_BEFORE_QUEUE)
                total[name, queue] = total.get((name, queue), Counts()) + counts
        return total

    def publish(self, added: Mapping[str, Counts]) -> None:
        """Note that this is known to Redis. The poller alone calls this."""
        known = self.read(_POLLER_SLOT)
        total = {name: counts + known.get(name, Counts()) for name, counts in added.items()}
        self.writer(_POLLER_SLOT).put(total)

    def read(self, slot: int) -> dict[str, Counts]:
        """The rows of one slot."""
        return {name: Counts.of(numbers) for name, numbers in self._rows(slot)}

    def _rows(self, slot: int) -> Iterator[tuple[str, list[int]]]:
        page = self._of(slot)
        words = page.cast("Q")
        for row in range(1, words[0] + 1):
            at = row * _WORDS_A_ROW
            numbers = words[at : at + _COUNTERS].tolist()
            numbers[0] = numbers[1] + sum(numbers[3:])  # who did not fail is in the histogram
            yield _name(page, row), numbers

    def _of(self, slot: int) -> memoryview:
        return self._map[slot * _SLOT : (slot + 1) * _SLOT]


def _taken_apart(rows: Mapping[str, Counts]) -> Iterator[tuple[str, str, Counts]]:
    for row, counts in rows.items():
        name, _, queue = row.partition(_BEFORE_QUEUE)
        yield name, queue, counts


def _summed(pairs: Iterable[tuple[str, Counts]]) -> dict[str, Counts]:
    total: dict[str, Counts] = {}
    for name, counts in pairs:
        total[name] = total[name] + counts if name in total else counts
    return total


def _name(slot: memoryview, row: int) -> str:
    begin = row * _ROW + _NAME_AT
    length: int = slot.cast("Q")[row * _WORDS_A_ROW + _COUNTERS]
    return _decoded(bytes(slot[begin : begin + length]))


def _decoded(text: bytes) -> str:
    return text.decode(errors="ignore")  # the cut may have gone through a character
