"""How many jobs a claim may take: so many that the last of them still begins soon."""

from typing import Final

_SOON_S: Final = 0.01
_SHORT_S: Final = 0.005
"""A job that takes longer has the ones behind it given back, so then each is claimed alone."""
MOST: Final = 128
"""The ring of the scoreboard has room for them, and for what else a healing claim may bring."""


class Pace:
    """What recent jobs took, and what follows from it. The first claim takes one job.

    Args:
        most: jobs that a claim may take at all.
    """

    def __init__(self, most: int) -> None:
        self._most = min(most, MOST)
        self._mean_s = 2 * _SHORT_S

    def note(self, jobs: int, took_s: float) -> None:
        """The jobs of a claim are over. Slower is believed at once, faster by half."""
        mean_s = took_s / jobs
        self._mean_s = max(mean_s, (self._mean_s + mean_s) / 2)

    @property
    def limit(self) -> int:
        """How many jobs to claim now: the last one begins within 10 ms if they go on like this."""
        if self._mean_s * self._most <= _SOON_S:
            return self._most
        if self._mean_s > _SHORT_S:
            return 1
        return min(self._most, 1 + int(_SOON_S / self._mean_s))
