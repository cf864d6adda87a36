"""jobd and Ruby Sidekiq 6.4 on one database: each runs, reads and commands the other's jobs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobd.clock import SystemClock
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import REPOSITORY, StartJobd
from tests.support.ruby import Ruby
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow]

ARGUMENTS: list[Any] = [1, "zwei ü 日本", {"a": [None, True, 1.5]}, [], 2**53 + 1]

# Run as a program of its own, as a web app would push. Arguments: REDIS_URL, delay, args.
PUSH = """
import json, sys
import jobd

@jobd.configure_client
def client(config):
    config.redis = {"url": sys.argv[1]}
    config.wire = 7

class RubyEcho(jobd.Job):
    def perform(self, *args): ...

print(RubyEcho.perform_in(float(sys.argv[2]), *json.loads(sys.argv[3])))
"""


@pytest.fixture
def ruby(redis_url: str, tmp_path: Path) -> Ruby:
    return Ruby(redis_url, tmp_path)


def push_from_python(redis_url: str, args: list[Any], *, delay_s: float = 0) -> str:
    command = [sys.executable, "-c", PUSH, redis_url, str(delay_s), json.dumps(args)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ran_in_ruby(raw: Raw) -> list[dict[str, Any]]:
    return [json.loads(run) for run in raw.lrange("ruby:ran", 0, -1)]


def now_s() -> float:
    return SystemClock().now_ms() / 1000


def is_now(seconds: float) -> bool:
    return abs(seconds - now_s()) < 60


def test_job_pushed_by_ruby_runs_in_jobd(ruby: Ruby, start_jobd: StartJobd):
    jid = ruby.push("Echo", *ARGUMENTS)
    jobd = start_jobd(config={"wire": 7})

    (run,) = eventually(jobd.ran, message=jobd.log)

    assert (run["jid"], run["args"]) == (jid, ARGUMENTS)
    assert jobd.stop() == 0
    stats = ruby.call("stats")
    assert (stats["processed"], stats["failed"], stats["enqueued"]) == (1, 0, 0)
    assert stats["processes_size"] == 0


def test_jobs_scheduled_by_ruby_run_in_jobd(ruby: Ruby, start_jobd: StartJobd):
    jobd = start_jobd(config={"wire": 7})
    jid = ruby.push("Echo", at=now_s() + 1)

    (run,) = eventually(jobd.ran, message=jobd.log)

    assert run["jid"] == jid


def test_job_pushed_by_jobd_runs_in_ruby(ruby: Ruby, raw: Raw, redis_url: str):
    jid = push_from_python(redis_url, ARGUMENTS)
    (queue,) = ruby.call("queues").values()

    with ruby.worker(["RubyEcho"]) as worker:
        (run,) = eventually(lambda: ran_in_ruby(raw), message=worker.log)

    assert run == {"class": "RubyEcho", "jid": jid, "args": ARGUMENTS}
    assert is_now(queue["jobs"][0]["created_at"])
    assert is_now(queue["jobs"][0]["enqueued_at"])


def test_job_scheduled_by_jobd_runs_in_ruby(ruby: Ruby, raw: Raw, redis_url: str):
    jid = push_from_python(redis_url, [1], delay_s=1.5)
    (entry,) = ruby.call("scheduled")

    with ruby.worker(["RubyEcho"]) as worker:
        (run,) = eventually(lambda: ran_in_ruby(raw), message=worker.log)

    assert run["jid"] == jid == entry["jid"]
    assert is_now(entry["score"])


def test_ruby_reads_what_failed_in_jobd(ruby: Ruby, start_jobd: StartJobd):
    first = ruby.push("Fail", "told you", backtrace=True)
    last = ruby.push("Fail", retry=0)
    jobd = start_jobd(config={"wire": 7})

    (dead,) = eventually(lambda: ruby.call("dead"), message=jobd.log)
    (retry,) = eventually(lambda: ruby.call("retries"), message=jobd.log)

    assert (retry["jid"], dead["jid"]) == (first, last)
    assert retry["item"]["error_class"] == dead["item"]["error_class"] == "RuntimeError"
    assert retry["item"]["error_message"] == "told you"
    assert retry["item"]["retry_count"] == 0
    assert is_now(retry["item"]["failed_at"])
    assert 15 <= retry["score"] - retry["item"]["failed_at"] < 30
    assert any("sample_jobs.py" in line for line in retry["error_backtrace"])
    assert is_now(dead["score"])


def test_what_failed_in_jobd_is_retried_by_ruby(ruby: Ruby, raw: Raw, start_jobd: StartJobd):
    jid = ruby.push("Fail", "fail")
    jobd = start_jobd(config={"wire": 7})
    (before,) = eventually(lambda: wire.entries(raw, "retry"), message=jobd.log)
    assert jobd.stop() == 0

    ruby.call("retry_all")
    with ruby.worker(["Fail"]) as worker:
        (after,) = eventually(lambda: wire.entries(raw, "retry"), message=worker.log)

    assert ran_in_ruby(raw) == [{"class": "Fail", "jid": jid, "args": ["fail"]}]
    assert after["failed_at"] == before["failed_at"]
    assert after["error_message"] == "as told"


def test_ruby_reads_a_jobd_fleet(ruby: Ruby, raw: Raw, start_jobd: StartJobd):
    jid = wire.push(raw, "Hold", "a", queue="high")
    config = {"wire": 7, "concurrency": 2, "queues": [["high", 2], "default"], "tag": "fleet"}
    jobd = start_jobd(config=config)
    eventually(lambda: jobd.ran("start"), message=jobd.log)

    def busy_process() -> dict[str, Any] | None:
        found = ruby.call("processes")["processes"]
        return next((process for process in found if process["busy"] == 1), None)

    process = eventually(busy_process, message=jobd.log)

    assert process["pid"] == jobd.pid
    assert process["tag"] == "fleet"
    assert process["concurrency"] == 2
    assert sorted(process["queues"]) == ["default", "high"]
    assert process["rss"] > 1_000
    assert is_now(process["beat"])
    assert is_now(process["started_at"])
    assert ruby.call("stats")["workers_size"] == 1
    # Sidekiq 6 reads running jobs from another key than 7 and 8, so this one is read here.
    (entry,) = map(json.loads, raw.hvals(f"{process['identity']}:work"))
    assert (entry["queue"], json.loads(entry["payload"])["jid"]) == ("high", jid)
    assert is_now(entry["run_at"])
    jobd.release("a")


def test_ruby_quiets_and_stops_a_jobd(ruby: Ruby, raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"wire": 7})
    eventually(lambda: ruby.call("processes")["processes"], message=jobd.log)

    ruby.call("quiet")
    wire.have_them_beat(raw)
    eventually(lambda: ruby.call("processes")["processes"][0]["stopping"])
    wire.push(raw, "Echo")
    ruby.call("stop")
    wire.have_them_beat(raw)

    assert jobd.wait() == 0
    assert jobd.ran() == []
    assert len(wire.queued(raw)) == 1


def test_due_jobs_run_once_with_a_ruby_and_a_jobd_poller(
    ruby: Ruby, raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(config={"wire": 7, "concurrency": 2})
    with ruby.worker(["Other"], queues=["other"]):
        jids = {wire.schedule(raw, 1, "Echo", number) for number in range(100)}

        eventually(lambda: len(jobd.ran()) >= 100, message=jobd.log)

    assert jobd.stop() == 0
    assert sorted(run["jid"] for run in jobd.ran()) == sorted(jids)
