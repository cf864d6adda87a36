"""Whatever a job raises is a failure of that job only."""

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

RAISERS = """
import sys
from jobd import Job

class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")

class Raise(Job):
    def perform(self, name):
        if name == "RecursionError":
            self.perform(name)
        if name == "exit":
            sys.exit(3)
        if name == "Unprintable":
            raise Unprintable
        raise getattr(__import__("builtins"), name)("as told")
"""

ERRORS = {
    "RuntimeError": "RuntimeError",
    "SystemExit": "SystemExit",
    "exit": "SystemExit",
    "KeyboardInterrupt": "KeyboardInterrupt",
    "GeneratorExit": "GeneratorExit",
    "RecursionError": "RecursionError",
    "MemoryError": "MemoryError",
    "StopIteration": "StopIteration",
    "Unprintable": "app_jobs.Unprintable",
}


def test_whatever_a_job_raises_hurts_that_job_only(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=RAISERS)
    before = jobd.worker(1).pid
    expected = {wire.push(raw, "Raise", name): error for name, error in ERRORS.items()}

    def failed() -> dict[str, str]:
        return {job["jid"]: job["error_class"] for job in wire.entries(raw, "retry")}

    eventually(lambda: len(failed()) == len(expected), timeout=20, message=jobd.log)

    assert failed() == expected
    assert wire.privates(raw) == []
    assert jobd.worker(1).pid == before


def test_what_is_no_job_is_buried_as_it_is_and_the_next_job_runs(raw: Raw, start_jobd: StartJobd):
    bad = [b"not json", b"[]", b'{"args":[]}', b"\xff\xfe", b"[" * 100_000]
    for text in bad:
        raw.lpush("queue:default", text)
    jobd = start_jobd()
    jid = wire.push(raw, "Echo")

    (run,) = eventually(jobd.ran, timeout=20, message=jobd.log)

    assert run["jid"] == jid
    assert sorted(raw.zrange("dead", 0, -1)) == sorted(bad)
    eventually(lambda: not wire.privates(raw), timeout=20, message=jobd.log)


def test_job_that_nobody_defines_is_retried(raw: Raw, start_jobd: StartJobd):
    jid = wire.push(raw, "os.system", "true")
    jobd = start_jobd()

    (retry,) = eventually(lambda: wire.entries(raw, "retry"), timeout=20, message=jobd.log)

    assert retry["jid"] == jid
    assert "'os.system'" in retry["error_message"]
