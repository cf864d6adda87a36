"""As in D: Redis fails while async jobs are handed over, run, and are settled."""

import signal
from collections.abc import Callable

import pytest

from tests.faults.stage import PATIENCE_S, Stage
from tests.faults.test_b_async_jobs import beside
from tests.faults.test_d_redis import children, crash
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.servers import Server

pytestmark = [pytest.mark.redis, pytest.mark.process]

on_valkey = pytest.mark.parametrize("stage", ["valkey async"], indirect=True)
AWHILE = "import asyncio; await asyncio.sleep(0.02)"


@on_valkey
@pytest.mark.parametrize("interrupt", [Server.restart, crash])
def test_D1_D2_restart_or_kill_of_redis_loses_and_doubles_no_async_job(
    stage: Stage, interrupt: Callable[[Server], None]
):
    before = children(stage.jobd)
    held = beside(stage)
    for _ in range(2):
        jids = stage.push_many("DoAsync", 40, AWHILE)
        eventually(lambda: stage.runs("done", jids[0]), PATIENCE_S, stage.last_lines)  # noqa: B023
        interrupt(stage.server)
        stage.is_struck()
    stage.jobd.release("beside")

    stage.wait_for("done")

    assert set(held) < {run["jid"] for run in stage.runs()}
    assert children(stage.jobd) == before


@on_valkey
@pytest.mark.parametrize("vanish", [Proxy.refuse, Proxy.blackhole, Proxy.pause, Proxy.reset])
def test_D3_async_jobs_that_end_while_redis_cannot_be_reached_are_settled_when_it_can(
    stage: Stage, vanish: Callable[[Proxy], None]
):
    before, lines = children(stage.jobd), len(stage.jobd.log())
    held = beside(stage)
    vanish(stage.proxy)
    later = stage.push_many("DoAsync", 5, AWHILE)
    stage.jobd.release("beside")
    stage.wait_for("done", *held)
    stage.heal()

    stage.wait_for("done", *later)
    assert children(stage.jobd) == before
    assert "ownership lost" not in stage.jobd.log()[lines:]


@on_valkey
@pytest.mark.parametrize("how", [Proxy.drop_reply_once, Proxy.drop_request_once])
def test_D6_D7_burial_of_an_async_job_that_is_lost_once_is_one(
    stage: Stage, how: Callable[[Proxy, str], None]
):
    how(stage.proxy, "bury")

    jid = stage.push("DoAsync", "raise ValueError", retry=0)

    eventually(lambda: stage.places().get(jid) == ["dead"], PATIENCE_S, stage.last_lines)


@on_valkey
@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL])
@pytest.mark.parametrize("how", [Proxy.drop_reply_once, Proxy.drop_request_once])
def test_D6_D7_return_of_async_jobs_that_is_lost_once_is_one(
    stage: Stage, number: signal.Signals, how: Callable[[Proxy, str], None]
):
    """By the worker that gives back (QUIT), by the poller that recovers (KILL)."""
    jids = beside(stage, runs=2)
    how(stage.proxy, "give_back")

    struck = stage.runs("start", jids[0])[0]["pid"]
    hit = [jid for jid in jids if stage.runs("start", jid)[0]["pid"] == struck]
    stage.kill(struck, number)
    eventually(
        lambda: all(len(stage.runs("start", jid)) == 2 for jid in hit), PATIENCE_S, stage.last_lines
    )

    stage.jobd.release("beside")
    stage.wait_for("done", *jids)


@pytest.mark.parametrize("stage", ["valkey async", "redis async"], indirect=True)
def test_D12_full_server_is_drained_to_the_last_async_job(stage: Stage):
    held = beside(stage, runs=2)
    jids = stage.push_many("DoAsync", 50, AWHILE, runs=2)  # some run beside it, and are killed
    failing = stage.push("DoAsync", "raise ValueError", runs=2)
    dying = stage.push("DoAsync", "raise ValueError", runs=2, retry=0)
    stage.raw.config_set("maxmemory", 1)
    try:
        stage.kill(stage.runs("start", held[0])[0]["pid"])
        eventually(lambda: len(stage.runs("start", held[0])) == 2, PATIENCE_S, stage.last_lines)
        stage.jobd.release("beside")
        stage.wait_for("done", *held, *jids)
        eventually(lambda: not wire.privates(stage.raw), PATIENCE_S, stage.last_lines)
        assert stage.places() == {failing: ["retry"], dying: ["dead"]}
    finally:
        stage.raw.config_set("maxmemory", 0)


@on_valkey
def test_D18_flushall_costs_running_async_jobs_nothing(stage: Stage):
    before = children(stage.jobd)
    held = beside(stage)
    stage.raw.flushall()
    stage.jobd.release("beside")
    stage.wait_for("done", *held)
    stage.jobd.wait_for_log("ownership lost")

    later = stage.push_many("DoAsync", 3, AWHILE)

    stage.wait_for("done", *later)
    assert children(stage.jobd) == before


@on_valkey
def test_D15_async_job_whose_settlement_the_replica_had_not_heard_of_runs_again(stage: Stage):
    """What a new primary still holds in the lists of a place, though the worker has settled it."""
    jids = beside(stage)
    lists = {name: stage.raw.lrange(name, 0, -1) for name in wire.privates(stage.raw)}
    stage.jobd.release("beside")
    stage.wait_for("done", *jids)
    eventually(lambda: not wire.privates(stage.raw), PATIENCE_S, stage.last_lines)
    others = stage.push_many("DoAsync", 8, AWHILE)
    for name, held in lists.items():
        stage.raw.rpush(name, *held)
    for jid in jids:
        stage.expect(jid, runs=2)

    eventually(
        lambda: all(len(stage.runs("done", jid)) == 2 for jid in jids), PATIENCE_S, stage.last_lines
    )
    stage.wait_for("done", *others)
