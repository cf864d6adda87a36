"""As in B: async jobs misbehave, beside others in the loop of their worker."""

import signal

import pytest

from tests.faults.conftest import StartRigged
from tests.faults.stage import ASYNC_MISCHIEF, PATIENCE_S, Stage
from tests.faults.test_b_jobs import RAISES
from tests.faults.test_f_options import cancel
from tests.support import wire
from tests.support.eventually import eventually

pytestmark = [
    pytest.mark.redis,
    pytest.mark.process,
    pytest.mark.parametrize("stage", ["valkey async"], indirect=True),
]

WAIT = """
import asyncio
from pathlib import Path
while not Path({name!r}).exists():
    await asyncio.sleep(0.01)
"""
ALSO = {
    "import asyncio; raise asyncio.CancelledError": "CancelledError",
    "import asyncio; asyncio.current_task().cancel(); await asyncio.sleep(0)": "CancelledError",
    "import greenlet; raise greenlet.GreenletExit": "GreenletExit",
    "f = lambda: f(); f()": "RecursionError",
    "import asyncio; await asyncio.create_task(asyncio.sleep(0, exit(3)))": "SystemExit",
}


def beside(stage: Stage, count: int = 8, *, runs: int = 1) -> list[str]:
    """Have some jobs wait in the loops, until ``beside`` is released."""
    (stage.jobd.directory / "released-beside").unlink(missing_ok=True)
    jids = stage.push_many("DoAsync", count, WAIT.format(name="released-beside"), runs=runs)
    stage.wait_for("start", *jids)
    return jids


@pytest.mark.parametrize("source", [*RAISES, *ALSO])
def test_B1_whatever_an_async_job_raises_is_a_failure_of_that_job_only(stage: Stage, source: str):
    before = {child.pid for child in stage.jobd.children()}
    neighbours = beside(stage)

    jid = stage.push("DoAsync", source)

    eventually(lambda: stage.places().get(jid) == ["retry"], PATIENCE_S, stage.last_lines)
    (failed,) = wire.entries(stage.raw, "retry")
    name = "RuntimeError" if source == "raise StopIteration" else (RAISES | ALSO)[source]
    assert failed["error_class"].rpartition(".")[2] == name
    stage.jobd.release("beside")
    stage.wait_for("done", *neighbours)
    assert {child.pid for child in stage.jobd.children()} == before


def test_B1_a_task_that_a_job_left_behind_ends_by_itself_only(stage: Stage):
    before = {child.pid for child in stage.jobd.children()}
    neighbours = beside(stage)
    source = """
import asyncio
async def leave():
    await asyncio.sleep(0.01)
    raise SystemExit(3)
job.__class__.kept = asyncio.create_task(leave())
"""

    jids = [stage.push("DoAsync", source) for _ in range(4)]
    stage.wait_for("done", *jids)
    after = stage.push_many("Nap", 4, 0.1)
    stage.wait_for("done", *after)

    stage.jobd.release("beside")
    stage.wait_for("done", *neighbours)
    assert {child.pid for child in stage.jobd.children()} == before


def test_F1_job_that_is_cancelled_while_it_waits_for_a_place_never_begins(
    stage: Stage, start_rigged: StartRigged
):
    config = {"queues": ["apart"], "concurrency": 1, "async_concurrency": 1}
    jobd = start_rigged(stage.server.url(), config=config | {"require": [str(ASYNC_MISCHIEF)]})
    running, waiting = (
        wire.push(stage.raw, "DoAsync", WAIT.format(name="never"), queue="apart") for _ in range(2)
    )
    eventually(lambda: not wire.queued(stage.raw, "apart"), PATIENCE_S, jobd.log)

    assert cancel(stage.server.url(), waiting) is False
    assert cancel(stage.server.url(), running) is False

    # It is known when the other one has ended, which makes room for it.
    jobd.wait_for_log(f"msg=cancelled class=DoAsync jid={running}", timeout=30)
    jobd.wait_for_log(f"msg=cancelled class=DoAsync jid={waiting}", timeout=30)
    assert [run["jid"] for run in jobd.ran("start")] == [running]


LINGERING = {
    "a task that is deaf": (
        "import asyncio\n"
        "async def stay():\n"
        " while True:\n"
        "  try: await asyncio.sleep(3600)\n"
        "  except asyncio.CancelledError: pass\n"
        "job.__class__.kept = asyncio.create_task(stay())\n"
        "await asyncio.sleep(0)"
    ),
    "a call in a thread": (
        "import asyncio, threading\n"
        "job.__class__.kept = asyncio.create_task(asyncio.to_thread(threading.Event().wait))\n"
        "await asyncio.sleep(0)"
    ),
    "a generator that is not exhausted": (
        "import asyncio\n"
        "async def count():\n"
        " try: yield 1\n"
        " finally: await asyncio.Event().wait()\n"
        "job.__class__.kept = count()\n"
        "await anext(job.__class__.kept)"
    ),
}


@pytest.mark.parametrize("name", LINGERING)
def test_B14_what_an_async_job_leaves_in_its_loop_holds_no_worker_up(stage: Stage, name: str):
    before = {child.pid for child in stage.jobd.children("worker")}
    jids = [stage.push("DoAsync", LINGERING[name]) for _ in range(4)]
    stage.wait_for("done", *jids)

    for pid in before:
        stage.kill(pid, signal.SIGTERM)

    eventually(lambda: all(map(stage.is_gone, before)), PATIENCE_S, stage.last_lines)
    jids = stage.push_many("Nap", 4, 0.1)
    stage.wait_for("done", *jids)


@pytest.mark.parametrize("source", ["while True: pass", "import time; time.sleep(3600)"])
def test_B6_job_that_blocks_its_loop_goes_back_uncharged_at_a_stop_as_do_those_beside_it(
    stage: Stage, start_rigged: StartRigged, source: str
):
    config = {"queues": ["apart"], "timeout": 0.5, "concurrency": 1}
    jobd = start_rigged(stage.server.url(), config=config | {"require": [str(ASYNC_MISCHIEF)]})
    waits = WAIT.format(name="never")
    jids = [wire.push(stage.raw, "DoAsync", waits, queue="apart") for _ in range(3)]
    eventually(lambda: len(jobd.ran("start")) == 3, PATIENCE_S, jobd.log)
    jids.append(wire.push(stage.raw, "DoAsync", source, queue="apart"))
    eventually(lambda: len(jobd.ran("start")) == 4, PATIENCE_S, jobd.log)

    assert jobd.stop() == 0

    back = wire.queued(stage.raw, "apart")
    assert sorted(job["jid"] for job in back) == sorted(jids)
    assert not any({"recovered", "retry_count"} & set(job) for job in back)
    assert wire.privates(stage.raw) == []
    stage.raw.delete("queue:apart")


@pytest.mark.parametrize("child", ["pass", "import asyncio; await asyncio.sleep(0.05)"])
def test_B10_child_that_an_async_job_forks_and_that_returns_settles_nothing(
    stage: Stage, child: str
):
    lines = len(stage.jobd.log())
    neighbours = beside(stage)
    source = f"import os\nif os.fork() == 0:\n {child}"

    jid = stage.push("DoAsync", source, runs=2)  # its end is the child's, too
    stage.wait_for("done", jid)
    stage.jobd.release("beside")

    stage.wait_for("done", *neighbours)
    stage.wait_for("done", *stage.push_many("Echo", 5))
    assert "ownership lost" not in stage.jobd.log()[lines:]
