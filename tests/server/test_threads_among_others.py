"""Threads and what else a worker can do: being told of, worn out, iterable jobs, results."""

import signal
from collections.abc import Iterator

import pytest

from jobd.api import Access, ProcessSet, WorkSet
from jobd.config import RedisSettings
from jobd.keys import Keys
from jobd.pool import Pool
from jobd.results import Result
from jobd.store import Store
from tests.support import wire
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

JOBS = """
import threading, time
from jobd import IterableJob, Job, enumerators
from tests.support.sample_jobs import Echo, Hold, record

KEPT = []

class Leak(Job):
    def perform(self, *args):
        KEPT.append(bytearray(b"x" * 4_000_000))
        time.sleep(0.1)
        record("done", "Leak", self.jid, list(args))

class Rows(IterableJob):
    def build_enumerator(self, cursor, name, count):
        return enumerators.sequence(range(count), cursor)

    def each_iteration(self, row, name, count):
        record("row", "Rows", self.jid, [name, row, threading.current_thread().name])
        time.sleep(0.002)

class Give(Job):
    def perform(self, value):
        everybody.wait(60)
        return {"given": value, "by": threading.current_thread().name}

everybody = threading.Barrier(3)
"""


@pytest.fixture
def access(redis_url: str) -> Iterator[Access]:
    pool = Pool(RedisSettings(url=redis_url))
    yield Access(redis=pool, keys=Keys(), wire=8, dead_limits=(100, 1000))
    pool.close()


def hold(raw: Raw, jobd: JobdProcess, count: int) -> list[str]:
    jids = [wire.push(raw, "Hold", "all") for _ in range(count)]
    eventually(lambda: len(jobd.ran("start")) == count, message=jobd.log)
    return jids


def done(jobd: JobdProcess) -> list[str]:
    return sorted(run["jid"] for run in jobd.ran())


def is_clean(raw: Raw) -> bool:
    return not wire.queued(raw) and not any(raw.llen(name) for name in wire.privates(raw))


def test_every_running_job_is_told_not_only_the_oldest(
    raw: Raw, start_jobd: StartJobd, access: Access
):
    jobd = start_jobd(config={"threads": 3})
    jids = hold(raw, jobd, 3)

    def told() -> list[int]:
        instances = [process.instance() for process in ProcessSet(access=access)]
        return [worker.jobs for instance in instances if instance for worker in instance.workers]

    eventually(lambda: told() == [3], message=jobd.log)
    eventually(lambda: {work.record.jid for work in WorkSet(access=access)} == set(jids))
    jobd.signal(signal.SIGTTIN)
    assert "more_jobs=2" in jobd.wait_for_line("state of worker 1")
    jobd.release("all")
    eventually(lambda: done(jobd) == sorted(jids), message=jobd.log)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [{"max_jobs": 10}, {"max_age": 1}, {"max_memory": "60M"}])
def test_a_worn_worker_with_threads_is_replaced_and_no_job_is_lost_or_run_twice(
    raw: Raw, start_jobd: StartJobd, limit: dict[str, object]
):
    jobd = start_jobd(config={"worker": limit, "threads": 3}, jobs=JOBS)
    jids = [wire.push(raw, "Leak", number) for number in range(60)]
    jobd.wait_for_log("worker 1 is replaced.*reason=")
    jobd.wait_for_log('"worker 1 left".*status="exit 0"')
    eventually(lambda: len(done(jobd)) >= 60, timeout=60, message=jobd.log)
    eventually(lambda: is_clean(raw), message=jobd.log)
    assert done(jobd) == sorted(jids)
    assert jobd.stop() == 0


def test_iterable_jobs_of_several_threads_stop_and_go_on_where_each_was(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(config={"threads": 3}, jobs=JOBS)
    jids = {name: wire.push(raw, "Rows", name, 400) for name in ("a", "b", "c")}

    def rows(jobd: JobdProcess, name: str) -> list[int]:
        return [run["args"][1] for run in jobd.ran("row") if run["args"][0] == name]

    eventually(lambda: all(len(rows(jobd, name)) > 20 for name in jids), message=jobd.log)
    assert len({run["args"][2] for run in jobd.ran("row")}) == 3
    assert jobd.stop() == 0
    before = {name: rows(jobd, name) for name in jids}
    assert {payload["jid"] for payload in wire.queued(raw)} <= set(jids.values())

    again = start_jobd(config={"threads": 3}, jobs=JOBS)
    eventually(
        lambda: all((before[name] + rows(again, name))[-1:] == [399] for name in jids),
        timeout=60,
        message=again.log,
    )
    eventually(lambda: is_clean(raw), message=again.log)
    for name in jids:
        assert before[name] + rows(again, name) == list(range(400))
    assert again.stop() == 0


def test_results_of_jobs_side_by_side_are_each_their_own(
    raw: Raw, start_jobd: StartJobd, access: Access
):
    jobd = start_jobd(config={"threads": 3}, jobs=JOBS)
    jids = [wire.push(raw, "Give", number, result_ttl=60) for number in range(3)]
    found = [Result(Store(access.redis, access.keys), jid).wait(PATIENCE_S) for jid in jids]
    assert [each["given"] for each in found] == [0, 1, 2]
    assert len({each["by"] for each in found}) == 3
    assert jobd.stop() == 0
