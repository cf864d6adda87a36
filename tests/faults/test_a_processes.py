"""A: processes are killed or stopped at bad moments. Nothing is lost, nobody else pays."""

import json
import os
import random
import signal
import time

import pytest

from tests.faults import times
from tests.faults.conftest import StartRigged
from tests.faults.stage import PATIENCE_S, Stage
from tests.server.load import is_empty, jids, push_many, wait_for_more_runs
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

# The instants of a job's life at which its worker is killed, and how often the job may then begin.
BEFORE_THE_START = {
    "claimed": 1,
    "before hold": 1,
    "after hold": 1,
    "before start": 1,
    "after start": 1,
    "after claim": 1,
}
AFTER_THE_END = {"performed": 2, "before finish": 2, "after finish": 1, "before claim": 1}


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


def held_payload(stage: Stage, jid: str) -> dict[str, object]:
    """The running job as it lies in its private list."""
    raws = [raw for name in wire.privates(stage.raw) for raw in stage.raw.lrange(name, 0, -1)]
    return next(job for job in map(json.loads, raws) if job["jid"] == jid)


def test_A1_job_of_a_worker_killed_in_its_middle_starts_again_at_once_and_is_charged(stage: Stage):
    jid = stage.hold(runs=2)
    (first,) = stage.runs("start")
    waiting = stage.push_many("Echo", 1)

    stage.kill(first["pid"])
    eventually(lambda: len(stage.runs("start")) == 2, message=stage.last_lines)

    assert held_payload(stage, jid)["recovered"] == 1
    stage.release()
    stage.wait_for("done", jid, *waiting)


def replaced(jobd: JobdProcess, slot: int, pid: int) -> bool:
    return any(c.slot == slot and c.pid != pid for c in jobd.children("worker"))


def has_run_again(jobd: JobdProcess, pid: int) -> bool:
    """Whether all jobs that a killed worker claimed are done, by whomever."""
    claimed = {run["jid"] for run in jobd.ran("claimed") if run["pid"] == pid}
    return claimed <= set(jids([jobd]))


def test_A1_killing_workers_in_a_loop_loses_nothing_and_charges_no_bystander(
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
        os.kill(worker.pid, signal.SIGKILL)
        eventually(lambda s=slot, p=worker.pid: replaced(jobd, s, p), message=jobd.log)
        # Before the next kill, or the same job might be hit three times and be dead.
        eventually(lambda p=worker.pid: has_run_again(jobd, p), message=jobd.log)

    eventually(lambda: set(jids([jobd])) >= set(pushed), timeout=PATIENCE_S, message=jobd.log)

    assert jobd.stop() == 0
    assert set(jids([jobd])) == set(pushed)
    assert len(jids([jobd])) <= len(pushed) + kills
    charges = {run["jid"]: run["args"][0] for run in jobd.ran("claimed")}
    assert sum(charges.values()) <= kills
    assert is_empty(raw)


@pytest.mark.parametrize("point", BEFORE_THE_START)
def test_A2_job_of_a_worker_killed_before_it_began_runs_once(stage: Stage, point: str):
    stage.points.order(point)
    # Of several the first is waited for, and others are claimed.
    stage.push_many("Echo", 6, runs=BEFORE_THE_START[point])

    killed = stage.points.wait_for(point)
    stage.wait_for("done")

    assert stage.is_gone(killed)


@pytest.mark.parametrize("point", AFTER_THE_END)
def test_A3_job_of_a_worker_killed_before_its_acknowledgement_runs_twice_at_the_most(
    stage: Stage, point: str
):
    stage.push_many("Echo", 1)
    stage.wait_for("done")
    # It has done its work, and may yet come to the point itself.
    eventually(lambda: not wire.privates(stage.raw), message=stage.last_lines)
    stage.points.order(point)
    stage.push_many("Echo", 3, runs=AFTER_THE_END[point])

    stage.points.wait_for(point)
    stage.wait_for("done")


@pytest.mark.parametrize("point", ["before retry", "after retry"])
def test_A3_failure_of_a_worker_killed_while_it_settles_is_kept_once(stage: Stage, point: str):
    stage.points.order(point)
    jid = stage.push("Fail", runs=2)

    stage.points.wait_for(point)

    eventually(lambda: stage.places().get(jid) == ["retry"], PATIENCE_S, stage.last_lines)


@pytest.mark.parametrize("point", ["before bury", "after bury"])
def test_A3_dead_job_of_a_worker_killed_while_it_buries_is_kept_once(stage: Stage, point: str):
    stage.points.order(point)
    jid = stage.push("Fail", runs=2, retry=0)

    stage.points.wait_for(point)

    eventually(lambda: stage.places().get(jid) == ["dead"], PATIENCE_S, stage.last_lines)


@pytest.mark.parametrize("point", ["before give_back", "after give_back"])
def test_A4_job_of_a_worker_killed_while_it_gives_it_back_is_in_one_place(stage: Stage, point: str):
    jid = stage.hold(runs=2)
    stage.points.order(point)

    stage.kill(stage.runs("start")[0]["pid"], signal.SIGQUIT)  # as at the end of a stop
    stage.points.wait_for(point)
    eventually(lambda: len(stage.runs("start")) == 2, message=stage.last_lines)

    stage.release()
    stage.wait_for("done", jid)


@pytest.mark.parametrize(
    "point", ["before acknowledge", "after held", "before give_back", "after give_back"]
)
def test_A4_poller_killed_while_it_recovers_loses_and_doubles_nothing(stage: Stage, point: str):
    jid = stage.hold(runs=2)
    if point == "before acknowledge":
        # Something done lies beside it: the kill comes between the two.
        stage.points.order("after finish")
        stage.push_many("Echo", 1)
        stage.points.order(point)
        stage.points.wait_for("after finish")
    else:
        stage.points.order(point)
        stage.kill(stage.runs("start")[0]["pid"])

    stage.points.wait_for(point)
    stage.release()
    stage.wait_for("done", jid)


def test_A5_workers_of_a_killed_master_finish_and_another_instance_runs_the_rest(
    stage: Stage, start_rigged: StartRigged
):
    jobd = start_rigged(stage.server.url(), config={"queues": ["apart"], "timeout": 30})
    held = wire.push(stage.raw, "Hold", "a", queue="apart")
    eventually(lambda: jobd.ran("start"), message=jobd.log)

    jobd.kill9()
    jobd.wait_for_log("the master is gone")
    rest = push_many(stage.raw, "Echo", 20, "apart")
    jobd.release("a")
    eventually(lambda: not jobd.orphans(), message=jobd.log)
    # A worker that was waiting may have had the first before it heard of the master's death.
    assert held in jids([jobd])
    assert len(jids([jobd])) <= 2

    struck = time.time()
    jobd.start().wait_ready()
    eventually(lambda: jids([jobd]) == sorted([held, *rest]), message=jobd.log)
    times.note([struck], jobd.ran())
    assert jobd.stop() == 0
    assert wire.privates(stage.raw) == []


@pytest.mark.parametrize("point", ["due", "before promote", "after promote", "before due"])
def test_A7_poller_killed_in_the_middle_of_promotion_doubles_and_loses_nothing(
    stage: Stage, point: str
):
    stage.points.order(point)
    # Served by nobody, so that each must be found there.
    payloads = [wire.a_payload("Echo", queue="parked") for _ in range(250)]
    stage.raw.zadd("schedule", {wire.encode(payload): 1 for payload in payloads})
    for payload in payloads:
        stage.expect(payload["jid"])

    stage.points.wait_for(point)

    eventually(lambda: stage.raw.zcard("schedule") == 0, PATIENCE_S, stage.last_lines)
    promoted = sorted(payload["jid"] for payload in wire.queued(stage.raw, "parked"))
    assert promoted == sorted(payload["jid"] for payload in payloads)


@pytest.mark.long
def test_A8_poller_that_stands_still_costs_no_lease_and_is_replaced(stage: Stage):
    stopped = stage.jobd.poller().pid
    jid = stage.hold()
    stage.kill(stopped, signal.SIGSTOP)

    stage.jobd.wait_for_log("the poller is silent; beating in its place")
    stage.jobd.wait_for_log(f"the poller is silent: killed.*{stopped}")
    eventually(lambda: stage.jobd.poller().pid != stopped, message=stage.last_lines)

    (identity,) = stage.raw.smembers("processes")
    assert stage.raw.exists(identity)
    stage.release()
    stage.wait_for("done", jid)


@pytest.mark.parametrize("point", ["before beat", "after beat", "before heard_of"])
def test_A8_poller_killed_around_its_beat_is_replaced_at_once(stage: Stage, point: str):
    jid = stage.hold()
    stage.points.order(point)

    killed = stage.points.wait_for(point)
    eventually(lambda: stage.jobd.poller().pid != killed, message=stage.last_lines)

    stage.release()
    stage.wait_for("done", jid)


def test_A10_all_processes_killed_at_once_lose_nothing(stage: Stage, start_rigged: StartRigged):
    jobd = start_rigged(
        stage.server.url(), config={"queues": ["apart"], "pidfile": "jobd.pid", "batch": 1}
    )
    held = [wire.push(stage.raw, "Hold", "power", queue="apart") for _ in range(2)]
    eventually(lambda: jids([jobd], "start") == sorted(held), message=jobd.log)
    pushed = push_many(stage.raw, "Echo", 50, "apart")

    for pid in (jobd.pid, *[child.pid for child in jobd.children()]):
        os.kill(pid, signal.SIGKILL)
    struck = time.time()
    jobd.wait()
    jobd.release("power")
    jobd.start().wait_ready()

    eventually(lambda: set(jids([jobd])) == {*held, *pushed}, PATIENCE_S, jobd.log)
    times.note([struck], [run for run in jobd.ran("start") if run["jid"] in held])
    assert jids([jobd], "start") == sorted(held * 2)
    assert len(jids([jobd])) == 52
    assert jobd.stop() == 0
    assert wire.privates(stage.raw) == []


def quiet(jobd: JobdProcess, number: signal.Signals, title: str) -> None:
    """TSTP or CONT, and wait until all workers say so."""
    jobd.signal(number)
    eventually(
        lambda: all(title in child.title for child in jobd.children("worker")), message=jobd.log
    )


def test_A11_A14_instance_stopped_for_longer_than_its_lease_finds_its_job_taken_over(
    stage: Stage, start_rigged: StartRigged
):
    quiet(stage.jobd, signal.SIGTSTP, "[quiet]")
    other = start_rigged(stage.server.url())
    stage.others.append(other)
    jid = stage.hold(runs=2)
    family = [other.pid, *[child.pid for child in other.children()]]
    quiet(stage.jobd, signal.SIGCONT, "[idle]")

    for pid in family.copy():
        try:
            stage.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:  # the one between mold and worker
            family.remove(pid)
    eventually(lambda: len(stage.runs("start")) == 2, message=stage.last_lines)
    stage.release()
    stage.wait_for("done", jid)
    for pid in reversed(family):
        stage.kill(pid, signal.SIGCONT)

    other.wait_for_log("ownership lost")
    assert other.stop() == 0
    assert len(stage.runs("done")) == 2


def test_A12_stopped_worker_goes_on_with_its_job_where_it_was(stage: Stage):
    """However long: the instance lives, and no running time is a reason to take a job away."""
    held = stage.hold()
    (started,) = stage.runs("start")
    stage.kill(started["pid"], signal.SIGSTOP)
    stage.jobd.wait_for_log(f"a child was stopped.*{started['pid']}")
    stage.release()

    others = stage.push_many("Echo", 50)
    stage.wait_for("done", *others)
    stage.kill(started["pid"], signal.SIGCONT)

    stage.wait_for("done", held)
    (done,) = stage.runs("done", held)
    assert done["pid"] == started["pid"]


@pytest.mark.long
def test_A13_master_that_stood_still_kills_nobody(stage: Stage):
    before = {child.pid for child in stage.jobd.children()}
    jid = stage.hold()
    stage.kill(stage.jobd.pid, signal.SIGSTOP)
    others = stage.push_many("Nap", 3, 2.0)
    stage.wait_for("done", *others)

    stage.kill(stage.jobd.pid, signal.SIGCONT)
    stage.jobd.wait_for_log("the master stood still")

    assert {child.pid for child in stage.jobd.children()} == before
    stage.release()
    stage.wait_for("done", jid)


@pytest.mark.long
def test_A15_thousands_of_signals_fill_no_log_and_delay_no_term(
    stage: Stage, start_rigged: StartRigged
):
    jobd = start_rigged(stage.server.url(), config={"queues": ["apart"]})
    before = len(jobd.log().splitlines())
    began = time.monotonic()
    for _ in range(20_000):
        os.kill(jobd.pid, signal.SIGUSR1)
        os.kill(jobd.pid, signal.SIGTTIN)
        os.kill(jobd.pid, signal.SIGWINCH)
    seconds = time.monotonic() - began + 5
    jobd.signal(signal.SIGTERM)

    jobd.wait_for_log("stopping timeout|msg=stopping")
    assert jobd.wait() == 0
    lines = len(jobd.log().splitlines()) - before
    assert lines < 5_000 * seconds
    assert lines < 20_000


ENDINGS = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_A16_signals_in_any_order_end_it_in_time_with_status_0(
    stage: Stage, start_rigged: StartRigged, seed: int
):
    rng = random.Random(seed)
    jobd = start_rigged(stage.server.url(), ready=seed > 1, config={"queues": ["apart"]})
    if seed <= 1:  # also while it boots
        jobd.wait_for_log("starting|jobd")
    wire.push(stage.raw, "Nap", 0.5, queue="apart")
    for _ in range(8):
        number = rng.choice([*ENDINGS, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT])
        if jobd.returncode is None:
            jobd.signal(number)
    if jobd.returncode is None:
        jobd.signal(signal.SIGTERM)

    assert jobd.wait() == 0
    assert wire.privates(stage.raw) == []


@pytest.mark.parametrize("role", ["worker", "poller"])
def test_A17_term_to_a_child_alone_ends_its_work_well_and_replaces_it_without_a_brake(
    stage: Stage, role: str
):
    jid = stage.hold()
    pid = stage.runs("start")[0]["pid"] if role == "worker" else stage.jobd.poller().pid

    stage.kill(pid, signal.SIGTERM)
    stage.release()
    stage.wait_for("done", jid)
    if role == "worker":
        eventually(lambda: stage.is_gone(pid), message=stage.last_lines)

    assert stage.runs("done")[0]["pid"] == stage.runs("start")[0]["pid"]
    later = stage.push_many("Echo", 2)
    stage.wait_for("done", *later)


def test_A17_term_to_every_process_of_the_instance_takes_no_job_away(
    stage: Stage, start_rigged: StartRigged
):
    """As ``pkill jobd`` and ``KillMode=control-group`` do: the poller hears it too."""
    config = {"queues": ["apart"], "timeout": 60, "concurrency": 1}
    jobd = start_rigged(stage.server.url(), config=config)
    jid = wire.push(stage.raw, "Hold", "group", queue="apart")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    family = [jobd.poller(), jobd.worker(1)]

    jobd.signal(signal.SIGTERM)
    for process in family:
        os.kill(process.pid, signal.SIGTERM)

    jobd.wait_for_log("stopping timeout|msg=stopping")
    jobd.release("group")
    assert jobd.wait() == 0
    assert [run["jid"] for run in jobd.ran()] == [jid]
    assert wire.privates(stage.raw) == []
    assert "leaving, though workers live" not in jobd.log()


def test_A20_worker_that_dies_busy_is_replaced_without_a_brake_however_often(stage: Stage):
    """The brake is for who cannot boot; who dies with a job is charged in the job."""
    for _ in range(6):
        jid = stage.hold(runs=2)
        stage.kill(stage.runs("start", jid)[0]["pid"])
        eventually(lambda j=jid: len(stage.runs("start", j)) == 2, message=stage.last_lines)
        stage.release()
        stage.wait_for("done", jid)

    left = [line for line in stage.jobd.log().splitlines() if "status=SIGKILL job_jid" in line]
    assert not [line for line in left if "again_in" in line]
