"""What a shop's Redis may hold: jobs in every place, processes, days gone by, metrics."""

import json
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

from jobd.keys import Keys
from jobd.metrics import Counts, additions, bucket
from tests.support.servers import Raw

NOW_S = 1_760_000_000.0


def a_job(name: str = "ChargeCard", *args: Any, **fields: Any) -> dict[str, Any]:
    """A payload as Sidekiq 8 writes it."""
    number = random.randrange(16**24)
    now_ms = int(time.time() * 1000)
    return {
        "class": name,
        "args": list(args),
        "jid": f"{number:024x}",
        "queue": "default",
        "retry": True,
        "created_at": now_ms - 90_000,
        "enqueued_at": now_ms - 60_000,
        **fields,
    }


def a_failed_job(name: str = "ChargeCard", *args: Any, **fields: Any) -> dict[str, Any]:
    """One that has failed twice."""
    now_ms = int(time.time() * 1000)
    error = {
        "error_class": "CardDeclined",
        "error_message": "the bank says no (code 51)",
        "failed_at": now_ms - 50_000,
        "retried_at": now_ms - 20_000,
        "retry_count": 1,
    }
    return a_job(name, *args, **{**error, **fields})


def batched(items: Sequence[Any], size: int = 1_000) -> Iterator[Sequence[Any]]:
    """The same in parts that one command can carry."""
    for at in range(0, len(items), size):
        yield items[at : at + size]


class Stock:
    """Puts things into Redis, the way that servers and clients do."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw

    def past_errors(self, job: dict[str, Any], *errors: tuple[str, int]) -> None:
        """Those of a job before its last one, each a class and epoch milliseconds."""
        for name, at in errors:
            kept = {"error_class": name, "error_message": "told", "at": at}
            entry = json.dumps({**kept, "failed_at": job["failed_at"]})
            self.raw.lpush(f"jobd:errors:{job['jid']}", entry)

    def queue(self, *jobs: dict[str, Any], name: str = "default") -> list[dict[str, Any]]:
        """Push jobs."""
        self.raw.sadd("queues", name)
        for some in batched(jobs):
            texts = [json.dumps({**job, "queue": name}) for job in some]
            self.raw.lpush(f"queue:{name}", *texts)
        return list(jobs)

    def sorted(self, place: str, *jobs: dict[str, Any], in_s: float = 3600) -> list[dict[str, Any]]:
        """Put jobs into a set, a second apart."""
        first_s = time.time() + in_s
        for some in batched(list(enumerate(jobs))):
            self.raw.zadd(place, {json.dumps(job): first_s + number for number, job in some})
        return list(jobs)

    def ruby(self, identity: str = "ruby-1:900:abc", *, quiet: bool = False) -> str:
        """The heartbeat of a Ruby Sidekiq 7, with one running job."""
        info = {
            "hostname": identity.split(":", maxsplit=1)[0],
            "started_at": time.time() - 3600,
            "pid": 900,
            "tag": "legacy",
            "concurrency": 5,
            "queues": ["default", "ruby"],
            "labels": ["reliable"],
            "identity": identity,
            "version": "7.3.9",
            "embedded": False,
        }
        self.raw.sadd("processes", identity)
        self.raw.hset(
            identity,
            mapping={
                "info": json.dumps(info),
                "busy": 1,
                "beat": time.time(),
                "rtt_us": 150,
                "quiet": str(quiet).lower(),
                "rss": 88_000,
            },
        )
        work = {"queue": "ruby", "payload": json.dumps(a_job("HardJob", 1)), "run_at": time.time()}
        self.raw.hset(f"{identity}:work", "tid1", json.dumps({**work, "run_at": int(time.time())}))
        return identity

    def instance(self, identity: str, workers: int = 8) -> None:
        """What only jobd tells of an instance, in addition."""
        told = [
            {
                "slot": slot,
                "pid": 1000 + slot,
                "incarnation": 2,
                "state": "running",
                "since": time.time() - 600,
                "rss_kb": 36_000,
                "processed": 12_345,
                "failed": 6,
                "restarts": 1,
                "last_exit": "SIGKILL",
                "class": "ChargeCard",
                "jid": "a" * 24,
                "run_at": time.time() - 3,
            }
            for slot in range(1, workers + 1)
        ]
        facts = {"state": "running", "version": "0.1.0", "workers": json.dumps(told)}
        self.raw.hset(f"jobd:instance:{identity}", mapping=facts)

    def look(self, stacks: str, lines: Sequence[str] | None) -> None:
        """What jobd shows of the running job of `ruby`, when it was asked."""
        key = "jobd:look:ruby-1:900:abc:tid1"
        jid = json.loads(json.loads(self.raw.hget("ruby-1:900:abc:work", "tid1"))["payload"])["jid"]
        text = None if lines is None else "\n".join(lines)
        told = {"jid": jid, "at_ms": int(time.time() * 1000), "stacks": stacks, "lines": text}
        self.raw.set(key, json.dumps(told), ex=60)

    def history(self, days: int = 30) -> None:
        """Counters of the days gone by."""
        rng = random.Random(4)
        for ago in range(days):
            day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400 * ago))
            processed = rng.randint(40_000, 90_000)
            self.raw.set(f"stat:processed:{day}", processed)
            self.raw.set(f"stat:failed:{day}", processed // rng.randint(20, 90))

    def metrics(
        self,
        names: dict[str, float],
        minutes: int = 60,
        keys: Keys | None = None,
        jobs: int = 120,
    ) -> None:
        """What classes of jobs cost in the last minutes.

        Args:
            names: how many seconds a job takes about, by class.
            minutes: how many.
            keys: where they are kept by queue or host instead.
            jobs: of each class in each minute, besides up to six that fail.
        """
        rng = random.Random(5)
        for ago in range(minutes):
            tallies: dict[str, Counts] = {}
            for name, mean_s in names.items():
                took_ms = [1000 * rng.lognormvariate(0, 0.5) * mean_s for _ in range(jobs)]
                histogram = [0] * 26
                for each in took_ms:
                    histogram[bucket(each)] += 1
                failures = rng.randint(0, 6)
                total_ms = int(sum(took_ms))
                tallies[name] = Counts(jobs + failures, failures, total_ms, tuple(histogram))
            for command in additions(keys or Keys(), tallies, time.time() - 60 * ago, 8):
                self.raw.execute_command(*command)


def fill(stock: Stock) -> None:
    """Something for every page."""
    stock.queue(a_job("ChargeCard", 1, {"holder": "Ada"}, tags=["eu"]))
    stock.sorted("schedule", a_job("Reminder", "ada@example.com"))
    stock.sorted("retry", a_failed_job("ChargeCard", 2), a_failed_job("ChargeCard", 3))
    stock.sorted("dead", a_failed_job("ImportCatalogue", "https://example.com"), in_s=-60)
    stock.ruby()
    stock.history()
    stock.metrics({"ChargeCard": 0.1, "Reminder": 2.0}, minutes=5)
