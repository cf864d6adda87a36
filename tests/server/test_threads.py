"""Workers with threads, in real processes: what holds for one job at a time holds for many."""

import json
import os
import re
import signal
from collections import Counter

import pytest

from jobd.cancelling import cancel
from jobd.config import RedisSettings
from jobd.connection import Connection
from jobd.keys import Keys
from jobd.store import Store
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

MINUTE = re.compile(rb"j\|\d{6}\|\d+:\d\d")
"""The rollup of one minute; that of ten minutes has one digit less."""

JOBS = """
import signal, subprocess, sys, threading, time
import jobd
from tests.support.sample_jobs import Die, Echo, Fail, Hold, Nap, Spin, record

class Limited(jobd.Job):
    time_limit = 0.3
    kill_after = 60
    retry = 2

    def perform(self):
        while True:
            time.sleep(0.001)

class Deaf(Limited):
    kill_after = 0.2

    def perform(self):
        record("start", "Deaf", self.jid, [])
        time.sleep(3600)

class Say(jobd.Job):
    def perform(self, name):
        self.logger.info(f"said {name}")
        everybody.wait(60)
        print(f"printed {name}")
        record("done", "Say", self.jid, [name, threading.current_thread().name])

everybody = threading.Barrier(3)

class Mask(jobd.Job):
    def perform(self):
        code = "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        record("done", "Mask", self.jid, [int(out.stdout)])

@jobd.configure_server
def setup(config):
    for event in ("startup", "quiet", "shutdown", "exit"):
        config.on(event)(lambda event=event: record("event", event, None, []))
"""


def started(jobd: JobdProcess) -> list[str]:
    return [run["jid"] for run in jobd.ran("start")]


def blocked(raw: Raw) -> int:
    return sum("b" in client["flags"] for client in raw.client_list())


def done(jobd: JobdProcess) -> set[str]:
    return {run["jid"] for run in jobd.ran()}


def is_clean(raw: Raw) -> bool:
    return not wire.queued(raw) and not any(raw.llen(name) for name in wire.privates(raw))


def hold(raw: Raw, jobd: JobdProcess, count: int, name: str = "all") -> list[str]:
    """Push so many jobs that run until they are released, and wait until all have begun."""
    jids = [wire.push(raw, "Hold", name) for _ in range(count)]
    eventually(lambda: set(started(jobd)) >= set(jids), message=jobd.log)
    return jids


def spin(raw: Raw, jobd: JobdProcess, count: int) -> list[str]:
    jids = [wire.push(raw, "Spin", "never") for _ in range(count)]
    eventually(lambda: set(started(jobd)) >= set(jids), message=jobd.log)
    return jids


def test_fifty_jobs_run_at_once_in_one_process(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 50})
    jids = hold(raw, jobd, 50)
    assert len({run["pid"] for run in jobd.ran("start")}) == 1
    later = wire.push(raw, "Echo", "later")
    jobd.release("all")
    eventually(lambda: done(jobd) == {*jids, later}, message=jobd.log)
    eventually(lambda: is_clean(raw))
    assert jobd.stop() == 0


@pytest.mark.parametrize("fetch", ["reliable", "basic"])
def test_one_thread_waits_for_all(raw: Raw, start_jobd: StartJobd, fetch: str):
    jobd = start_jobd(config={"threads": 8, "queues": ["default", "low"], "fetch": fetch})
    hold(raw, jobd, 8)
    jobd.release("all")
    eventually(lambda: len(jobd.ran()) == 8, message=jobd.log)
    connections = 2 if fetch == "reliable" else 1  # BLMOVE takes from one queue, BRPOP from many
    eventually(lambda: blocked(raw) == connections)
    jid = wire.push(raw, "Echo", 1)
    eventually(lambda: jid in done(jobd), message=jobd.log)
    eventually(lambda: blocked(raw) == connections)
    assert jobd.stop() == 0
    assert is_clean(raw)


def test_each_job_is_counted_once(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 8})
    for number in range(300):
        wire.push(raw, "Echo", number)
    wire.push(raw, "Fail")
    eventually(lambda: len(jobd.ran()) == 300, message=jobd.log)
    eventually(lambda: raw.zcard("retry") == 1)
    assert jobd.stop() == 0
    assert (raw.get("stat:processed"), raw.get("stat:failed")) == (b"301", b"1")
    minutes = [raw.hgetall(key) for key in raw.keys("j|*") if MINUTE.fullmatch(key)]
    assert sum(int(fields.get(b"Echo|p", 0)) for fields in minutes) == 300
    assert sorted(run["args"][0] for run in jobd.ran()) == list(range(300))


def test_what_runs_is_told_thread_by_thread(raw: Raw, start_jobd: StartJobd):
    config = {
        "threads": 3,
        "capsules": {"mails": {"concurrency": 2, "threads": 5, "queues": ["mails"]}},
    }
    jobd = start_jobd(config=config)
    jids = hold(raw, jobd, 2)
    (identity,) = raw.smembers("processes")
    eventually(lambda: raw.hlen(identity + b":work") == 2)
    found = raw.hgetall(identity + b":work")
    assert all(re.fullmatch(rb"\d+\.[123]\.1", tid) for tid in found)
    payloads = [json.loads(json.loads(work)["payload"]) for work in found.values()]
    assert sorted(payload["jid"] for payload in payloads) == sorted(jids)
    assert raw.hmget(identity, "concurrency", "busy") == [b"13", b"2"]
    info = json.loads(raw.hget(identity, "info"))
    capsules = {name: each["concurrency"] for name, each in info["capsules"].items()}
    assert (info["concurrency"], capsules) == (13, {"default": 3, "mails": 10})
    jobd.release("all")


def test_lines_of_a_thread_are_those_of_its_job(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 3}, jobs=JOBS)
    jids = {name: wire.push(raw, "Say", name) for name in ("one", "two", "three")}
    eventually(lambda: len(jobd.ran()) == 3, message=jobd.log)
    assert len({run["args"][1] for run in jobd.ran()}) == 3
    for name, jid in jids.items():
        assert f"jid={jid}" in jobd.wait_for_line(f"said {name}")
        jobd.wait_for_line(f"printed {name}")


def test_events_are_fired_once_for_the_process(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 4}, jobs=JOBS)
    jobd.signal(signal.SIGTSTP)
    eventually(lambda: "quiet" in [run["class"] for run in jobd.ran("event")], message=jobd.log)
    assert jobd.stop() == 0
    assert [run["class"] for run in jobd.ran("event")] == ["startup", "quiet", "shutdown", "exit"]


def test_programs_that_a_job_starts_have_no_signals_blocked(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 2}, jobs=JOBS)
    wire.push(raw, "Mask")
    eventually(jobd.ran, message=jobd.log)
    assert jobd.ran()[0]["args"] == [0]


# Stopping


def test_term_lets_the_jobs_of_all_threads_finish_and_begins_no_more(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(config={"threads": 4, "timeout": 60})
    running = hold(raw, jobd, 4)
    waiting = [wire.push(raw, "Echo", number) for number in range(4)]
    jobd.signal(signal.SIGTERM)
    jobd.wait_for_line("stopping")
    jobd.release("all")
    assert jobd.wait() == 0
    assert done(jobd) == set(running)
    assert {job["jid"] for job in wire.queued(raw)} == set(waiting)
    assert not any("recovered" in job for job in wire.queued(raw))


def test_an_idle_worker_with_threads_leaves_at_once(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 10, "timeout": 60})
    eventually(lambda: blocked(raw) == 1)
    assert jobd.stop(timeout=9) == 0  # a blocking wait is longer
    assert blocked(raw) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_jobs_that_do_not_end_in_time_go_back_unchanged(
    raw: Raw, start_jobd: StartJobd, number: signal.Signals
):
    jobd = start_jobd(config={"threads": 4, "timeout": 0.2})
    jids = spin(raw, jobd, 3)
    jobd.signal(number)
    assert jobd.wait() == 0
    back = wire.queued(raw)
    assert {job["jid"] for job in back} == set(jids)
    assert not any({"recovered", "retry_count"} & set(job) for job in back)
    assert "killed" not in jobd.log()


def test_jobs_that_sleep_in_c_go_back_when_their_worker_is_killed(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 4, "timeout": 0.2})
    jids = [wire.push(raw, "Nap", 3600) for _ in range(4)]
    eventually(lambda: len(started(jobd)) == 4, message=jobd.log)
    assert jobd.stop() == 0
    back = wire.queued(raw)
    assert {job["jid"] for job in back} == set(jids)
    assert not any("recovered" in job for job in back)


def test_a_quiet_worker_begins_no_job_until_it_resumes(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 4})
    running = hold(raw, jobd, 2)
    jobd.signal(signal.SIGTSTP)
    eventually(lambda: "[quiet]" in jobd.worker().title or blocked(raw) == 0)
    eventually(lambda: blocked(raw) == 0)
    waiting = [wire.push(raw, "Echo", number) for number in range(4)]
    jobd.release("all")
    eventually(lambda: done(jobd) == set(running), message=jobd.log)
    assert len(wire.queued(raw)) == 4
    jobd.signal(signal.SIGCONT)
    eventually(lambda: done(jobd) == {*running, *waiting}, message=jobd.log)


# Interrupting one of them


def test_a_time_limit_ends_one_job_and_not_its_neighbours(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 4}, jobs=JOBS)
    neighbours = hold(raw, jobd, 3)
    late = wire.push(raw, "Limited")
    eventually(lambda: raw.zcard("retry") == 1, message=jobd.log)
    (failed,) = wire.entries(raw, "retry")
    assert (failed["jid"], failed["error_class"]) == (late, "jobd.errors.JobTimeout")
    assert failed["error_message"] == "it ran longer than its time_limit of 0.3 s"
    jobd.release("all")
    eventually(lambda: done(jobd) == set(neighbours), message=jobd.log)
    assert len(jobd.ran("start")) == 3  # none was begun again


def test_a_worker_that_is_killed_for_one_job_gives_the_others_back_uncharged(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(config={"threads": 4}, jobs=JOBS)
    neighbours = hold(raw, jobd, 3)
    deaf = wire.push(raw, "Deaf")
    jobd.wait_for_line("is killed: its job does not end after its time_limit")
    eventually(lambda: Counter(started(jobd))[neighbours[0]] == 2, message=jobd.log)
    eventually(lambda: raw.zcard("retry") == 1, message=jobd.log)
    (failed,) = wire.entries(raw, "retry")
    assert (failed["jid"], failed["error_class"]) == (deaf, "jobd.errors.JobTimeout")
    eventually(lambda: len(started(jobd)) == 7, message=jobd.log)
    held = [json.loads(raw.lindex(name, 0)) for name in wire.privates(raw) if raw.llen(name)]
    assert {job["jid"] for job in held} == set(neighbours)
    assert not any("recovered" in job for job in held)
    jobd.release("all")
    eventually(lambda: done(jobd) == set(neighbours), message=jobd.log)


def test_cancel_ends_the_job_in_whichever_thread_it_runs(
    raw: Raw, redis_url: str, start_jobd: StartJobd
):
    jobd = start_jobd(config={"threads": 4})
    jids = spin(raw, jobd, 2)
    neighbours = hold(raw, jobd, 2)
    connection = Connection(RedisSettings(url=redis_url))
    cancel(Store(connection, Keys()), jids[1])
    connection.close()
    eventually(lambda: f"jid={jids[1]}" in jobd.wait_for_line("cancelled"), message=jobd.log)
    jobd.release("all")
    eventually(lambda: done(jobd) == set(neighbours), message=jobd.log)
    jobd.release("never")
    eventually(lambda: done(jobd) == {jids[0], *neighbours}, message=jobd.log)
    eventually(lambda: is_clean(raw))
    assert raw.zcard("retry") == raw.zcard("dead") == 0


# Death


def test_a_killed_worker_loses_no_job_of_any_thread(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 4})
    jids = hold(raw, jobd, 4)
    more = [wire.push(raw, "Hold", "all") for _ in range(4)]
    for times in (2, 3):
        before = len(started(jobd))
        kill_worker(jobd)
        wanted = before + (4 if times == 2 else 1)
        eventually(lambda wanted=wanted: len(started(jobd)) >= wanted, message=jobd.log)
    jobd.release("all")
    eventually(lambda: done(jobd) == {*jids, *more}, message=jobd.log)
    eventually(lambda: is_clean(raw))
    assert raw.zcard("dead") == 0


def test_kills_again_and_again_lose_no_job_and_bury_none(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 4})
    jids = {wire.push(raw, "Nap", 0.02) for _ in range(200)}
    for _ in range(5):
        kill_worker(jobd)
        running = set(started(jobd))
        # Or a job might be killed a third time by us, and be buried rightly.
        eventually(lambda running=running: running <= done(jobd), message=jobd.log)
    eventually(lambda: done(jobd) == jids, message=jobd.log)
    eventually(lambda: is_clean(raw))
    assert raw.zcard("dead") == raw.zcard("retry") == 0


def kill_worker(jobd: JobdProcess) -> None:
    """Kill the worker, and wait until another one sits there."""
    pid = jobd.worker().pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: jobd.worker().pid != pid)


def test_a_job_that_kills_its_worker_dies_and_its_neighbours_do_not(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(config={"threads": 4})
    naps = [wire.push(raw, "Nap", 0.5) for _ in range(12)]
    killer = wire.push(raw, "Die", "segfault")
    naps += [wire.push(raw, "Nap", 0.5) for _ in range(12)]
    eventually(lambda: raw.zcard("dead") == 1, timeout=60, message=jobd.log)
    (dead,) = wire.entries(raw, "dead")
    assert (dead["jid"], dead["error_class"]) == (killer, "jobd.errors.WorkerKilled")
    assert Counter(started(jobd))[killer] == 3
    eventually(lambda: done(jobd) == set(naps), timeout=60, message=jobd.log)
    eventually(lambda: is_clean(raw))
    assert raw.zcard("dead") == 1


def test_a_job_that_was_charged_twice_runs_alone(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"threads": 4})
    first = hold(raw, jobd, 1, "first")
    payload = wire.a_payload("Hold", "second", recovered=2, recovered_reason="SIGKILL")
    raw.sadd("queues", "default")
    raw.lpush("queue:default", wire.encode(payload))
    eventually(lambda: blocked(raw) == 0 and not wire.queued(raw), message=jobd.log)
    waiting = [wire.push(raw, "Echo", number) for number in range(3)]
    assert payload["jid"] not in started(jobd)  # the first job is not over
    jobd.release("first")
    eventually(lambda: payload["jid"] in started(jobd), message=jobd.log)
    assert done(jobd) == set(first)
    assert len(wire.queued(raw)) == 3
    jobd.release("second")
    eventually(lambda: done(jobd) == {*first, payload["jid"], *waiting}, message=jobd.log)
