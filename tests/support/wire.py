"""Jobs put into Redis by hand, as any Sidekiq client would, without any code of jobd.

So a test of the server needs no client, and a change of jobd's wire format cannot hide itself.
"""

import json
import secrets
import time
from typing import Any

from tests.support.eventually import eventually
from tests.support.servers import Raw


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def a_payload(name: str = "Echo", *args: Any, **fields: Any) -> dict[str, Any]:
    """Return a payload of Sidekiq 8 for a job of this name; fields replace or add."""
    payload = {
        "retry": True,
        "queue": "default",
        "class": name,
        "args": list(args),
        "jid": secrets.token_hex(12),
        "created_at": now_ms(),
    }
    return payload | fields


def encode(payload: dict[str, Any]) -> bytes:
    """Return it as Ruby writes it: compact, UTF-8."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def push(raw: Raw, name: str, *args: Any, **fields: Any) -> str:
    """Put a job at the end of its queue (LPUSH) and return its jid."""
    payload = a_payload(name, *args, enqueued_at=now_ms(), **fields)
    with raw.pipeline(transaction=True) as pipeline:
        pipeline.sadd("queues", payload["queue"])
        pipeline.lpush(f"queue:{payload['queue']}", encode(payload))
        pipeline.execute()
    return str(payload["jid"])


def schedule(raw: Raw, seconds: float, name: str, *args: Any, **fields: Any) -> str:
    """Put a job into ``schedule``, due in so many seconds; returns its jid."""
    payload = a_payload(name, *args, **fields)
    raw.zadd("schedule", {encode(payload): time.time() + seconds})
    return str(payload["jid"])


def queued(raw: Raw, queue: str = "default") -> list[dict[str, Any]]:
    """Return the jobs of a queue, the one that runs next first."""
    return [json.loads(job) for job in reversed(raw.lrange(f"queue:{queue}", 0, -1))]


def entries(raw: Raw, name: str) -> list[dict[str, Any]]:
    """Return the jobs of ``schedule``, ``retry`` or ``dead``, the earliest first."""
    return [json.loads(job) for job in raw.zrange(name, 0, -1)]


def have_them_beat(raw: Raw) -> None:
    """Have every jobd beat at once, and read what it is told, rather than in ten seconds.

    As after a FLUSHALL: an instance that is not registered registers at once, or has left.
    """
    known = [b"jobd:instance:" + identity for identity in raw.smembers("processes")]
    ours = [key for key in known if raw.delete(key)]  # the others are Ruby's

    def has_beaten(key: bytes) -> bool:
        identity = key.removeprefix(b"jobd:instance:")
        return bool(raw.exists(key)) or not raw.sismember("processes", identity)

    eventually(lambda: all(map(has_beaten, ours)))


def privates(raw: Raw) -> list[bytes]:
    """Return the names of the private lists that hold jobs."""
    return sorted(raw.scan_iter("jobd:private:*"))
