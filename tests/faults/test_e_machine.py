"""E: the machine under us: clocks, disks, descriptors, names, the package itself."""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import StartRigged
from tests.faults.rigged import CLOCK
from tests.faults.stage import PATIENCE_S, Stage
from tests.server.load import server_now_s
from tests.support import leash, shifted_clock, wire
from tests.support.control_groups import MEMORY, group
from tests.support.eventually import eventually
from tests.support.jobd_process import REPOSITORY
from tests.support.servers import Kind

pytestmark = [pytest.mark.redis, pytest.mark.process]

APART = {"queues": ["apart"], "concurrency": 1}
DAY_S = 86_400


@pytest.mark.parametrize("ahead_s", [DAY_S, -7_200])
def test_E1_clock_that_is_wrong_makes_no_job_early_or_late_and_takes_no_lease(
    stage: Stage, start_rigged: StartRigged, ahead_s: int
):
    """Due is what the server calls due; how long is measured by a clock that nobody sets."""
    jobd = start_rigged(stage.server.url(), config=APART, env={CLOCK: str(ahead_s)})
    jobd.wait_for_log("this host's clock differs")
    due_s = server_now_s(stage.raw) + 1
    payload = wire.a_payload("Echo", queue="apart")
    stage.raw.zadd("schedule", {wire.encode(payload): due_s})
    held = wire.push(stage.raw, "Hold", "clock", queue="apart")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    jobd.release("clock")
    eventually(lambda: len(jobd.ran()) == 2, message=jobd.log)
    failing = wire.push(stage.raw, "Fail", queue="apart")
    eventually(lambda: stage.raw.zcard("retry") == 1, message=jobd.log)

    runs = {run["jid"]: run for run in jobd.ran()}
    assert len(jobd.ran("start")) == 2
    assert set(runs) == {held, payload["jid"]}
    assert runs[payload["jid"]]["at_ms"] >= int(due_s * 1000)
    ((raw, score),) = stage.raw.zrange("retry", 0, -1, withscores=True)
    assert failing.encode() in raw
    assert 0 < score - server_now_s(stage.raw) < 60
    assert jobd.stop() == 0
    stage.raw.delete("retry")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_E2_server_s_clock_that_jumps_takes_no_lease_and_loses_nothing(
    kind: Kind, tmp_path: Path, start_rigged: StartRigged
):
    """Every key that expires does so at once when it jumps forward, the heartbeats among them."""
    with (
        shifted_clock.running(kind, tmp_path) as server,
        contextlib.closing(Stage(tmp_path / "stage", server)) as stage,
    ):
        stage.others.append(start_rigged(server.url()))  # it would take over
        both = (stage.jobd, *stage.others)
        before = {child.pid for jobd in both for child in jobd.children()}
        held = stage.hold()
        in_a_day = due_in(stage, DAY_S)
        server.set_clock(DAY_S + 1)
        stage.wait_for("done", in_a_day)
        server.set_clock(-DAY_S)
        stage.wait_for("done", due_in(stage, 1), *stage.push_many("Echo", 3))
        failing = stage.push("Fail")
        eventually(lambda: stage.places().get(failing) == ["retry"], 30, stage.last_lines)
        ((_, score),) = stage.raw.zrange("retry", 0, -1, withscores=True)
        stage.release()
        stage.wait_for("done", held)
        stage.audit()
        assert 0 < score - server_now_s(stage.raw) < 60
        assert {child.pid for jobd in both for child in jobd.children()} == before


def due_in(stage: Stage, seconds: float) -> str:
    """Schedule a job by the server's clock."""
    payload = wire.a_payload("Echo")
    stage.raw.zadd("schedule", {wire.encode(payload): server_now_s(stage.raw) + seconds})
    return stage.expect(payload["jid"])


def test_E3_full_disk_for_the_log_costs_no_job(stage: Stage, start_rigged: StartRigged):
    jobd = start_rigged(stage.server.url(), config=APART, args=["-L", "/dev/full"])
    held = wire.push(stage.raw, "Do", "print('x' * 100_000)", queue="apart")

    eventually(lambda: [run["jid"] for run in jobd.ran()] == [held], PATIENCE_S, jobd.log)

    assert jobd.stop() == 0
    assert wire.privates(stage.raw) == []


@pytest.mark.long
def test_E6_processor_that_others_keep_busy_is_no_reason_to_take_a_job_or_kill_a_worker(
    stage: Stage,
):
    before = {child.pid for child in stage.jobd.children()}
    held = stage.hold()
    burn = "while True: pass"
    burners = [
        leash.start([sys.executable, "-c", burn], cwd=stage.jobd.directory)
        for _ in range(4 * len(os.sched_getaffinity(0)))
    ]
    try:
        jids = stage.push_many("Sleep", 300, 5)
        stage.wait_for("done", *jids, timeout=90)
    finally:
        leash.kill([psutil.Process(burner.pid) for burner in burners])
        for burner in burners:
            burner.wait()

    stage.release()
    stage.wait_for("done", held)
    assert {child.pid for child in stage.jobd.children()} == before


@pytest.mark.long
def test_E7_instance_without_memory_loses_the_worker_that_took_it_and_nobody_else(stage: Stage):
    """A control group stands for the machine: the whole instance is in it."""
    held = stage.hold()
    jid = stage.push("Do", "bytes(2_000_000_000).replace(b'\\0', b'x')", runs=3, queue="other")
    family = [stage.jobd.pid, *(child.pid for child in stage.jobd.children())]
    with group(MEMORY, memory__limit_in_bytes=200_000_000) as folder:
        for pid in family:
            (folder / "cgroup.procs").write_text(str(pid))
        eventually(lambda: stage.places().get(jid) == ["dead"], PATIENCE_S, stage.last_lines)
        others = stage.push_many("Echo", 5)
        stage.wait_for("done", *others)
        stage.release()
        stage.wait_for("done", held)
        for pid in (folder / "cgroup.procs").read_text().split():
            (MEMORY / "cgroup.procs").write_text(pid)
    assert "SIGKILL" in wire.entries(stage.raw, "dead")[0]["error_message"]
    assert stage.jobd.poller().pid in family


def test_E8_name_that_cannot_be_resolved_is_waited_for(start_rigged: StartRigged):
    jobd = start_rigged("redis://nowhere.invalid:6379/0", config=APART)

    line = jobd.wait_for_line("cannot use Redis at redis://nowhere.invalid")

    assert "redis.url or REDIS_URL" in line
    assert jobd.stop() == 0


def test_E9_directories_that_vanish_keep_it_neither_from_working_nor_from_stopping(
    stage: Stage, start_rigged: StartRigged
):
    config = {**APART, "pidfile": "run/jobd.pid", "log": {"file": "log/jobd.log"}}
    jobd = start_rigged(stage.server.url(), config=config, make=["run", "log"])
    for name in ("run", "log"):
        shutil.rmtree(jobd.directory / name)
    jobd.signal(signal.SIGUSR1)

    wire.push(stage.raw, "Echo", queue="apart")

    eventually(jobd.ran, message=jobd.log)
    assert jobd.stop() == 0


def test_E10_package_that_is_taken_away_under_a_running_server_is_not_missed(
    stage: Stage, start_rigged: StartRigged, tmp_path: Path
):
    """As an upgrade does: the master has imported what its children need before it forks."""
    for name in ("jobd", "tests"):
        source, ignored = REPOSITORY / name, shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, tmp_path / "old" / name, ignore=ignored)
    jobd = start_rigged(stage.server.url(), config=APART, env={"PYTHONPATH": str(tmp_path / "old")})
    shutil.rmtree(tmp_path / "old" / "jobd")

    held = wire.push(stage.raw, "Hold", "upgrade", queue="apart")
    (run,) = eventually(lambda: jobd.ran("start"), message=jobd.log)
    for pid in (run["pid"], jobd.poller().pid):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(jobd.ran("start")) == 2, message=jobd.log)
    failing = wire.push(stage.raw, "Fail", queue="apart")
    jobd.release("upgrade")

    eventually(lambda: [run["jid"] for run in jobd.ran()] == [held], message=jobd.log)
    eventually(lambda: stage.raw.zcard("retry") == 1, message=jobd.log)
    assert failing in stage.places()
    assert jobd.stop() == 0
    assert wire.privates(stage.raw) == []
