"""Moving due jobs from ``schedule`` and ``retry`` to their queues.

Due means due by the server's clock, so no clock of any host can make a job early. Any number of
pollers may do this at once: the script that moves a job moves it only if it is still there.

Source: Sidekiq's lib/sidekiq/scheduled.rb, whose pop and push are two steps and lose a job when the
process dies between them; here they are one.
"""

import random
from typing import Final

from jobd import faults, log
from jobd.errors import MalformedPayload, RedisRejected
from jobd.payload import Wire, decode, encode, timestamp
from jobd.store import Promotion, Store

_SLICE: Final = 100
_SLICES_A_STEP: Final = 20
_REFUSED_FOR_S: Final = 1.0
_DEFAULT_QUEUE: Final = "default"


class Promoter:
    """Promotes what is due, and knows when the next job will be.

    Args:
        store: over the poller's connection.
        wire: 8 for integer milliseconds, 7 for float seconds.
        rng: spreads pollers over the due jobs and over time.
    """

    def __init__(self, store: Store, *, wire: Wire, rng: random.Random) -> None:
        self._store = store
        self._wire: Wire = wire
        self._rng = rng
        self._refusal = ""  # what the log knows already

    def step(self, instances: int) -> float:
        """Promote what is due, up to some thousand jobs.

        Args:
            instances: how many pollers share the work.

        Returns:
            Seconds until the next step is useful; 0 if more is due already.
        """
        longest_s = max(1.0, instances / 10)
        wait_s = longest_s * self._rng.uniform(0.75, 1.0)
        zsets = (self._store.keys.retry, self._store.keys.schedule)
        if not self._store.has_any(*zsets):
            return wait_s  # one command a second, where looking into both would take six
        for zset in zsets:
            wait_s = min(wait_s, self._promote_all(zset, instances))
        return wait_s

    def _promote_all(self, zset: str, instances: int) -> float:
        for _ in range(_SLICES_A_STEP):
            # Pollers that look at the same slice would all but one find it moved already.
            offset = self._rng.randrange(instances) * _SLICE if instances > 1 else 0
            due = self._store.due(zset, limit=_SLICE, offset=offset)
            faults.point("due")
            if not self._promote(zset, due.raws, due.now_s):
                return _REFUSED_FOR_S
            if not due.raws:
                return float("inf") if due.next_s is None else max(due.next_s - due.now_s, 0.0)
        return 0.0

    def _promote(self, zset: str, raws: tuple[bytes, ...], now_s: float) -> bool:
        """Promote a slice; False if the server refused some of it."""
        promotions: list[Promotion] = []
        for raw in raws:
            try:
                promotions.append(self._enqueued(raw, now_s))
            except MalformedPayload as error:
                log.event("not a job: buried as it is", level="error", set=zset, reason=str(error))
                self._store.bury_due(zset, raw, now_s)
        if not promotions:
            return True
        try:
            moved = self._store.promote(zset, promotions)
        except RedisRejected as error:
            if str(error) != self._refusal:
                log.event(str(error), level="error", set=zset)
            self._refusal = str(error)
            return False
        self._refusal = ""
        log.event("promoted", level="debug", set=zset, jobs=moved)
        return True

    def _enqueued(self, raw: bytes, now_s: float) -> Promotion:
        payload = decode(raw)
        # A payload that another client wrote may lack them; Sidekiq fills in the same.
        queue = payload.setdefault("queue", _DEFAULT_QUEUE)
        payload.setdefault("retry", True)
        payload["enqueued_at"] = timestamp(int(now_s * 1000), self._wire)
        if not isinstance(queue, str) or not queue:
            raise MalformedPayload(f"its queue is {queue!r}, not a name")
        return Promotion(raw, queue, encode(payload))
