"""The memory of processes with shared pages split among those that share them (PSS).

The kernel walks all pages of a process to tell it, about a millisecond for 50 MB, so each process
is looked at once a minute at the most, and few at a time.
"""

from collections.abc import Collection
from typing import Final

from jobd.clock import Clock
from jobd.proc import share_bytes

_EVERY_S: Final = 60.0
_AT_ONCE: Final = 16


class Shares:
    """What was seen last.

    Args:
        clock: by which that is old.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[int, tuple[float, int]] = {}

    def look(self, pids: Collection[int]) -> dict[int, int]:
        """Kilobytes by pid, of those of them that were looked at by now; 0 if that told nothing."""
        now_s = self._clock.monotonic()
        self._seen = {pid: seen for pid, seen in self._seen.items() if pid in pids}
        ages = {pid: now_s - self._seen[pid][0] for pid in pids if pid in self._seen}
        due = [pid for pid in pids if ages.get(pid, _EVERY_S) >= _EVERY_S]
        for pid in sorted(due, key=lambda pid: -ages.get(pid, float("inf")))[:_AT_ONCE]:
            self._seen[pid] = (now_s, share_bytes(pid) // 1024)
        return {pid: kb for pid, (_, kb) in self._seen.items()}
