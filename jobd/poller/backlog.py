"""What waits in Redis, for whoever watches: looked at now and then, in two round trips."""

from typing import Final

from jobd.errors import MalformedPayload
from jobd.health.figures import Backlog, QueueFigures
from jobd.payload import decode, to_ms
from jobd.store import Store

LOOK_EVERY_S: Final = 5.0


class BacklogWatch:
    """Remembers sizes and latencies.

    Args:
        store: over the poller's connection.

    Attributes:
        latest: None before the first look.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.latest: Backlog | None = None

    def look(self) -> float:
        """Look; O(number of queues), whatever is in them. Returns seconds until the next time."""
        redis, keys = self._store.redis, self._store.keys
        sets = {"schedule": keys.schedule, "retry": keys.retry, "dead": keys.dead}
        commands = [
            ("TIME",),
            ("SMEMBERS", keys.queues),
            *(("ZCARD", key) for key in sets.values()),
        ]
        time, members, *sizes = redis.pipeline(commands)
        now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
        names = sorted(member.decode(errors="replace") for member in members)
        queues = [keys.queue(name) for name in names]
        ends = [command for key in queues for command in (("LLEN", key), ("LINDEX", key, -1))]
        replies = redis.pipeline(ends) if ends else []
        figures = [
            QueueFigures(size, _latency_s(last, now_ms))
            for size, last in zip(replies[::2], replies[1::2], strict=True)
        ]
        self.latest = Backlog(
            dict(zip(names, figures, strict=True)), dict(zip(sets, sizes, strict=True))
        )
        return LOOK_EVERY_S


def _latency_s(raw: bytes | None, now_ms: int) -> float:
    if raw is None:
        return 0.0
    try:
        job = decode(raw)
    except MalformedPayload:  # a worker will bury it
        return 0.0
    since_ms = to_ms(job.get("enqueued_at")) or to_ms(job.get("created_at"))
    return 0.0 if since_ms is None else max(0, now_ms - since_ms) / 1000
