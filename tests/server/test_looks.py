"""What an operator sees of a running job, and how it is killed, wherever it runs."""

from collections.abc import Iterator

import pytest

from jobd.api import Access, JobRecord, Look, Work, ask_look, find_look, kill_run
from jobd.config import RedisSettings
from jobd.connection import Connection
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

JOBS = """
import time
import jobd
from tests.support.sample_jobs import Echo, record

class Talks(jobd.Job):
    def perform(self):
        print("it is printed")
        self.logger.warning("it is logged")
        record("start", "Talks", self.jid, [])
        time.sleep(600)

class InC(jobd.Job):
    def perform(self):
        record("start", "InC", self.jid, [])
        sum(range(10**14))

class Neighbour(jobd.Job):
    def perform(self):
        record("start", "Neighbour", self.jid, [])
        time.sleep(600)
"""


@pytest.fixture
def access(redis_url: str) -> Iterator[Access]:
    connection = Connection(RedisSettings(url=redis_url))
    yield Access(redis=connection)
    connection.close()


def the_run(raw: Raw, access: Access, jid: str) -> Work:
    """The run of a job, where its private list says; a heartbeat would tell it 10 s later."""
    for name in wire.privates(raw):
        held = access.keys.parse_private(name.decode())
        assert held is not None
        tid = f"{held.slot}.{held.thread}.{held.incarnation}"
        for each in raw.lrange(name, 0, -1):
            record = JobRecord(each, queue=held.queue, access=access)
            if record.jid == jid:
                where = {"process": held.identity, "tid": tid, "queue": held.queue}
                return Work(run_at=None, record=record, **where)
    raise AssertionError(f"no private list holds {jid}")


def shown(access: Access, work: Work) -> Look:
    ask_look(work, access=access)
    asked = find_look(work, access=access)
    assert asked is not None

    def answer() -> Look | None:
        look = find_look(work, access=access)
        return look if look is not None and look.at is not None else None

    look = eventually(answer)
    assert look is not None
    return look


def test_a_running_job_shows_its_stacks_and_its_own_last_lines(
    raw: Raw, access: Access, start_jobd: StartJobd
):
    jobd = start_jobd(jobs=JOBS)
    other = wire.push(raw, "Echo")
    eventually(jobd.ran, message=jobd.log)
    jid = wire.push(raw, "Talks")
    eventually(lambda: len(jobd.ran("start")) == 1, message=jobd.log)
    work = the_run(raw, access, jid)
    assert find_look(work, access=access) is None

    look = shown(access, work)

    assert "in perform" in look.stacks
    lines = look.lines or ()
    assert "msg=start" in lines[0]
    assert "it is printed" in lines
    assert any("it is logged" in line for line in lines)
    assert not any(other in line for line in lines)
    assert 0 < raw.ttl(f"jobd:look:{work.process}:{work.tid}") <= 60
    # What one operator asked for is not told to all.
    assert "stacks of worker" not in jobd.log()
    assert jobd.returncode is None


def test_a_job_in_a_call_of_c_shows_its_stacks_and_is_killed_for_good(
    raw: Raw, access: Access, start_jobd: StartJobd
):
    jobd = start_jobd(jobs=JOBS)
    jid = wire.push(raw, "InC")
    (start,) = eventually(lambda: jobd.ran("start"), message=jobd.log)
    work = the_run(raw, access, jid)

    look = shown(access, work)
    assert "in perform" in look.stacks
    assert look.lines is None

    kill_run(work, access=access)

    jobd.wait_for_log(f"is killed: an operator ends its job.*job_jid={jid}")
    other = wire.push(raw, "Echo")
    (ran,) = eventually(jobd.ran, message=jobd.log)
    assert (ran["jid"], ran["pid"] != start["pid"]) == (other, True)
    eventually(lambda: not wire.privates(raw), message=jobd.log)
    assert len(jobd.ran("start")) == 1
    assert not raw.exists("retry", "dead", "queue:default")


def test_who_runs_beside_a_killed_job_runs_again_uncharged(
    raw: Raw, access: Access, start_jobd: StartJobd
):
    jobd = start_jobd(jobs=JOBS, config={"threads": 2})
    killed, neighbour = wire.push(raw, "Talks"), wire.push(raw, "Neighbour")
    eventually(lambda: len(jobd.ran("start")) == 2, message=jobd.log)
    work = the_run(raw, access, killed)

    kill_run(work, access=access)

    eventually(lambda: len(jobd.ran("start")) == 3, message=jobd.log)
    assert [run["jid"] for run in jobd.ran("start")].count(neighbour) == 2
    assert b"recovered" not in the_run(raw, access, neighbour).record.raw
    assert not raw.exists("retry", "dead", "queue:default")


def test_a_kill_that_comes_late_ends_nobody_else(raw: Raw, access: Access, start_jobd: StartJobd):
    jobd = start_jobd(jobs=JOBS)
    jid = wire.push(raw, "Talks")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    work = the_run(raw, access, jid)
    gone = JobRecord(work.record.raw.replace(jid.encode(), b"another"), access=access)
    late = Work(process=work.process, tid=work.tid, queue="default", run_at=None, record=gone)
    kill_run(late, access=access)
    # Asks are taken in their order: by then the kill has been heard.
    assert "in perform" in shown(access, work).stacks
    assert len(jobd.ran("start")) == 1
    assert "is killed" not in jobd.log()
