"""``async def perform`` in real workers."""

import json
import signal
from collections import Counter
from typing import Any

import pytest

from jobd.cancelling import cancel
from jobd.config import RedisSettings
from jobd.connection import Connection
from jobd.keys import Keys
from jobd.store import Store
from tests.server.test_threads import blocked, done, hold, is_clean, kill_worker, started
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

JOBS = """
import asyncio, contextvars, os, time
from pathlib import Path
import jobd
from tests.support.sample_jobs import Echo, record

class Pause(jobd.Job):
    async def perform(self, seconds):
        record("start", "Pause", self.jid, [seconds])
        await asyncio.sleep(seconds)
        record("done", "Pause", self.jid, [seconds])

class Linger(jobd.Job):

    async def perform(self):
        record("start", "Linger", self.jid, [])
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            record("end", "Linger", self.jid, [])

class Stay(jobd.Job):
    async def perform(self, name):
        record("start", "Stay", self.jid, [name])
        while not Path(f"released-{name}").exists():
            await asyncio.sleep(0.01)
        record("done", "Stay", self.jid, [name])

class Late(Linger):
    time_limit = 0.3
    kill_after = 60
    retry = 2

class Deaf(jobd.Job):
    time_limit = 0.3
    kill_after = 0.2

    async def perform(self):
        record("start", "Deaf", self.jid, [])
        time.sleep(3600)

class Raise(jobd.Job):
    async def perform(self):
        await asyncio.sleep(0)
        raise KeyError("as told")

who = contextvars.ContextVar("who", default="nobody")

class Tell(jobd.Job):
    result_ttl = 60

    async def perform(self, name):
        await asyncio.sleep(0.01)
        self.logger.info(f"told {name}")
        record("done", "Tell", self.jid, [name, who.get()])
        return name

class Crash(jobd.Job):
    async def perform(self):
        record("start", "Crash", self.jid, [])
        await asyncio.sleep(0)
        os.kill(os.getpid(), 9)

def known(job, payload, proceed):
    if payload["class"] != "Tell":
        return proceed(job, payload)
    token = who.set(payload["args"][0])
    try:
        proceed(job, payload)
    finally:
        who.reset(token)
    record("around", "Tell", job.jid, [])

@jobd.configure_server
def setup(config):
    config.server_middleware.add(known)
    for event in ("startup", "quiet", "shutdown", "exit"):
        config.on(event)(lambda event=event: record("event", event, None, []))
"""

GATE = """
import asyncio
from pathlib import Path
import jobd
from tests.support.sample_jobs import record

opened = None

async def see():
    while not Path("released-all").exists():
        await asyncio.sleep(0.02)

class Gate(jobd.Job):
    async def perform(self, number):
        global opened
        if opened is None:
            opened = asyncio.ensure_future(see())
        record("start", "Gate", self.jid, [number])
        await asyncio.shield(opened)
        record("done", "Gate", self.jid, [number])
"""


def linger(raw: Raw, jobd: JobdProcess, count: int) -> list[str]:
    jids = [wire.push(raw, "Linger") for _ in range(count)]
    eventually(lambda: set(started(jobd)) >= set(jids), message=jobd.log)
    return jids


def pause(raw: Raw, jobd: JobdProcess, count: int, seconds: float = 3600) -> list[str]:
    jids = [wire.push(raw, "Pause", seconds) for _ in range(count)]
    eventually(lambda: set(started(jobd)) >= set(jids), message=jobd.log)
    return jids


@pytest.mark.parametrize(
    "config",
    [{}, {"threads": 3}, {"fetch": "basic"}, {"async_concurrency": 0}],
    ids=["a loop", "threads", "basic", "no loop"],
)
def test_an_async_job_is_run_to_its_end_and_settled(
    raw: Raw, start_jobd: StartJobd, config: dict[str, Any]
):
    jobd = start_jobd(config=config, jobs=JOBS)
    paused = wire.push(raw, "Pause", 0.01)
    raised = wire.push(raw, "Raise")
    plain = wire.push(raw, "Echo", 1)
    eventually(lambda: done(jobd) == {paused, plain}, message=jobd.log)
    eventually(lambda: raw.zcard("retry") == 1, message=jobd.log)
    (failed,) = wire.entries(raw, "retry")
    assert (failed["jid"], failed["error_class"]) == (raised, "KeyError")
    eventually(lambda: is_clean(raw))
    assert jobd.stop() == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_thousand_jobs_run_at_once_in_one_worker(raw: Raw, start_jobd: StartJobd, threads: int):
    config = {"async_concurrency": 1000, "threads": threads}
    jobd = start_jobd(config=config, jobs=GATE)
    jids = [wire.push(raw, "Gate", number) for number in range(1000)]
    eventually(lambda: set(started(jobd)) == set(jids), timeout=60, message=jobd.log)
    assert len({run["pid"] for run in jobd.ran("start")}) == 1
    jobd.release("all")
    eventually(lambda: done(jobd) == set(jids), timeout=60, message=jobd.log)
    eventually(lambda: is_clean(raw))
    assert jobd.stop() == 0
    assert raw.get("stat:processed") == b"1000"


def test_middleware_sees_the_end_and_the_context_is_the_jobs_own(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=JOBS)
    names = [f"name {number}" for number in range(20)]
    jids = [wire.push(raw, "Tell", name, result_ttl=60) for name in names]
    eventually(lambda: len(jobd.ran("around")) == 20, message=jobd.log)
    told = [run["args"] for run in jobd.ran() if run["class"] == "Tell"]
    assert sorted(told) == sorted([name, name] for name in names)
    order = [(run["jid"], run["event"]) for run in everything(jobd)]
    assert all(order.index((jid, "done")) < order.index((jid, "around")) for jid in jids)
    eventually(lambda: is_clean(raw))
    kept = [json.loads(raw.get(Keys().result(jid)) or b"{}") for jid in jids]
    assert [record.get("value") for record in kept] == names
    lines = [line for line in jobd.log().splitlines() if "told name" in line]
    assert len(lines) == 20
    assert all(any(jid in line for line in lines) for jid in jids)


def test_jobs_beyond_the_places_wait_for_one_and_plain_ones_behind_them(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(config={"async_concurrency": 2}, jobs=JOBS)
    jids = [wire.push(raw, "Pause", 0.05) for _ in range(20)]
    plain = wire.push(raw, "Echo", 1)
    eventually(lambda: done(jobd) == {*jids, plain}, message=jobd.log)
    assert Counter(started(jobd)) == Counter(jids)
    eventually(lambda: is_clean(raw))


def test_plain_jobs_run_beside_async_ones(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=JOBS)
    linger(raw, jobd, 3)
    jids = [wire.push(raw, "Echo", number) for number in range(30)]
    eventually(lambda: done(jobd) == set(jids), message=jobd.log)


def test_what_runs_in_the_loop_is_told_job_by_job_and_its_places_as_concurrency(
    raw: Raw, start_jobd: StartJobd
):
    capsules = {"slow": {"concurrency": 2, "queues": ["low"], "async_concurrency": 4}}
    jobd = start_jobd(config={"async_concurrency": 3, "capsules": capsules}, jobs=JOBS)
    lingering = linger(raw, jobd, 2)
    (held,) = hold(raw, jobd, 1)

    def shown() -> dict[str, str]:
        (name,) = raw.keys("*:work")
        work = raw.hgetall(name)
        return {json.loads(json.loads(value)["payload"])["jid"]: key for key, value in work.items()}

    eventually(lambda: set(shown()) == {*lingering, held}, timeout=30, message=jobd.log)
    (identity,) = raw.smembers("processes")
    most = (1 + 3) + 2 * (1 + 4)
    assert raw.hmget(identity, "busy", "concurrency") == [b"3", str(most).encode()]
    jobd.release("all")


def stay(raw: Raw, jobd: JobdProcess, count: int, name: str) -> list[str]:
    jids = [wire.push(raw, "Stay", name) for _ in range(count)]
    eventually(lambda: set(started(jobd)) >= set(jids), message=jobd.log)
    return jids


def test_a_quiet_worker_begins_no_async_job_until_it_resumes(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=JOBS)
    running = stay(raw, jobd, 2, "all")
    eventually(lambda: blocked(raw) == 1)
    jobd.signal(signal.SIGTSTP)
    eventually(lambda: blocked(raw) == 0)
    waiting = [wire.push(raw, "Pause", 0) for _ in range(4)]
    jobd.release("all")
    eventually(lambda: done(jobd) == set(running), message=jobd.log)
    assert len(wire.queued(raw)) == 4
    jobd.signal(signal.SIGCONT)
    eventually(lambda: done(jobd) == {*running, *waiting}, message=jobd.log)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_job_that_was_charged_twice_runs_alone(raw: Raw, start_jobd: StartJobd, threads: int):
    jobd = start_jobd(config={"threads": threads}, jobs=JOBS)
    first = stay(raw, jobd, 1, "first")
    payload = wire.a_payload("Stay", "second", recovered=2, recovered_reason="SIGKILL")
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
    eventually(lambda: is_clean(raw))


# Interrupting one of them


def test_a_time_limit_ends_one_job_and_not_its_neighbours(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=JOBS)
    neighbours = linger(raw, jobd, 3)
    late = wire.push(raw, "Late")
    eventually(lambda: raw.zcard("retry") == 1, message=jobd.log)
    (failed,) = wire.entries(raw, "retry")
    assert (failed["jid"], failed["error_class"]) == (late, "jobd.errors.JobTimeout")
    assert failed["error_message"] == "it ran longer than its time_limit of 0.3 s"
    assert [run["jid"] for run in jobd.ran("end")] == [late]
    assert Counter(started(jobd)) == Counter([*neighbours, late])


def test_cancel_ends_one_job_and_not_its_neighbours(
    raw: Raw, redis_url: str, start_jobd: StartJobd
):
    jobd = start_jobd(jobs=JOBS)
    jids = linger(raw, jobd, 3)
    connection = Connection(RedisSettings(url=redis_url))
    cancel(Store(connection, Keys()), jids[1])
    connection.close()
    eventually(lambda: f"jid={jids[1]}" in jobd.wait_for_line("cancelled"), message=jobd.log)
    assert [run["jid"] for run in jobd.ran("end")] == [jids[1]]
    eventually(lambda: len(held(raw)) == 2)
    assert raw.zcard("retry") == raw.zcard("dead") == 0


def test_a_job_that_blocks_the_loop_is_ended_with_its_worker_and_the_others_go_back(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(jobs=JOBS)
    neighbours = linger(raw, jobd, 2)
    deaf = wire.push(raw, "Deaf")
    eventually(lambda: raw.zcard("retry") == 1, timeout=30, message=jobd.log)
    (failed,) = wire.entries(raw, "retry")
    assert (failed["jid"], failed["error_class"]) == (deaf, "jobd.errors.JobTimeout")
    eventually(lambda: Counter(started(jobd))[neighbours[1]] == 2, message=jobd.log)
    eventually(lambda: {job["jid"] for job in held(raw)} == set(neighbours))
    assert not any("recovered" in job for job in held(raw))


# Stopping


def test_term_lets_the_jobs_of_the_loop_finish(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"timeout": 30}, jobs=JOBS)
    jids = pause(raw, jobd, 3, 1)
    assert jobd.stop() == 0
    assert done(jobd) == set(jids)
    assert is_clean(raw)
    events = [run["event"] + run["class"] for run in everything(jobd)]
    assert events.index("eventshutdown") > max(i for i, e in enumerate(events) if e == "donePause")


@pytest.mark.parametrize("threads", [1, 2])
def test_jobs_that_do_not_end_in_time_are_cancelled_and_go_back_unchanged(
    raw: Raw, start_jobd: StartJobd, threads: int
):
    jobd = start_jobd(config={"timeout": 0.5, "threads": threads}, jobs=JOBS)
    jids = linger(raw, jobd, 3)
    before = {job["jid"]: job for job in held(raw)}
    assert jobd.stop() == 0
    assert {run["jid"] for run in jobd.ran("end")} == set(jids)
    assert {job["jid"]: job for job in wire.queued(raw)} == before
    assert raw.zcard("retry") == raw.zcard("dead") == 0


# Death


def test_a_killed_worker_loses_no_job_of_its_loop(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"async_concurrency": 10}, jobs=JOBS)
    jids = linger(raw, jobd, 5)
    kill_worker(jobd)
    eventually(lambda: set(Counter(started(jobd)).values()) == {2}, message=jobd.log)
    eventually(lambda: {job["jid"] for job in held(raw)} == set(jids))
    assert [job["recovered"] for job in held(raw)] == [1] * 5


def test_a_job_that_kills_its_worker_dies_and_its_neighbours_do_not(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(jobs=JOBS)
    pauses = [wire.push(raw, "Pause", 0.5) for _ in range(6)]
    killer = wire.push(raw, "Crash")
    pauses += [wire.push(raw, "Pause", 0.5) for _ in range(6)]
    eventually(lambda: raw.zcard("dead") == 1, timeout=60, message=jobd.log)
    (dead,) = wire.entries(raw, "dead")
    assert (dead["jid"], dead["error_class"]) == (killer, "jobd.errors.WorkerKilled")
    assert Counter(started(jobd))[killer] == 3
    eventually(lambda: done(jobd) == set(pauses), timeout=60, message=jobd.log)
    eventually(lambda: is_clean(raw))
    assert raw.zcard("dead") == 1


def held(raw: Raw) -> list[dict[str, Any]]:
    return [json.loads(each) for name in wire.privates(raw) for each in raw.lrange(name, 0, -1)]


def everything(jobd: JobdProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (jobd.directory / "ran.jsonl").read_text().splitlines()]
