"""Job metrics of a running server, as Sidekiq's Metrics page would read them."""

import os
import re
import signal

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]


def added_up(raw: Raw, field: str) -> int:
    """What all minutes' rollups say of a field."""
    minutes = [key for key in raw.keys("j|*") if re.fullmatch(rb"j\|\d{6}\|\d+:\d\d", key)]
    return sum(int(raw.hget(key, field) or 0) for key in minutes)


@pytest.mark.slow
def test_kill_9_of_a_worker_and_of_the_poller_loses_no_count(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"concurrency": 2})
    for number in range(20):
        wire.push(raw, "Echo", number)
    eventually(lambda: len(jobd.ran()) == 20, message=jobd.log)
    # Counted and acknowledged: else the last one would run, and be counted, again.
    eventually(lambda: not wire.privates(raw), message=jobd.log)
    for victim in (jobd.worker(1), jobd.poller()):
        os.kill(victim.pid, signal.SIGKILL)
    wire.push(raw, "Echo", 20)
    eventually(lambda: len(jobd.ran()) == 21, message=jobd.log)

    wire.have_them_beat(raw)
    eventually(lambda: added_up(raw, "Echo|p") >= 21, message=jobd.log)
    assert jobd.stop() == 0
    assert added_up(raw, "Echo|p") == 21


@pytest.mark.slow
def test_a_long_job_delays_no_others_count(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd()
    wire.push(raw, "Echo")
    wire.push(raw, "Hold", "a")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    wire.have_them_beat(raw)

    eventually(lambda: added_up(raw, "Echo|p") == 1, message=jobd.log)

    assert added_up(raw, "Hold|p") == 0
    jobd.release("a")
