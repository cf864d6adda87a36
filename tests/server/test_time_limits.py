"""Jobs that run for too long, in a real worker under a real master."""

import sys

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

JOBS = """
import re, threading, time
import jobd
from tests.support.sample_jobs import Echo, record

class Limited(jobd.Job):
    time_limit = 0.3
    kill_after = 60
    retry = 2

class Sleep(Limited):
    def perform(self):
        time.sleep(60)

class Loop(Limited):
    def perform(self):
        while True:
            pass

class Lock(Limited):
    def perform(self):
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

class Backtrack(Limited):
    def perform(self):
        re.match("(a+)+b", "a" * 50)

class Tidy(Limited):
    def perform(self):
        try:
            time.sleep(60)
        except jobd.JobTimeout:
            record("done", "Tidy", self.jid, [])

class Deaf(Limited):
    kill_after = 0.2

    @classmethod
    def retry_in(cls, count, error, payload):
        record("hook", "Deaf", payload["jid"], [count, type(error).__name__])
        return 1000

class Swallow(Deaf):
    def perform(self):
        record("start", "Swallow", self.jid, [])
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass

class NeverReturn(Deaf):
    def perform(self):
        record("start", "NeverReturn", self.jid, [])
        sum(range(10**15))  # for days in C, and keeps the interpreter

class Quick(Limited):
    time_limit = 60

    def perform(self):
        record("done", "Quick", self.jid, [])
"""

SLEEPY = """
import sys
from jobd.cli import main
from jobd.supervisor import master

master.LONGEST_WAIT_S = 600.0
sys.exit(main())
"""

TIMED_OUT = "jobd.errors.JobTimeout"


def failures(raw: Raw) -> dict[str, dict[str, object]]:
    return {entry["class"]: entry for entry in wire.entries(raw, "retry")}


def test_B6_a_job_fails_at_its_time_limit_whatever_it_waits_for_and_its_worker_goes_on(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(jobs=JOBS)
    before = jobd.worker().pid
    names = ["Sleep", "Loop", "Lock", "Backtrack"]
    for name in [*names, "Tidy", "Quick"]:
        wire.push(raw, name)

    eventually(lambda: len(jobd.ran()) == 2, message=jobd.log)
    eventually(lambda: sorted(failures(raw)) == sorted(names), message=jobd.log)

    assert {entry["error_class"] for entry in failures(raw).values()} == {TIMED_OUT}
    assert failures(raw)["Loop"]["error_message"] == "it ran longer than its time_limit of 0.3 s"
    assert [run["class"] for run in jobd.ran()] == ["Tidy", "Quick"]
    assert jobd.worker().pid == before
    eventually(lambda: not wire.privates(raw), message=jobd.log)


def test_a_limit_is_heeded_however_long_the_master_would_have_slept(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(jobs=JOBS, command=[sys.executable, "-c", SLEEPY])
    for number in range(1, 4):
        wire.push(raw, "Tidy")
        eventually(lambda n=number: len(jobd.ran()) == n, timeout=30, message=jobd.log)
    eventually(lambda: not wire.privates(raw), message=jobd.log)


@pytest.mark.parametrize("name", ["Swallow", "NeverReturn"])
def test_B6_a_job_that_does_not_heed_its_time_limit_is_killed_and_spends_a_retry(
    raw: Raw, start_jobd: StartJobd, name: str
):
    neighbours = [wire.push(raw, "Echo", number) for number in range(3)]
    jid = wire.push(raw, name)
    neighbours += [wire.push(raw, "Echo", number) for number in range(3)]
    jobd = start_jobd(jobs=JOBS)

    eventually(lambda: failures(raw), message=jobd.log)
    eventually(lambda: len(jobd.ran()) == 6, message=jobd.log)

    entry = failures(raw)[name]
    assert (entry["jid"], entry["error_class"], entry["retry_count"]) == (jid, TIMED_OUT, 0)
    assert "time_limit of 0.3 s and did not end: its worker was killed" in entry["error_message"]
    assert not entry.keys() & {"recovered", "recovered_reason", "timed_out"}
    assert [run["args"] for run in jobd.ran("hook")] == [[0, "JobTimeout"]]
    assert len(jobd.ran("start")) == 1
    assert sorted(run["jid"] for run in jobd.ran()) == sorted(neighbours)
    assert "in perform" in jobd.log()  # the stacks
    eventually(lambda: not wire.privates(raw), message=jobd.log)
