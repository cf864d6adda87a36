"""Many jobs at once, and the audit at the end: where is each of them?"""

from collections.abc import Iterable

from redis.exceptions import RedisError

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess
from tests.support.servers import Raw

PATIENCE_S = 60.0
"""For what takes two seconds on an idle machine."""


def push_many(
    raw: Raw, name: str, count: int, queue: str = "default", *, first: int = 0
) -> list[str]:
    """Queue so many jobs in one go, each with the queue and its number as arguments."""
    numbers = range(first, first + count)
    payloads = [wire.a_payload(name, queue, number, queue=queue) for number in numbers]
    raw.sadd("queues", queue)
    raw.lpush(f"queue:{queue}", *map(wire.encode, payloads))
    return [payload["jid"] for payload in payloads]


def schedule_many(raw: Raw, at_s: float, name: str, count: int, queue: str = "default") -> set[str]:
    """Schedule so many jobs, all for the same moment."""
    payloads = [wire.a_payload(name, number, queue=queue) for number in range(count)]
    raw.zadd("schedule", {wire.encode(payload): at_s for payload in payloads})
    return {payload["jid"] for payload in payloads}


def server_now_s(raw: Raw) -> float:
    """The server's clock."""
    seconds, micros = raw.time()
    return float(seconds) + float(micros) / 1e6


def push_what_is_accepted(raw: Raw, name: str, count: int) -> set[str]:
    """Push so many jobs one by one; the jids of those that the server has acknowledged."""
    accepted: set[str] = set()
    for number in range(count):
        try:
            accepted.add(wire.push(raw, name, number))
        except RedisError:
            continue
    return accepted


def jids(processes: Iterable[JobdProcess], event: str = "done") -> list[str]:
    """Of the jobs that these instances wrote down, sorted."""
    return sorted(run["jid"] for process in processes for run in process.ran(event))


def wait_for_more_runs(jobd: JobdProcess, seen: int) -> int:
    """Wait until more than ``seen`` jobs are done; returns how many are."""

    def done() -> int | None:
        count = len(jobd.ran())
        return count if count > seen else None

    return eventually(done, timeout=PATIENCE_S, message=jobd.log)


def is_empty(raw: Raw) -> bool:
    """Nothing is queued, claimed, scheduled, to be retried or dead."""
    queues = [f"queue:{name.decode()}" for name in raw.smembers("queues")]
    return not wire.privates(raw) and not raw.exists(*queues, "schedule", "retry", "dead")
