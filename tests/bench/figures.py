"""Statistics of a run: pure, values in and values out."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Better: TypeAlias = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Figure:
    """What a number means.

    Attributes:
        name: key in the JSON.
        unit: of the values.
        better: which direction is.
    """

    name: str
    unit: str
    better: Better


class Sample(NamedTuple):
    """How many jobs were finished at a moment."""

    at_s: float
    jobs: int


def rate(samples: Sequence[Sample], warm_s: float) -> float:
    """Jobs a second, from ``warm_s`` after the first finished job to the last one.

    What comes before is the start of the workers, what comes after the last increase an empty
    queue. A backlog too small to outlast the warm-up is taken from its first job on.

    Args:
        samples: in order of time; the first ones may have none.
        warm_s: seconds to leave out.

    Raises:
        ValueError: no time passed between two samples, so there is no rate.
    """
    began = next((sample for sample in samples if sample.jobs > 0), None)
    if began is None:
        raise ValueError("no job was finished")
    last = next(sample for sample in samples if sample.jobs == samples[-1].jobs)
    warm = (sample for sample in samples if sample.at_s >= began.at_s + warm_s)
    first = next(warm, last)
    if first.jobs >= last.jobs:
        first = began
    if first.jobs >= last.jobs:
        raise ValueError("all jobs were finished between two looks")
    return (last.jobs - first.jobs) / (last.at_s - first.at_s)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of the values do not exceed.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    rank = max(1, math.ceil(len(values) * percent / 100))
    return sorted(values)[rank - 1]


@dataclass(frozen=True, slots=True)
class Spread:
    """The rounds of one side: their median, and how far they lay apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    @property
    def percent(self) -> float:
        """Half the distance of low and high, in percent of the median."""
        return 50 * (self.high - self.low) / self.median if self.median else 0.0


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of what both measured side by side.

    Rounds that only one of them has are left out. A side that measured nothing but zeros has an
    infinite distance.

    Raises:
        ValueError: no round has both.
    """
    pairs = list(zip(ours, theirs, strict=False))
    if not pairs:
        raise ValueError("no round in common")
    return statistics.median(ours / theirs if theirs else math.inf for ours, theirs in pairs)


def shown(value: float) -> str:
    """A number with three significant digits, thousands apart."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 1000:
        rounded = round(value, -max(0, len(str(int(abs(value)))) - 3))
        return f"{rounded:,.0f}"
    return f"{value:.3g}"
