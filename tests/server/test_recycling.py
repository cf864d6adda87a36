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
