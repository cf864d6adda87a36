"""Finds out which jobs were cancelled, and whether one of them runs here.

A round trip a second for the whole instance. Workers that see the number of the newest one change
fetch the rest themselves, so they do not begin such a job; one that runs already is told to the
master.
"""

from collections.abc import Iterator
from typing import Final

from jobd.cancelling import Cancelled
from jobd.clock import Clock
from jobd.scoreboard import Scoreboard, shown_jid

_LOOK_FOR_S: Final = 10.0
"""After that no worker begins a job without knowing that it is cancelled."""


class Cancels:
    """The poller's view of what is cancelled.

    Args:
        cancelled: over the store of the poller.
        scoreboard: what runs.
        clock: for how long ago the last one was cancelled.
    """

    def __init__(self, cancelled: Cancelled, scoreboard: Scoreboard, clock: Clock) -> None:
        self._cancelled = cancelled
        self._scoreboard = scoreboard
        self._clock = clock
        self._newest = self._look_until = 0.0
        self._shown: set[str] = set()

    def learn(self) -> None:
        """Find out what is cancelled, and have the workers do so.

        Raises:
            RedisError: it could not be found out.
        """
        newest = self._cancelled.refresh()
        # Not if the board has it: who wrote it there may have died before it told the master.
        if newest != self._newest:
            self._newest = newest
            self._scoreboard.set_newest_cancel(newest)
            self._look_until = self._clock.monotonic() + _LOOK_FOR_S
            self._shown = set(map(shown_jid, self._cancelled.jids))

    def step(self, *, has_any: bool = True) -> Iterator[dict[str, str | int]]:
        """What to tell the master; again and again until it has ended, for ten seconds.

        Args:
            has_any: whether any are cancelled; else nobody is asked.

        Raises:
            RedisError: it could not be found out.
        """
        if has_any:
            self.learn()
        if self._clock.monotonic() >= self._look_until:
            return
        for slot in range(1, self._scoreboard.used + 1):
            for thread in self._scoreboard.threads(slot):
                seen = self._scoreboard.read_thread(slot, thread)
                if seen.is_busy and seen.jid in self._shown:
                    where = {"slot": slot, "incarnation": seen.incarnation, "thread": thread}
                    yield {"type": "cancel", "jid": seen.jid, **where}
