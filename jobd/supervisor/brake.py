"""What keeps a child that dies again and again from eating the machine.

Two brakes. Each slot has a `Brake`: the delay before its next child grows with every death that
came too early. All slots share a `ForkBudget`, so that many deaths at once are no storm either.
Nothing here waits: the master's loop asks, and comes back when it is time.

Source: einhorn's spawn delay; supervision of gunicorn 27 without a brake made 198 boots in 10 s.
"""

import random
from typing import Final

LONGEST_DELAY_S: Final = 30.0
HEALTHY_S: Final = 60.0
_TOO_EARLY_S: Final = 1.0
_JITTER: Final = 0.2


class Brake:
    """The delay of one slot: 1, 2, 4 ... 30 s, each give or take a fifth.

    Args:
        rng: spreads slots that died together.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._deaths = 0

    def delay_s(self, *, health_s: float | None, held_job: bool, has_worked: bool = False) -> float:
        """Seconds to wait before the next child, now that one has died.

        Args:
            health_s: from its READY to its death; None if it never was ready.
            held_job: whether a job was running. It may be the job's fault, and is charged to it.
            has_worked: whether it has run a job to its end. Who can do that can boot: what came
                before is forgotten, or a slot whose workers are killed young would end at 30 s.
        """
        if health_s is not None:
            if health_s >= HEALTHY_S or held_job or has_worked:
                self._deaths = 0
            if health_s >= _TOO_EARLY_S or held_job:
                return 0.0
        self._deaths += 1
        delay = min(LONGEST_DELAY_S, 2.0 ** min(self._deaths - 1, 10))
        return delay * self._rng.uniform(1 - _JITTER, 1 + _JITTER)


class ForkBudget:
    """A token bucket: ``per_s`` forks a second in the long run, ``burst`` at once.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float) -> bool:
        """Spend one fork, if there is one to spend."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def next_at(self) -> float:
        """When there will be one to spend, in monotonic seconds."""
        return self._at + max(0.0, 1 - self._tokens) / self._per_s
