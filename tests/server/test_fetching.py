"""Ways to fetch, groups of workers, and the wire of older Sidekiqs, in a whole server."""

import os
import signal

import pytest

from tests.server.load import jids, push_many
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]


def test_basic_fetch_runs_jobs_and_gives_a_running_one_back_on_term(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(config={"fetch": "basic", "timeout": 0.5, "queues": ["high", "default"]})
    pushed = push_many(raw, "Echo", 20) + push_many(raw, "Echo", 20, queue="high")
    eventually(lambda: jids([jobd]) == sorted(pushed), message=jobd.log)
    nap = wire.encode(wire.a_payload("Nap", 60))
    raw.lpush("queue:default", nap)
    eventually(lambda: jobd.ran("start"), message=jobd.log)

    assert jobd.stop() == 0

    assert raw.lrange("queue:default", 0, -1) == [nap]
    assert not raw.exists("retry", "jobd:privates")


def test_basic_fetch_tells_of_the_job_that_is_lost_with_its_worker(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"fetch": "basic", "concurrency": 1})
    jid = wire.push(raw, "Hold", "a")
    (run,) = eventually(lambda: jobd.ran("start"), message=jobd.log)

    os.kill(run["pid"], signal.SIGKILL)

    jobd.wait_for_log(rf"a job is lost: .*fetch: reliable.*{jid}")
    assert not raw.exists("queue:default", "retry", "dead")


def test_capsules_keep_to_their_queues(raw: Raw, start_jobd: StartJobd):
    capsules = {"alone": {"concurrency": 1, "queues": ["alone"]}}
    jobd = start_jobd(config={"concurrency": 1, "queues": ["default"], "capsules": capsules})
    for queue in ("alone", "default"):
        push_many(raw, "Echo", 30, queue=queue)

    eventually(lambda: len(jobd.ran()) == 60, message=jobd.log)

    served = {(run["args"][0], run["pid"]) for run in jobd.ran()}
    assert len(jobd.children("worker")) == len(served) == 2
    assert {pid for _, pid in served} == {child.pid for child in jobd.children("worker")}


def test_busy_capsule_does_not_help_itself_from_other_queues(raw: Raw, start_jobd: StartJobd):
    capsules = {"alone": {"concurrency": 1, "queues": ["alone"]}}
    jobd = start_jobd(config={"concurrency": 1, "queues": ["default"], "capsules": capsules})
    wire.push(raw, "Hold", "a", queue="alone")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    waiting = wire.push(raw, "Echo", queue="alone")

    jid = wire.push(raw, "Echo")
    eventually(lambda: jids([jobd]) == [jid], message=jobd.log)

    assert [job["jid"] for job in wire.queued(raw, "alone")] == [waiting]
    jobd.release("a")
    eventually(lambda: len(jobd.ran()) == 3, message=jobd.log)


@pytest.mark.parametrize(("version", "kind"), [(7, float), (8, int)])
def test_times_in_payloads_are_those_of_the_wire(
    raw: Raw, start_jobd: StartJobd, version: int, kind: type
):
    jobd = start_jobd(config={"wire": version})
    wire.schedule(raw, 0, "Fail")

    (failed,) = eventually(lambda: wire.entries(raw, "retry"), message=jobd.log)

    unit = 1_000 if version == 7 else 1
    for name in ("enqueued_at", "failed_at"):
        assert isinstance(failed[name], kind)
        assert failed[name] * unit == pytest.approx(wire.now_ms(), abs=60_000)
