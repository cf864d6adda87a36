"""What the server must show: the sentences of its first issue, one test each."""

import contextlib
import json
import signal
from collections import Counter
from typing import Any

import pytest

from tests.server.load import (
    PATIENCE_S,
    is_empty,
    jids,
    push_many,
    schedule_many,
    server_now_s,
    wait_for_more_runs,
)
from tests.support import servers, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import SAMPLE_JOBS, JobdProcess, StartJobd
from tests.support.servers import Raw, Server

pytestmark = [pytest.mark.redis, pytest.mark.process]

WEIGHTS = {"high": 6, "middle": 3, "low": 1}

PRINTER = """
from jobd import Job
from tests.support.sample_jobs import Hold

class Talk(Hold):
    def perform(self, name):
        print("half way")
        super().perform(name)
"""

SIDEKIQ_YAML = """
development:
  :concurrency: 1
production:
  :concurrency: 1
:queues:
  - default
"""


def shares(runs: list[dict[str, Any]]) -> dict[str, float]:
    """How often each queue was served, as a multiple of what its weight promises."""
    counts = Counter(run["args"][0] for run in runs)
    total = sum(WEIGHTS.values())
    return {name: counts[name] * total / weight / len(runs) for name, weight in WEIGHTS.items()}


@pytest.mark.slow
def test_ten_thousand_jobs_of_weighted_queues_run_once_each_in_proportion(
    raw: Raw, start_jobd: StartJobd
):
    pushed: list[str] = []
    for queue, weight in WEIGHTS.items():
        pushed += push_many(raw, "Echo", weight * 1_000, queue)
    queues = [list(pair) for pair in WEIGHTS.items()]
    config = {"concurrency": 2, "queues": queues, "log": {"level": "warning"}}

    jobd = start_jobd(config=config)
    eventually(lambda: len(jobd.ran()) >= 10_000, timeout=PATIENCE_S, message=jobd.log)

    assert jobd.stop() == 0
    assert jids([jobd]) == sorted(pushed)
    assert is_empty(raw)
    # The smallest queue gets 600 of 6,000, give or take 23: a fair draw lies 20 % off once in four
    # million runs. Queues served in turn, or in order, are off by more than half.
    assert shares(jobd.ran()[:6_000]) == pytest.approx(dict.fromkeys(WEIGHTS, 1), abs=0.2)


@pytest.mark.slow
def test_term_gives_a_long_job_back_unchanged_to_run_next(raw: Raw, start_jobd: StartJobd):
    long_job = wire.encode(wire.a_payload("Nap", 60, enqueued_at=wire.now_ms(), odd={"a": []}))
    raw.sadd("queues", "default")
    raw.lpush("queue:default", long_job)
    jobd = start_jobd(args=["-t", "0.5"])
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    wire.push(raw, "Echo")

    assert jobd.stop() == 0

    assert raw.lindex("queue:default", -1) == long_job
    assert raw.llen("queue:default") == 2
    assert not raw.exists("retry", "dead")
    assert wire.privates(raw) == []
    assert jobd.orphans() == []
    assert jobd.ran() == []


def test_job_that_ends_in_time_is_not_given_back(raw: Raw, start_jobd: StartJobd):
    wire.push(raw, "Hold", "a")
    jobd = start_jobd(config={"timeout": 30})
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    wire.push(raw, "Echo")

    jobd.signal(signal.SIGTERM)
    jobd.wait_for_log("stopping")
    jobd.release("a")

    assert jobd.wait() == 0
    assert len(jobd.ran()) == 1
    assert len(wire.queued(raw)) == 1
    assert wire.privates(raw) == []


@pytest.mark.slow
def test_two_instances_start_each_of_a_thousand_due_jobs_once(raw: Raw, start_jobd: StartJobd):
    fleet = [start_jobd(config={"log": {"level": "warning"}}) for _ in range(2)]
    scheduled = schedule_many(raw, server_now_s(raw) + 1, "Echo", 1_000)

    eventually(lambda: len(jids(fleet)) >= 1_000, timeout=PATIENCE_S, message=fleet[0].log)

    assert [jobd.stop() for jobd in fleet] == [0, 0]
    assert jids(fleet) == sorted(scheduled)
    assert is_empty(raw)


@pytest.mark.slow
def test_job_is_not_started_before_its_time_by_the_clock_of_the_server(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd()
    due_s = server_now_s(raw) + 1
    (jid,) = schedule_many(raw, due_s, "Echo", 1)

    (run,) = eventually(jobd.ran, message=jobd.log)

    assert run["jid"] == jid
    assert run["at_ms"] >= int(due_s * 1000)


@pytest.mark.slow
def test_flushall_under_load_is_survived(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"concurrency": 2})
    before = {jobd.poller().pid, jobd.worker(1).pid, jobd.worker(2).pid}
    seen = 0
    for _ in range(10):
        push_many(raw, "Echo", 100)
        schedule_many(raw, server_now_s(raw), "Echo", 20)
        seen = wait_for_more_runs(jobd, seen)
        raw.flushall()

    jid = wire.push(raw, "Echo")

    eventually(lambda: jid in jids([jobd]), message=jobd.log)
    (identity,) = eventually(lambda: raw.smembers("processes"), message=jobd.log)
    eventually(lambda: raw.exists(identity, b"jobd:instance:" + identity) == 2, message=jobd.log)
    assert {jobd.poller().pid, jobd.worker(1).pid, jobd.worker(2).pid} == before


def test_what_a_job_prints_is_in_the_log_file_before_the_job_ends(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=PRINTER, args=["-L", "out.log"])
    wire.push(raw, "Talk", "a")

    out = jobd.directory / "out.log"
    eventually(lambda: "half way\n" in out.read_text(), message=jobd.log)

    assert jobd.ran() == []
    jobd.release("a")
    eventually(jobd.ran)


@pytest.mark.parametrize("environment", ["development", "production"])
def test_yaml_file_of_sidekiq_works_as_it_is(
    server: Server, start_jobd: StartJobd, environment: str
):
    url = server.url(12)
    jobd: JobdProcess = start_jobd(
        config=SIDEKIQ_YAML, redis_url=url, args=["-e", environment, "-r", str(SAMPLE_JOBS)]
    )
    with contextlib.closing(servers.connect(url)) as raw:
        jid = wire.push(raw, "Echo", "hello")
        (run,) = eventually(jobd.ran, message=jobd.log)
        (identity,) = eventually(lambda: raw.smembers("processes"), message=jobd.log)
        info = json.loads(raw.hget(identity, "info"))

    assert (run["jid"], run["args"]) == (jid, ["hello"])
    assert (info["concurrency"], info["queues"]) == (1, ["default"])
    assert jobd.stop() == 0
