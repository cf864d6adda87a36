"""``async def perform`` in real workers."""

import pytest

from tests.server.test_threads import done, is_clean
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

JOBS = """
import asyncio
import jobd
from tests.support.sample_jobs import Echo, record

class Pause(jobd.Job):
    async def perform(self, seconds):
        record("start", "Pause", self.jid, [seconds])
        await asyncio.sleep(seconds)
        record("done", "Pause", self.jid, [seconds])

class Raise(jobd.Job):
    async def perform(self):
        await asyncio.sleep(0)
        raise KeyError("as told")
"""


def test_an_async_job_is_run_to_its_end_and_settled(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=JOBS)
    paused = wire.push(raw, "Pause", 0.01)
    raised = wire.push(raw, "Raise")
    plain = wire.push(raw, "Echo", 1)
    eventually(lambda: done(jobd) == {paused, plain}, message=jobd.log)
    eventually(lambda: raw.zcard("retry") == 1, message=jobd.log)
    (failed,) = wire.entries(raw, "retry")
    assert (failed["jid"], failed["error_class"]) == (raised, "KeyError")
    eventually(lambda: is_clean(raw))
    assert jobd.stop() == 0
