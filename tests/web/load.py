"""Seeds a large system and measures each page of the dashboard on it, beside Ruby's Sidekiq Web.

``python -m tests.web.load [ENTRIES]`` starts a Valkey of its own; it takes some minutes and
about 2 GB with the default of 1,000,000 retries and as many scheduled jobs.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from jobd.api import Access
from jobd.config import RedisSettings
from jobd.keys import Keys
from jobd.pool import Pool
from jobd.web import Settings, create_app
from tests.support import leash, servers
from tests.web.stock import Stock, a_failed_job, a_job

# Half of the processes are jobd's, with eight workers each.
QUEUES = 500
PROCESSES = 200
RUNS = 15
PAGES = {
    "Overview": "/",
    "Processes": "/processes",
    "Running": "/running",
    "Queues": "/queues",
    "Queue": "/queues/queue-0",
    "Queue, last page": "/queues/queue-0?page=400",
    "Queue, by class": "/queues/queue-0?group=class",
    "Scheduled": "/scheduled",
    "Scheduled, last page": "/scheduled?page=40000",
    "Retries": "/retries",
    "Retries, by error": "/retries?group=error",
    "Retries, search that finds": "/retries?q=class:ChargeCard",
    "Retries, search that does not": "/retries?q=nowhere",
    "Dead": "/dead",
    "Find a job": "/find?jid=000000000000000000000000",
    "Jump to": "/jump?q=queue-4",
    "Metrics": "/metrics",
    "Metrics of a class": "/metrics/ChargeCard",
    "Metrics by queue": "/metrics?by=queue",
    "Metrics of a queue": "/metrics/queue-0?by=queue",
    "Configuration": "/configuration",
    "Audit log": "/audit",
    "Purged": "/trash",
}
SIDEKIQ = {
    "Overview": "/",
    "Processes": "/busy",
    "Queues": "/queues",
    "Queue": "/queues/queue-0",
    "Queue, last page": "/queues/queue-0?page=400",
    "Scheduled": "/scheduled",
    "Scheduled, last page": "/scheduled?page=40000",
    "Retries": "/retries",
    "Dead": "/morgue",
}


def seed(raw: servers.Raw, entries: int) -> None:
    """The large system."""
    raw.config_set("save", "")
    for place in ("retry", "schedule"):
        for members in _slices(place, entries):
            raw.zadd(place, members)
    stock = Stock(raw)
    for number in range(QUEUES):
        waiting = 10_000 if number == 0 else 20
        jobs = (a_job("ChargeCard", n) for n in range(waiting))
        name = f"queue-{number}"
        raw.sadd("queues", name)
        raw.lpush(f"queue:{name}", *(json.dumps({**job, "queue": name}) for job in jobs))
    stock.sorted("dead", *(a_failed_job("ChargeCard", n) for n in range(10_000)), in_s=-20_000)
    for number in range(PROCESSES):
        identity = stock.ruby(f"host-{number % 40}:{number}:abc")
        if number % 2:
            stock.instance(identity)
    stock.history(180)
    stock.metrics({f"Job{n}": 0.1 for n in range(30)} | {"ChargeCard": 0.2})
    for keys in (Keys().metrics_by("queue"), Keys().metrics_by("wait")):
        stock.metrics({f"queue-{n}": 0.1 for n in range(QUEUES)}, keys=keys, jobs=10)


def _slices(place: str, entries: int) -> Iterator[dict[bytes, float]]:
    make = a_failed_job if place == "retry" else a_job
    for first in range(0, entries, 10_000):
        yield {
            json.dumps(make(f"Job{n % 20}", n, {"customer": n})).encode(): time.time() + 60 + n / 10
            for n in range(first, min(first + 10_000, entries))
        }


def ours(raw: servers.Raw, url: str) -> dict[str, tuple[float, float, float]]:
    """Milliseconds of each page, in this process: at the median, at most, and of processors.

    The last, at the median, with Redis' own: what a machine that is busy with others tells truly.
    """
    access = Access(redis=Pool(RedisSettings(url=url)))
    app: Any = create_app(Settings(), access=access)

    async def measure() -> dict[str, tuple[float, float, float]]:
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        base = "http://127.0.0.1"
        async with httpx.AsyncClient(transport=transport, base_url=base, timeout=60) as client:
            rows = (await client.get("/retries?format=json")).json()["rows"]
            job = f"/job?{urlencode({'in': 'retry', 'id': rows[0]['id']})}"
            pages = {**PAGES, "A job": job}
            return {name: await _times(raw, client, path) for name, path in pages.items()}

    return asyncio.run(measure())


async def _times(
    raw: servers.Raw, client: httpx.AsyncClient, path: str
) -> tuple[float, float, float]:
    took: list[float] = []
    worked: list[float] = []
    for _ in range(RUNS):
        before_s = _worked_s(raw)
        began = time.perf_counter()
        answer = await client.get(path)
        took.append(1000 * (time.perf_counter() - began))
        worked.append(1000 * (_worked_s(raw) - before_s))
        assert answer.status_code == 200, (path, answer.text)
    return statistics.median(took), max(took), statistics.median(worked)


def _worked_s(raw: servers.Raw) -> float:
    told: Any = raw.info("cpu")
    return float(time.process_time() + told["used_cpu_sys"] + told["used_cpu_user"])


def sidekiq(url: str) -> dict[str, float]:
    """The same of Ruby's."""
    script = Path(__file__).parents[1] / "ruby" / "web_times.rb"
    done = subprocess.run(
        [leash.needs("ruby", "ruby-sidekiq"), str(script)],
        input=json.dumps({"pages": SIDEKIQ, "runs": RUNS}),
        env={"REDIS_URL": url, "PATH": "/usr/bin:/bin", "RACK_ENV": "production"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table."""
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    server = servers.Server("valkey")
    server.start()
    try:
        raw = servers.connect(server.url(), socket_timeout=60)
        seed(raw, entries)
        raw.config_set("slowlog-log-slower-than", 5_000)
        raw.slowlog_reset()
        mine = ours(raw, server.url())
        slow = raw.slowlog_get(10)
        theirs = sidekiq(server.url())
    finally:
        server.close()
    print(f"{entries:,} retries, {entries:,} scheduled, {QUEUES} queues, {PROCESSES} processes")
    print("\n| page | jobd.web | at most | processors | Sidekiq Web 6.4 |\n|---|---|---|---|---|")
    for name, (median, most, worked) in mine.items():
        other = f"{theirs[name]:.0f} ms" if name in theirs else "–"
        print(f"| {name} | {median:.0f} ms | {most:.0f} ms | {worked:.0f} ms | {other} |")
    print("\ncommands of ours above 5 ms:", [(e["duration"], e["command"][:60]) for e in slow])


if __name__ == "__main__":
    main()
