"""How long jobs wait in their queues: a sample of every claim.

The first job that a claim brings of a queue is the one that has waited there for longest. Those
behind it are not looked at: that would cost each job of a batch what it costs the claim once. Nor
is more than one claim a millisecond, which would tell no more, and cost short jobs that come one
by one a thirtieth of their time.
"""

from typing import Final

import msgspec

from jobd.payload import to_ms
from jobd.server_clock import ServerClock
from jobd.tallies import wait_row
from jobd.worker.given import Tally

_LONGEST_MS: Final = 366 * 86_400_000
_APART_S: Final = 0.001


class _Pushed(msgspec.Struct, gc=False):
    """All of a payload that is read here; the rest is skipped, not parsed."""

    enqueued_at: int | float | None = None


_DECODER: Final = msgspec.json.Decoder(_Pushed)


class QueueWait:
    """Samples the waits of one processor's jobs.

    Args:
        tally: where they are counted.
        clock: the server's, as far as it is known: a job may come from another host.
    """

    def __init__(self, tally: Tally, clock: ServerClock) -> None:
        self._tally = tally
        self._clock = clock
        self._next_at: dict[str, float] = {}  # by queue: one claim may bring jobs of several

    def sample(self, queue: str, raw: bytes) -> None:
        """Count how long a job has waited that was just claimed; one that does not say is left out.

        At most one of each queue in a millisecond.

        A client whose clock is fast makes it 0; one that is off by more than a year is not
        believed.
        """
        now = self._clock.monotonic()
        if now < self._next_at.get(queue, 0.0):
            return
        self._next_at[queue] = now + _APART_S
        try:
            since_ms = to_ms(_DECODER.decode(raw).enqueued_at)
        except (ValueError, RecursionError):
            return  # no job: the processor says so
        if since_ms is None:
            return
        waited_ms = int(self._clock.server_s(self._clock.now_ms()) * 1000) - since_ms
        if abs(waited_ms) <= _LONGEST_MS:
            self._tally.count(wait_row(queue), max(waited_ms, 0))
