"""The clients of a run: they push at a steady rate, and remember what the server has accepted."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError, ResponseError

from tests.support import wire

QUEUES = ("critical", "default", "low")
_ASYNC = 0.4


@dataclass
class Pushed:
    """What is known of the jobs.

    Attributes:
        accepted: when the server said yes, in monotonic seconds, or when it is due, by jid.
        unsure: jids whose push got no answer: they may run or not.
        alone: those that only the primary is known to have: a failover may lose them.
        deadly: jids of jobs that crash their worker, and belong into ``dead``.
        due: those of ``accepted`` that were scheduled.
    """

    accepted: dict[str, float] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    alone: set[str] = field(default_factory=set)
    deadly: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)


class Load:
    """Pushes from a thread until stopped.

    Args:
        connect: to the server itself, around all proxies.
        seed: of what is pushed.
        rate: jobs a second.
        make: takes random numbers, gives the class and the arguments of one job.
        replicas: that are to have a job.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        *,
        seed: int,
        rate: float,
        make: Callable[[random.Random], tuple[str, list[Any]]],
        replicas: int = 0,
    ) -> None:
        self.pushed = Pushed()
        self._connect = connect
        self._replicas = replicas
        self._rng = random.Random(seed)
        self._rate = rate
        self._make = make
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; the last push is answered by then."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        client = self._connect()
        began = time.monotonic()
        count = 0
        while not self._over.is_set():
            owed = int((time.monotonic() - began) * self._rate) - count
            for _ in range(min(owed, 50)):
                if not self._push(client):
                    client.close()
                    client = self._connect()
            count += max(owed, 0)  # what an outage kept from being pushed is not made up for
            self._over.wait(0.01)

    def _push(self, client: Any) -> bool:
        rng, pushed = self._rng, self.pushed
        name, args = self._make(rng)
        payload = wire.a_payload(name, *args, queue=rng.choice(QUEUES))
        jid = payload["jid"]
        in_s = rng.uniform(0, 3) if rng.random() < 0.05 else 0.0
        asked_at = time.monotonic()
        try:
            is_kept = self._send(client, payload, in_s)
        except RedisError as error:
            # A refusal is an answer; a connection that broke is none.
            if not isinstance(error, ResponseError):
                pushed.unsure.add(jid)
            self._over.wait(0.02)
            return False
        if not is_kept:
            pushed.alone.add(jid)
            return True
        pushed.accepted[jid] = asked_at + in_s
        if in_s:
            pushed.due.add(jid)
        if "segfault" in args:
            pushed.deadly.add(jid)
        return True

    def _send(self, client: Any, payload: dict[str, Any], in_s: float) -> bool:
        """Push it; False if it is not known whether the replicas have it."""
        now_s, micros = client.time() if in_s else (0, 0)
        with client.pipeline(transaction=not self._replicas) as pipeline:
            if in_s:
                pipeline.zadd("schedule", {wire.encode(payload): now_s + micros / 1e6 + in_s})
            else:
                pipeline.sadd("queues", payload["queue"])
                pipeline.lpush(f"queue:{payload['queue']}", wire.encode(payload))
            if self._replicas:
                pipeline.execute_command("WAIT", self._replicas, 200)
            return int(pipeline.execute()[-1]) >= self._replicas


def mixed(rng: random.Random) -> tuple[str, list[Any]]:
    """Mostly jobs of 5 to 50 ms; some of none, some long, some that fail, a few that crash."""
    return _kind(rng), _mixed(rng)


def plain(rng: random.Random) -> tuple[str, list[Any]]:
    """Jobs of 5 to 50 ms."""
    return _kind(rng), [rng.uniform(5, 50)]


def _kind(rng: random.Random) -> str:
    return "AsyncWork" if rng.random() < _ASYNC else "Work"


def _mixed(rng: random.Random) -> list[Any]:
    draw = rng.random()
    if draw < 0.001:
        return [1, "segfault"]
    if draw < 0.01:
        return [rng.uniform(1_000, 3_000)]
    if draw < 0.03:
        return [1, "fails once"]
    if draw < 0.3:
        return [0]
    return [rng.uniform(5, 50)]
