"""Jobs cancelled while they run, and what they leave."""

import os
import signal

import pytest

from jobd.app import App
from jobd.config import RedisSettings
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

JOBS = """
import time
import jobd
from tests.support.sample_jobs import Echo, record

class Long(jobd.Job):
    def perform(self):
        record("start", "Long", self.jid, [self.cancelled])
        try:
            time.sleep(600)
        finally:
            record("end", "Long", self.jid, [self.cancelled])

    @jobd.on_failure
    def never(self, error):
        record("failure", "Long", self.jid, [])

    @jobd.after_perform
    def nor(self):
        record("after", "Long", self.jid, [])

class Deaf(jobd.Job):
    def perform(self):
        record("start", "Deaf", self.jid, [])
        while True:
            try:
                time.sleep(600)
            except jobd.JobCancelled:
                record("end", "Deaf", self.jid, [self.cancelled])
"""


def cancel(redis_url: str, jid: str) -> bool:
    app = App()
    app.redis = RedisSettings(url=redis_url)
    return app.cancel(jid)


def test_a_running_job_is_ended_and_leaves_nothing(raw: Raw, redis_url: str, start_jobd: StartJobd):
    jid = wire.push(raw, "Long")
    jobd = start_jobd(jobs=JOBS)
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    pid = jobd.worker().pid

    assert cancel(redis_url, jid) is False

    (end,) = eventually(lambda: jobd.ran("end"), message=jobd.log)
    other = wire.push(raw, "Echo")
    eventually(lambda: [run["jid"] for run in jobd.ran()] == [other], message=jobd.log)
    eventually(lambda: not wire.privates(raw), message=jobd.log)
    assert (end["jid"], end["args"], end["pid"]) == (jid, [True], pid)
    assert jobd.ran("start")[0]["args"] == [False]
    assert jobd.ran("failure") == jobd.ran("after") == []
    assert not raw.exists("retry", "dead", "queue:default")
    jobd.wait_for_log(f"msg=cancelled class=Long jid={jid}")


def test_a_cancelled_job_whose_worker_dies_is_not_begun_again(
    raw: Raw, redis_url: str, start_jobd: StartJobd
):
    jid = wire.push(raw, "Deaf")
    jobd = start_jobd(jobs=JOBS)
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    cancel(redis_url, jid)
    (end,) = eventually(lambda: jobd.ran("end"), message=jobd.log)

    os.kill(end["pid"], signal.SIGKILL)

    jobd.wait_for_log(f"msg=cancelled class=Deaf jid={jid}")
    eventually(lambda: not wire.privates(raw), message=jobd.log)
    assert len(jobd.ran("start")) == 1
    assert not raw.exists("retry", "dead", "queue:default")


def test_a_job_that_was_cancelled_while_nobody_served_is_not_begun(
    raw: Raw, redis_url: str, start_jobd: StartJobd
):
    jid = wire.push(raw, "Long", jid="cancelled", queue="default")
    assert cancel(redis_url, jid) is True
    wire.push(raw, "Long", jid="cancelled")
    jobd = start_jobd(jobs=JOBS, config={"fetch": "basic"})
    other = wire.push(raw, "Echo")
    eventually(lambda: [run["jid"] for run in jobd.ran()] == [other], message=jobd.log)
    assert jobd.ran("start") == []
    assert not raw.exists("retry", "dead", "queue:default")
