"""The words of Sidekiq's job metrics: rollups, fields, histograms. No clock, no Redis.

Each class of jobs has executions, failures and milliseconds in a hash for every minute and for
every ten minutes, and a histogram of its durations for every minute. All times are UTC.

Source: Sidekiq's lib/sidekiq/metrics/{tracking,shared,query}.rb; 7.3 and 8.1 name keys differently.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from struct import Struct
from typing import Final, Literal, TypeAlias

import msgspec

from jobd.keys import Keys

Wire: TypeAlias = Literal[7, 8]

BOUNDS_MS: Final = (
    *(20, 30, 45, 65, 100, 150, 225, 335, 500, 750, 1_100, 1_700, 2_500, 3_800, 5_750, 8_500),
    *(13_000, 20_000, 30_000, 45_000, 65_000, 100_000, 150_000, 225_000, 335_000),
)
"""Upper bounds of the buckets of a histogram, exclusive; one more bucket is open."""
BUCKETS: Final = len(BOUNDS_MS) + 1
_STORED: Final = Struct(f">{BUCKETS}H")

MINUTE_LIFE_S: Final = 28_800
TEN_MINUTES_LIFE_S: Final = 259_200
MARKS_LIFE_S: Final = 7_776_000
LABEL_LIFE_S: Final = 60
MOST_MINUTES: Final = 480
MOST_HOURS: Final = 72


class Counts(msgspec.Struct, frozen=True, gc=False):
    """What was counted of one class of jobs.

    Attributes:
        executions: failed ones included.
        total_ms: of those that did not fail, as the histogram.
        histogram: how many took how long, a number for each bucket.
    """

    executions: int = 0
    failures: int = 0
    total_ms: int = 0
    histogram: tuple[int, ...] = (0,) * BUCKETS

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Counts":
        """Make it of all its numbers, in the order of the attributes."""
        return cls(numbers[0], numbers[1], numbers[2], tuple(numbers[3:]))

    @property
    def numbers(self) -> tuple[int, ...]:
        """All its numbers, in the order of the attributes."""
        return (self.executions, self.failures, self.total_ms, *self.histogram)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts.of([a + b for a, b in zip(self.numbers, other.numbers, strict=True)])

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts.of([a - b for a, b in zip(self.numbers, other.numbers, strict=True)])


def bucket(elapsed_ms: float) -> int:
    """Index of the bucket of a histogram in which a duration falls."""
    return bisect_right(BOUNDS_MS, elapsed_ms)


def additions(
    keys: Keys, tallies: Mapping[str, Counts], at_s: float, wire: Wire
) -> list[tuple[str | int, ...]]:
    """The commands that add to the metrics of a moment; none where nothing was counted.

    Args:
        keys: the names of the keys.
        tallies: by the name of the class.
        at_s: epoch seconds.
        wire: 8 for a rollup of the minute and one of ten minutes; 7 for the minute's alone, under
            the names that Sidekiq up to 7.3 looks for.
    """
    rollups = {keys.rollup(minute(at_s, wire)): MINUTE_LIFE_S}
    if wire == 8:
        rollups[keys.rollup(ten_minutes(at_s))] = TEN_MINUTES_LIFE_S
    commands: list[tuple[str | int, ...]] = []
    for key, life_s in rollups.items() if tallies else ():
        commands += [("HINCRBY", key, *pair) for pair in _fields(tallies)]
        commands.append(("EXPIRE", key, life_s))
    for name, counts in tallies.items():
        if any(counts.histogram):
            key = keys.histogram(name, histogram_minute(at_s, wire))
            commands.append(("BITFIELD", key, "OVERFLOW", "SAT", *_increments(counts.histogram)))
            commands.append(("EXPIRE", key, MINUTE_LIFE_S))
    return commands


def _fields(tallies: Mapping[str, Counts]) -> Iterator[tuple[str, int]]:
    for name, counts in tallies.items():
        numbers = (counts.executions, counts.failures, counts.total_ms)
        for what, number in zip(("p", "f", "ms"), numbers, strict=True):
            if number:
                yield f"{name}|{what}", number


def _increments(histogram: Sequence[int]) -> Iterator[str | int]:
    for index, number in enumerate(histogram):
        if number:
            yield from ("INCRBY", "u16", f"#{index}", number)


def unpack(stored: bytes) -> tuple[int, ...]:
    """The counters of a histogram as it stands in Redis: 26 of 16 bits, the high byte first."""
    return _STORED.unpack(stored[: _STORED.size].ljust(_STORED.size, b"\0"))


def minute(at_s: float, wire: Wire) -> str:
    """How the rollup of a minute is called: ``261121|20:05``, and ``20261121|20:5`` up to 7.3."""
    when = datetime.fromtimestamp(at_s, UTC)
    if wire == 7:
        return f"{when:%Y%m%d}|{when.hour}:{when.minute}"
    return f"{when:%y%m%d}|{when.hour}:{when:%M}"


def ten_minutes(at_s: float) -> str:
    """How the rollup of ten minutes is called: its minutes without their last digit."""
    return minute(at_s, 8)[:-1]


def histogram_minute(at_s: float, wire: Wire) -> str:
    """How the minute of a histogram is called: ``1-9:5``, and ``01-09:5`` up to 7.3."""
    when = datetime.fromtimestamp(at_s, UTC)
    if wire == 7:
        return f"{when:%d-%H}:{when.minute}"
    return f"{when.day}-{when.hour}:{when.minute}"


def percentile_ms(histogram: Sequence[int], share: float) -> float:
    """The duration that this share of the jobs did not exceed, estimated.

    The histogram says in which bucket the job of rank ``share * n`` lies; within it durations are
    taken to be spread evenly, so the estimate is off by the width of a bucket at the most. Of the
    open bucket only its lower bound is known.

    Args:
        histogram: a number for each bucket.
        share: above 0, up to 1.

    Returns:
        Milliseconds; 0 for an empty histogram.
    """
    rank, below, lower = share * sum(histogram), 0, 0
    for number, upper in zip(histogram, BOUNDS_MS, strict=False):
        if number and below + number >= rank:
            return lower + (upper - lower) * (rank - below) / number
        below, lower = below + number, upper
    return float(lower) if below < sum(histogram) else 0.0
