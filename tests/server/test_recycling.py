"""Workers that have done enough or grown too big are replaced, and no job notices."""

import pytest

from tests.server.load import PATIENCE_S, is_empty, jids, push_many
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow]

LEAKING = """
import time
import jobd
from tests.support.sample_jobs import record

KEPT = []


class Leak(jobd.Job):
    def perform(self, *args):
        KEPT.append(bytearray(b"x" * 4_000_000))
        time.sleep(0.1)
        record("done", "Leak", self.jid, list(args))
"""


GROWING = """
import time
import jobd
from tests.support.sample_jobs import Echo, record


class Grow(jobd.Job):
    retry = 3

    @classmethod
    def retry_in(cls, count, error, payload):
        record("hook", "Grow", payload["jid"], [count, type(error).__name__])
        return 1000

    def perform(self):
        kept = bytearray(b"x" * 200_000_000)
        record("start", "Grow", self.jid, [])
        while kept:
            time.sleep(60)
"""


@pytest.mark.parametrize("preload", [True, False])
def test_B15_job_that_takes_far_too_much_memory_is_killed_and_spends_a_retry(
    raw: Raw, start_jobd: StartJobd, *, preload: bool
):
    config = {"worker": {"max_memory": "120M"}, "preload": preload}
    jobd = start_jobd(config=config, jobs=GROWING)
    neighbours = [wire.push(raw, "Echo", 1)]
    jid = wire.push(raw, "Grow")
    neighbours.append(wire.push(raw, "Echo", 2))

    (entry,) = eventually(lambda: wire.entries(raw, "retry"), timeout=60, message=jobd.log)
    eventually(lambda: len(jobd.ran()) == 2, timeout=60, message=jobd.log)

    assert (entry["jid"], entry["error_class"]) == (jid, "jobd.errors.JobTooBig")
    assert entry["retry_count"] == 0
    assert not entry.keys() & {"recovered", "outgrown"}
    assert [run["args"] for run in jobd.ran("hook")] == [[0, "JobTooBig"]]
    assert len(jobd.ran("start")) == 1
    assert jids([jobd]) == sorted(neighbours)
    assert "in perform" in jobd.log()  # the stacks
    jobd.wait_for_log("its job makes it grow far beyond worker.max_memory")
    eventually(lambda: not wire.privates(raw), message=jobd.log)
    assert jobd.stop() == 0


@pytest.mark.parametrize("limit", [{"max_jobs": 10}, {"max_memory": "60M"}])
@pytest.mark.parametrize("preload", [True, False])
def test_B15_leaking_worker_is_replaced_and_no_job_is_lost_or_run_twice(
    raw: Raw, start_jobd: StartJobd, *, limit: dict[str, object], preload: bool
):
    jobd = start_jobd(config={"worker": limit, "preload": preload}, jobs=LEAKING)
    pushed = push_many(raw, "Leak", 40)
    jobd.wait_for_log("worker 1 is replaced.*reason=", timeout=PATIENCE_S)
    jobd.wait_for_log('"worker 1 left".*status="exit 0"', timeout=PATIENCE_S)
    eventually(lambda: len(jids([jobd])) == 40, timeout=PATIENCE_S, message=jobd.log)
    assert sorted(jids([jobd])) == sorted(pushed)
    assert jobd.stop() == 0
    assert is_empty(raw)


def test_with_an_unlimited_timeout_a_stop_waits_for_the_job(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"timeout": "unlimited"})
    wire.push(raw, "Hold", "long")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    jobd.signal(15)
    jobd.wait_for_log("msg=stopping timeout=unlimited")
    assert jobd.notify.wait_for("STOPPING=1").fields["STATUS"].endswith("no limit")
    jobd.release("long")
    assert jobd.wait() == 0
    assert len(jobd.ran()) == 1
    assert is_empty(raw)
