"""F: what the catalogue has no row for: cancelling, kept pushes, hung workers, Sentinel."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from jobd.app import App
from jobd.config import RedisSettings
from jobd.errors import RedisUnavailable
from tests.faults.conftest import StartRigged
from tests.faults.stage import PATIENCE_S, Points, Stage
from tests.support import leash, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import REPOSITORY

pytestmark = [pytest.mark.redis, pytest.mark.process]

APART = {"queues": ["apart"], "concurrency": 1}


def cancel(url: str, jid: str) -> bool:
    app = App()
    app.redis = RedisSettings(url=url, network_timeout=2)
    with contextlib.closing(app):
        return app.cancel(jid)


def a_long_jid() -> str:
    """Longer than its field in the scoreboard."""
    return f"{'order-' * 12}{os.urandom(4).hex()}"


# A job is cancelled, and somebody dies before it has ended


@pytest.mark.parametrize("point", ["performed", "before finish", "after finish", "before claim"])
def test_F1_job_whose_worker_dies_while_it_drops_it_never_begins_again(stage: Stage, point: str):
    jid = stage.hold(jid=a_long_jid())
    stage.may_vanish(jid)
    stage.points.order(point)

    assert cancel(stage.server.url(), jid) is False

    killed = stage.points.wait_for(point)
    stage.push_many("Echo", 3)
    stage.wait_for("done", *stage.jids[1:])
    assert stage.is_gone(killed)
    assert stage.runs("done", jid) == []


@pytest.mark.parametrize("point", ["after refresh", "after set_newest_cancel"])
def test_F1_cancel_is_not_forgotten_by_a_poller_that_dies_before_it_tells(stage: Stage, point: str):
    jid = stage.hold(jid=a_long_jid())
    stage.may_vanish(jid)
    stage.points.order("before refresh", "SIGSTOP")
    poller = stage.points.wait_for("before refresh")
    cancel(stage.server.url(), jid)
    stage.points.order(point)

    stage.kill(poller, signal.SIGCONT)

    assert stage.points.wait_for(point) == poller
    stage.jobd.wait_for_log(f"msg=cancelled class=Hold jid={jid}", timeout=30)


def test_F1_cancel_is_not_forgotten_by_a_worker_that_is_killed_before_it_is_told(stage: Stage):
    jid = stage.hold(jid=a_long_jid())
    stage.may_vanish(jid)
    stage.kill(stage.jobd.poller().pid, signal.SIGSTOP)  # nobody tells, and nobody recovers
    cancel(stage.server.url(), jid)

    stage.kill(stage.runs("start", jid)[0]["pid"])
    eventually(lambda: len(stage.jobd.children("worker")) == 2, message=stage.last_lines)
    stage.kill(stage.jobd.poller().pid, signal.SIGCONT)

    stage.jobd.wait_for_log(f"msg=cancelled class=Hold jid={jid}", timeout=30)


@pytest.mark.parametrize("point", ["before cancel", "after cancel"])
def test_F1_cancel_is_not_forgotten_by_an_instance_whose_master_dies_over_it(
    stage: Stage, start_rigged: StartRigged, point: str
):
    jobd = start_rigged(stage.server.url(), config={**APART, "timeout": 1})
    jid = wire.push(stage.raw, "Hold", "never", queue="apart", jid=a_long_jid())
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    Points(jobd.directory / "points").order(point)

    cancel(stage.server.url(), jid)

    assert jobd.wait() == -signal.SIGKILL
    eventually(lambda: not jobd.orphans(), timeout=30, message=jobd.log)
    jobd.start().wait_ready()
    jobd.wait_for_log(f"msg=cancelled class=Hold jid={jid}", timeout=30)
    eventually(lambda: jid not in stage.places(), timeout=30, message=jobd.log)
    assert len(jobd.ran("start")) == 1
    assert jobd.stop() == 0
    assert wire.privates(stage.raw) == []


def test_F1_cancel_whose_reply_was_lost_holds_though_nobody_took_the_job_out(stage: Stage):
    running, waiting = stage.hold(), stage.push("Echo", queue="unserved", jid=a_long_jid())
    for jid in (waiting, running):
        stage.may_vanish(jid)
        stage.proxy.drop_reply_once("cancel")
        with pytest.raises(RedisUnavailable):
            cancel(stage.proxy.url(), jid)

    assert stage.places()[waiting] == ["queue:unserved"]
    stage.jobd.wait_for_log(f"msg=cancelled class=Hold jid={running}", timeout=30)
    stage.raw.lmove("queue:unserved", "queue:default")

    stage.jobd.wait_for_log(f"msg=cancelled class=Echo jid={waiting}", timeout=30)
    assert stage.runs("done") == []


# Pushes are kept, and the server dies while they are sent

KEEP = """
import atexit, logging, sys, threading
from jobd.client import Client
from jobd.config import RedisSettings
from jobd.keys import Keys
from jobd.pool import Pool
from jobd.reliable_push import ReliablePush
from jobd.store import Store

logging.disable()
reliable = ReliablePush(Store(Pool(RedisSettings(url=sys.argv[1], network_timeout=5)), Keys()), 500)
atexit.register(reliable.close, 60)  # it waits longer than usual
client = Client(lambda: reliable)
for number in range(500):
    print(client.push({"class": "Echo", "args": [number], "queue": "unserved"}), flush=True)
assert reliable.kept == 500
while sys.argv[2] == "goes on" and reliable.kept:
    threading.Event().wait(0.05)
"""


@pytest.mark.parametrize("client", ["goes on", "leaves"])
def test_F2_pushes_that_are_being_sent_when_the_server_dies_arrive_once_and_in_their_order(
    stage: Stage, client: str
):
    stage.server.kill9()
    command = [sys.executable, "-c", KEEP, stage.proxy.url(), client]
    with leash.start(command, cwd=REPOSITORY, output=subprocess.PIPE) as pusher:
        assert pusher.stdout is not None
        jids = [pusher.stdout.readline().decode().strip() for _ in range(500)]
        for jid in jids:
            stage.expect(jid)
        stage.proxy.bytes_per_s = 40_000.0
        stage.server.start()
        eventually(lambda: stage.raw.llen("queue:unserved") > 50, PATIENCE_S)
        stage.server.kill9()
        stage.server.start()
        assert 50 < stage.raw.llen("queue:unserved") < 500
        stage.proxy.bytes_per_s = None

        assert pusher.wait(PATIENCE_S) == 0

    assert [job["jid"] for job in wire.queued(stage.raw, "unserved")] == jids


# Workers that hang without a job

WATCHFUL = {
    **APART,
    "redis": {"network_timeout": 0.5},
    "worker": {"hung_after": 8},
    "concurrency": 3,
}


def test_F3_only_the_worker_that_hangs_is_replaced_though_redis_is_away_for_longer(
    stage: Stage, start_rigged: StartRigged
):
    """The others wait for Redis meanwhile, and show it; one that runs a job may be silent."""
    jobd = start_rigged(stage.proxy.url(), config=WATCHFUL)
    held = wire.push(stage.raw, "Hold", "busy", queue="apart")
    (run,) = eventually(lambda: jobd.ran("start"), message=jobd.log)
    os.kill(run["pid"], signal.SIGSTOP)
    hung, well = (
        jobd.worker(slot).pid for slot in (1, 2, 3) if jobd.worker(slot).pid != run["pid"]
    )
    stage.proxy.blackhole()
    os.kill(hung, signal.SIGSTOP)

    jobd.wait_for_log("is killed: without a job it shows no sign of life for 8 s", timeout=60)
    eventually(lambda: not leash.is_alive(hung), message=jobd.log)
    stage.proxy.heal()
    os.kill(run["pid"], signal.SIGCONT)
    jobd.release("busy")

    later = [wire.push(stage.raw, "Echo", queue="apart") for _ in range(5)]
    eventually(lambda: {r["jid"] for r in jobd.ran()} == {held, *later}, PATIENCE_S, jobd.log)
    assert leash.is_alive(well)
    assert leash.is_alive(run["pid"])
    assert jobd.log().count("is killed:") == 1
    assert len(jobd.ran("start")) == 1
    assert jobd.stop() == 0
    assert wire.privates(stage.raw) == []
