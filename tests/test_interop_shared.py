"""Ruby Sidekiq 6.4 and jobd as equals on one database, and jobd.api over what Ruby wrote."""

import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.api import Access, DeadSet, ProcessSet, Queue, RetrySet, ScheduledSet, Stats
from jobd.config import RedisSettings
from jobd.pool import Pool
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import REPOSITORY, StartJobd
from tests.support.ruby import Ruby
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow]

JOBS = 10_000
FAILING = JOBS // 50

# The same job as in tests/ruby/worker.rb. Its Redis is its own, as an application's would be.
SHARED = """
import os
import redis
from jobd import Job

client = redis.Redis.from_url(os.environ["REDIS_URL"])

class Shared(Job):
    @staticmethod
    def retry_in(count, error, payload):
        return 1

    def perform(self, number: int) -> None:
        if number % 50 == 0 and client.hsetnx("shared:failed", number, "jobd"):
            raise RuntimeError("first try")
        client.rpush("shared:done", f"{number} jobd")
"""

PUSH = """
import sys
import jobd

@jobd.configure_client
def client(config):
    config.redis = {"url": sys.argv[1]}
    config.wire = 7

class Shared(jobd.Job):
    def perform(self, number): ...

Shared.perform_bulk([[number] for number in range(*map(int, sys.argv[2:]))])
"""


@pytest.fixture
def ruby(redis_url: str, tmp_path: Path) -> Ruby:
    return Ruby(redis_url, tmp_path)


@pytest.fixture
def access(redis_url: str) -> Iterator[Access]:
    with contextlib.closing(Pool(RedisSettings(url=redis_url))) as pool:
        yield Access(redis=pool, wire=7)


def test_ten_thousand_jobs_of_both_are_done_once_by_both_and_retries_cross(
    ruby: Ruby, raw: Raw, redis_url: str, start_jobd: StartJobd
):
    config = {"wire": 7, "concurrency": 1, "log": {"format": "logfmt", "level": "error"}}
    half = JOBS // 2
    with ruby.worker(["Other"], threads=5) as worker:
        jobd = start_jobd(config=config, jobs=SHARED)
        ruby.call("push_bulk", {"class": "Shared", "args": [[number] for number in range(half)]})
        command = [sys.executable, "-c", PUSH, redis_url, str(half), str(JOBS)]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        eventually(lambda: raw.llen("shared:done") >= JOBS, timeout=90, message=jobd.log)
        assert jobd.stop() == 0
        assert worker.stop() == 0

    done = dict(entry.decode().split() for entry in raw.lrange("shared:done", 0, -1))
    failed = {
        number.decode(): side.decode() for number, side in raw.hgetall("shared:failed").items()
    }
    assert (raw.llen("shared:done"), len(done)) == (JOBS, JOBS)
    assert len(failed) == FAILING
    assert set(Counter(done.values())) == {"ruby", "jobd"}
    crossings = Counter((side, done[number]) for number, side in failed.items())
    assert crossings["ruby", "jobd"] > 0
    assert crossings["jobd", "ruby"] > 0
    assert (raw.zcard("retry"), raw.zcard("dead"), raw.llen("queue:default")) == (0, 0, 0)
    assert wire.privates(raw) == []
    assert (int(raw.get("stat:processed")), int(raw.get("stat:failed"))) == (
        JOBS + FAILING,
        FAILING,
    )


def test_jobd_api_reads_and_changes_what_ruby_wrote(ruby: Ruby, raw: Raw, access: Access):
    waiting = ruby.push("Echo", 1, "zwei ü", queue="low", tags=["urgent"])
    later = ruby.push("Echo", at=4_000_000_000)
    retried = ruby.push("Fail", "fail", backtrace=True)
    dead = ruby.push("Fail", "fail", retry=0)
    with ruby.worker(["Fail"]) as worker:
        eventually(lambda: raw.zcard("retry") and raw.zcard("dead"), message=worker.log)
        # It counts with its next heartbeat, or now: in 15 seconds the retry is due.
        assert worker.stop() == 0

    totals = Stats(access=access).totals()
    assert (totals.processed, totals.failed) == (2, 2)
    assert (totals.enqueued, totals.scheduled, totals.retries, totals.dead) == (1, 1, 1, 1)
    (job,) = Queue("low", access=access)
    assert (job.jid, job.args, job.tags) == (waiting, [1, "zwei ü"], ("urgent",))
    assert 0 <= job.latency_s(access.now_ms()) < 60
    (entry,) = RetrySet(access=access)
    assert (entry.jid, entry.error_class, entry.error_message) == (
        retried,
        "RuntimeError",
        "as told",
    )
    assert entry.retry_count == 0
    assert any("worker.rb" in line for line in entry.error_backtrace)
    assert [each.jid for each in DeadSet(access=access)] == [dead]
    (scheduled,) = ScheduledSet(access=access)
    assert (scheduled.jid, scheduled.score) == (later, 4_000_000_000)

    assert entry.retry()
    assert scheduled.add_to_queue()
    assert job.delete()
    with ruby.worker(["Echo", "Fail"]) as worker:
        eventually(lambda: raw.llen("ruby:ran") == 4, message=worker.log)
        eventually(lambda: raw.zcard("retry") == 1, message=worker.log)
    ran = [json.loads(run)["jid"] for run in raw.lrange("ruby:ran", 2, -1)]
    assert sorted(ran) == sorted([retried, later])
    (again,) = RetrySet(access=access)
    assert (again.jid, again.retry_count) == (retried, 0)


def test_jobd_api_quiets_and_stops_a_ruby_process(ruby: Ruby, raw: Raw, access: Access):
    with ruby.worker(["Echo"], queues=["default", "low"], threads=2) as worker:
        (process,) = eventually(lambda: list(ProcessSet(access=access)), message=worker.log)
        assert (process.pid, process.concurrency, process.is_quiet) == (worker.pid, 2, False)
        assert sorted(process.queues) == ["default", "low"]
        assert process.instance() is None

        process.quiet()
        eventually(lambda: raw.hget(process.identity, "quiet") == b"true")
        ruby.push("Echo")
        process.stop()

        assert worker.wait() == 0
    assert raw.llen("queue:default") == 1
    assert list(ProcessSet(access=access)) == []
