"""The last minutes of a dashboard that somebody looks at: counters and queue sizes by the second.

Redis keeps no history of these, and a dashboard should write nothing. So each view leaves a sample
here, in this process only: lines begin when the page is opened. What must outlast a restart is in
the days of `Stats.history` and in the metrics.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_APART_S: Final = 1.0
_KEPT_S: Final = 600.0
_MOST_QUEUES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at a moment.

    Attributes:
        at_s: of the monotonic clock.
        sizes: by queue.
    """

    at_s: float
    processed: int
    failed: int
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Trend:
    """How a queue has developed.

    Attributes:
        points: its sizes, the earliest first.
        per_minute: by how much it grew, or shrank; None if it was not watched for long enough.
    """

    points: tuple[int, ...]
    per_minute: float | None


class Samples:
    """A ring of samples; threads may share it."""

    def __init__(self) -> None:
        self._kept: deque[Sample] = deque(maxlen=int(_KEPT_S / _APART_S))  # guarded by _lock
        self._lock = threading.Lock()

    def add(self, at_s: float, processed: int, failed: int, sizes: Mapping[str, int]) -> None:
        """Keep one, unless the last is less than a second old."""
        few = dict(list(sizes.items())[:_MOST_QUEUES])
        with self._lock:
            if self._kept and at_s - self._kept[-1].at_s < _APART_S:
                return
            while self._kept and at_s - self._kept[0].at_s > _KEPT_S:
                self._kept.popleft()
            self._kept.append(Sample(at_s, processed, failed, few))

    def all(self) -> list[Sample]:
        """Those that are kept, the earliest first."""
        with self._lock:
            return list(self._kept)

    def trends(self, names: Sequence[str]) -> dict[str, Trend]:
        """How these queues have developed."""
        kept = self.all()
        return {name: _trend(name, kept) for name in names}


def _trend(name: str, kept: Sequence[Sample]) -> Trend:
    seen = [(sample.at_s, sample.sizes[name]) for sample in kept if name in sample.sizes]
    points = tuple(size for _, size in seen[-60:])
    if len(seen) < 2 or seen[-1][0] - seen[0][0] < 5:
        return Trend(points, None)
    recent = [pair for pair in seen if seen[-1][0] - pair[0] <= 60]
    (first_s, first), (last_s, last) = recent[0], recent[-1]
    lasted_s = last_s - first_s
    return Trend(points, 60 * (last - first) / lasted_s if lasted_s else None)
