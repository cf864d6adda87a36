"""Processes are killed or stopped at bad moments: nothing is lost, and nobody else pays."""

import json
import os
import signal

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
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.proxy import Proxy
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow]

# A short job that writes down how often it has been charged with the death of a worker.
CHARGED = """
import time
import jobd
from tests.support.sample_jobs import record

class Work(jobd.Job):
    def perform(self, queue, number):
        time.sleep(0.005)
        record("done", "Work", self.jid, [number])

class Charges:
    def __call__(self, job, payload, proceed):
        record("claimed", "Work", job.jid, [payload.get("recovered", 0)])
        proceed(job, payload)

@jobd.configure_server
def server(config):
    config.server_middleware.add(Charges())
"""


# Whose next worker boots only when the test says so.
SLOW_TO_LOAD = """
import pathlib, time
from tests.support.sample_jobs import Echo, Hold

while pathlib.Path("wait").exists():
    time.sleep(0.005)
"""


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def replaced(jobd: JobdProcess, slot: int, pid: int) -> bool:
    return any(c.slot == slot and c.pid != pid for c in jobd.children("worker"))


def are_published(raw: Raw, jobd: JobdProcess) -> bool:
    """Whether all workers stand in what the instance says of itself."""
    (identity,) = raw.smembers("processes")
    told = json.loads(raw.hget(b"jobd:instance:" + identity, "workers"))
    return {each["pid"] for each in told} == {each.pid for each in jobd.children("worker")}


def has_run_again(jobd: JobdProcess, pid: int) -> bool:
    """Whether all jobs that a killed worker claimed are done, by whomever."""
    claimed = {run["jid"] for run in jobd.ran("claimed") if run["pid"] == pid}
    return claimed <= set(jids([jobd]))


def test_killing_workers_in_a_loop_loses_nothing_and_charges_no_bystander(
    raw: Raw, start_jobd: StartJobd
):
    pushed: list[str] = []
    jobd = start_jobd(jobs=CHARGED, config={"concurrency": 4})
    kills = 8
    for number in range(kills):
        slot = number % 4 + 1
        worker = jobd.worker(slot)
        seen = len(jobd.ran())
        pushed += push_many(raw, "Work", 200)
        wait_for_more_runs(jobd, seen)
        kill(worker.pid)
        eventually(lambda s=slot, p=worker.pid: replaced(jobd, s, p), timeout=30, message=jobd.log)
        # Before the next kill, or the same job might be hit three times and be dead.
        eventually(lambda p=worker.pid: has_run_again(jobd, p), timeout=30, message=jobd.log)

    eventually(lambda: set(jids([jobd])) >= set(pushed), timeout=PATIENCE_S, message=jobd.log)

    assert jobd.stop() == 0
    assert set(jids([jobd])) == set(pushed)
    assert len(jids([jobd])) <= len(pushed) + kills
    charges = {run["jid"]: run["args"][0] for run in jobd.ran("claimed")}
    assert sum(charges.values()) <= kills
    assert is_empty(raw)


def test_job_of_a_killed_worker_runs_next_in_the_worker_that_replaces_it(
    raw: Raw, start_jobd: StartJobd
):
    jid = wire.push(raw, "Hold", "a")
    jobd = start_jobd(jobs=SLOW_TO_LOAD)
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    other = wire.push(raw, "Echo")
    killed = jobd.worker(1).pid
    wait = jobd.directory / "wait"
    wait.touch()

    kill(killed)
    eventually(lambda: [job["jid"] for job in wire.queued(raw)] == [jid, other], message=jobd.log)
    wait.unlink()
    eventually(lambda: len(jobd.ran("start")) == 2, timeout=30, message=jobd.log)
    jobd.release("a")
    eventually(lambda: len(jobd.ran()) == 2, timeout=30, message=jobd.log)

    assert [run["jid"] for run in jobd.ran("start")] == [jid, jid]
    assert jobd.ran()[0]["jid"] == jid
    assert jobd.ran()[0]["pid"] == jobd.worker(1).pid != killed
    assert jobd.stop() == 0
    assert is_empty(raw)


def test_workers_of_a_killed_master_finish_their_job_and_another_instance_runs_the_rest(
    raw: Raw, start_jobd: StartJobd
):
    held = wire.push(raw, "Hold", "a")
    jobd = start_jobd(config={"timeout": 30})
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    rest = push_many(raw, "Echo", 20)

    jobd.kill9()
    jobd.wait_for_log("the master is gone", timeout=30)
    jobd.release("a")
    eventually(lambda: not jobd.orphans(), timeout=30, message=jobd.log)

    assert jids([jobd]) == [held]
    assert wire.privates(raw) == []
    other = start_jobd()
    eventually(lambda: jids([other]) == sorted(rest), timeout=30, message=other.log)
    assert other.stop() == 0
    assert is_empty(raw)


def test_killed_instance_can_be_started_again_at_once(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=CHARGED, config={"concurrency": 2, "pidfile": "jobd.pid"})
    # Who has not been told of before is believed to live until its heartbeat runs out.
    eventually(lambda: are_published(raw, jobd), message=jobd.log)
    pushed = push_many(raw, "Work", 300)
    wait_for_more_runs(jobd, 0)
    for child in jobd.children():
        os.kill(child.pid, signal.SIGKILL)
    jobd.kill9()

    jobd.start().wait_ready()

    eventually(lambda: set(jids([jobd])) >= set(pushed), timeout=PATIENCE_S, message=jobd.log)
    assert jobd.stop() == 0
    assert is_empty(raw)


def test_killing_the_poller_in_the_middle_of_promotion_doubles_and_loses_nothing(
    raw: Raw, proxy: Proxy, start_jobd: StartJobd
):
    proxy.latency_s = 0.03  # so that promotion takes long enough to be interrupted
    jobd = start_jobd(redis_url=f"redis://127.0.0.1:{proxy.port}/0")
    scheduled = schedule_many(raw, server_now_s(raw), "Echo", 5_000, queue="parked")
    for _ in range(2):
        left = raw.zcard("schedule")
        eventually(lambda n=left: raw.zcard("schedule") < n, timeout=30, message=jobd.log)
        kill(jobd.poller().pid)
        assert raw.zcard("schedule") > 0

    proxy.latency_s = 0
    eventually(lambda: raw.zcard("schedule") == 0, timeout=PATIENCE_S, message=jobd.log)

    promoted = sorted(payload["jid"] for payload in wire.queued(raw, "parked"))
    assert promoted == sorted(scheduled)
    jid = wire.push(raw, "Echo")
    eventually(lambda: jids([jobd]) == [jid], timeout=30, message=jobd.log)
    assert jobd.stop() == 0


def test_stopped_worker_goes_on_with_its_job_where_it_was(raw: Raw, start_jobd: StartJobd):
    wire.push(raw, "Hold", "a")
    jobd = start_jobd(config={"concurrency": 2})
    (started,) = eventually(lambda: jobd.ran("start"), message=jobd.log)
    os.kill(started["pid"], signal.SIGSTOP)
    jobd.wait_for_log("a child was stopped", timeout=30)
    jobd.release("a")

    others = push_many(raw, "Echo", 50)
    eventually(lambda: jids([jobd]) == sorted(others), timeout=30, message=jobd.log)
    os.kill(started["pid"], signal.SIGCONT)

    eventually(lambda: len(jobd.ran()) == 51, timeout=30, message=jobd.log)
    assert (jobd.ran()[-1]["class"], jobd.ran()[-1]["pid"]) == ("Hold", started["pid"])
    assert jobd.stop() == 0
    assert is_empty(raw)


@pytest.mark.parametrize(
    ("how", "reason"), [("exit", "exit 3"), ("kill", "SIGKILL"), ("segfault", "SIGSEGV")]
)
def test_job_that_kills_its_worker_three_times_is_dead_and_other_workers_live(
    raw: Raw, start_jobd: StartJobd, how: str, reason: str
):
    wire.push(raw, "Hold", "a")
    jobd = start_jobd(config={"concurrency": 2})
    (bystander,) = eventually(lambda: jobd.ran("start"), message=jobd.log)
    poison = wire.push(raw, "Die", how)

    (dead,) = eventually(lambda: wire.entries(raw, "dead"), timeout=PATIENCE_S, message=jobd.log)
    jobd.release("a")
    (survivor,) = eventually(jobd.ran, timeout=30, message=jobd.log)

    assert dead["jid"] == poison
    assert reason in dead["error_message"]
    starts = [run for run in jobd.ran("start") if run["jid"] == poison]
    assert len(starts) == len({run["pid"] for run in starts}) == 3
    assert survivor["pid"] == bystander["pid"]
    raw.delete("dead")
    assert jobd.stop() == 0
    assert is_empty(raw)


def test_term_to_every_process_of_the_instance_takes_no_job_away(raw: Raw, start_jobd: StartJobd):
    """As ``pkill jobd`` and ``KillMode=control-group`` do: the poller hears it too."""
    jobd = start_jobd(args=["-t", "60"])
    jid = wire.push(raw, "Hold", "a")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    family = [jobd.poller(), jobd.worker(1)]

    jobd.signal(signal.SIGTERM)
    for process in family:
        os.kill(process.pid, signal.SIGTERM)

    jobd.wait_for_log("stopping timeout|msg=stopping", timeout=20)
    jobd.release("a")
    assert jobd.wait() == 0
    assert [run["jid"] for run in jobd.ran()] == [jid]
    assert wire.privates(raw) == []
    assert "leaving, though workers live" not in jobd.log()
