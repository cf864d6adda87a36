"""Results of jobs, as those who pushed them see them."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

import jobd
from jobd.app import App
from jobd.config import RedisSettings
from jobd.errors import InvalidJob, JobFailed, UnfitResult
from jobd.keys import Keys
from jobd.payload import check_options
from jobd.pool import Pool
from jobd.results import Result
from jobd.store import Store
from tests.support import wire
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

JOBS = """
import os, signal
import jobd
from jobd import faults
from tests.support.sample_jobs import Hold, record


class Give(jobd.Job):
    def perform(self, value):
        record("done", "Give", self.jid, [value])
        return value


class Counted(jobd.Job):
    @jobd.around_perform
    def around(self, proceed):
        proceed()

    def perform(self):
        record("done", "Counted", self.jid, [])
        return len(open("ran.jsonl").readlines())


@jobd.job
def give(value):
    return {"given": value}


class Odd(jobd.Job):
    def perform(self):
        return {1, 2}


class Broken(jobd.Job):
    @classmethod
    def retry_in(cls, count, error, payload):
        return 0.01

    def perform(self):
        raise LookupError("no such thing")


def die(name):
    if name == "returned" and os.path.exists("die"):
        os.unlink("die")
        os.kill(os.getpid(), signal.SIGKILL)


faults.point = die
"""


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    with contextlib.closing(Pool(RedisSettings(url=redis_url))) as pool:
        yield Store(pool, Keys())


@pytest.fixture
def running(start_jobd: StartJobd) -> JobdProcess:
    return start_jobd(jobs=JOBS)


def result_of(raw: Raw, store: Store, name: str, *args: Any, **fields: Any) -> Result:
    return Result(store, wire.push(raw, name, *args, **{"result_ttl": 60, **fields}))


@pytest.mark.parametrize("value", [None, 0, [1, {"a": [None, 2**70, "ä"]}], "text"])
def test_what_a_job_returned_is_there_when_it_is_done(
    raw: Raw, store: Store, running: JobdProcess, value: object
) -> None:
    result = result_of(raw, store, "Give", value)
    assert result.wait(PATIENCE_S) == value
    assert result.is_ready
    assert 50 < raw.ttl(f"jobd:result:{result.jid}") <= 60


def test_a_coroutine_awaits_the_result_while_its_loop_goes_on(
    raw: Raw, store: Store, running: JobdProcess
) -> None:
    async def main() -> list[object]:
        nothing = Result(store, "0123456789abcdef01234567")
        asked = asyncio.create_task(nothing.wait_async(0.05))
        result = result_of(raw, store, "Give", 7)
        return await asyncio.gather(asked, result.wait_async(PATIENCE_S), return_exceptions=True)

    missing, value = asyncio.run(main())
    assert value == 7
    assert isinstance(missing, TimeoutError)
    assert "has not ended in 0.05 s" in str(missing)


def test_functions_and_jobs_with_callbacks_have_results_too(
    raw: Raw, store: Store, running: JobdProcess
) -> None:
    assert result_of(raw, store, "give", 7).wait(PATIENCE_S) == {"given": 7}
    assert result_of(raw, store, "Counted").wait(PATIENCE_S) == 1


def test_a_job_that_does_not_ask_for_it_keeps_nothing(
    raw: Raw, store: Store, running: JobdProcess
) -> None:
    wire.push(raw, "Give", 1)
    wire.push(raw, "Give", 2, result_ttl="soon")
    eventually(lambda: len(running.ran()) == 2, message=running.log)
    eventually(lambda: not wire.privates(raw), message=running.log)
    assert raw.keys("jobd:result:*") == []


def test_only_the_last_failure_is_the_end(raw: Raw, store: Store, running: JobdProcess) -> None:
    result = result_of(raw, store, "Broken", retry=1)
    with pytest.raises(JobFailed, match="LookupError: no such thing"):
        result.wait(PATIENCE_S)
    eventually(lambda: raw.zcard("dead") == 1, message=running.log)
    discarded = result_of(raw, store, "Broken", retry=False)
    with pytest.raises(JobFailed, match="is dead"):
        discarded.wait(PATIENCE_S)


def test_what_json_cannot_carry_is_told_and_the_job_is_done(
    raw: Raw, store: Store, running: JobdProcess
) -> None:
    result = result_of(raw, store, "Odd")
    with pytest.raises(UnfitResult, match=r"is done, but .*set"):
        result.wait(PATIENCE_S)
    eventually(lambda: not wire.privates(raw), message=running.log)
    assert not raw.exists("retry", "dead")


def test_a_wait_ends_in_time(raw: Raw, store: Store, running: JobdProcess) -> None:
    result = result_of(raw, store, "Hold", "a")
    eventually(lambda: running.ran("start"), message=running.log)
    assert not result.is_ready
    with pytest.raises(TimeoutError, match=r"has no result yet: it has not ended in 0\.05 s"):
        result.wait(0.05)
    running.release("a")
    assert result.wait(PATIENCE_S) is None


@pytest.mark.parametrize("moment", ["before it is kept", "before the job is settled"])
def test_a_worker_that_is_killed_loses_no_result(
    raw: Raw, store: Store, running: JobdProcess, moment: str
) -> None:
    if moment == "before it is kept":
        (running.directory / "die").touch()
        result = result_of(raw, store, "Counted")
        assert result.wait(PATIENCE_S) == 2
    else:
        result = result_of(raw, store, "Counted")
        assert result.wait(PATIENCE_S) == 1
        os.kill(running.worker(1).pid, signal.SIGKILL)
        assert result.wait(0) >= 1


def test_a_full_server_still_keeps_results_and_lets_the_job_out(
    raw: Raw, store: Store, running: JobdProcess
) -> None:
    result = result_of(raw, store, "Hold", "a")
    eventually(lambda: running.ran("start"), message=running.log)
    raw.config_set("maxmemory", "1")
    running.release("a")
    assert result.wait(PATIENCE_S) is None
    eventually(lambda: not wire.privates(raw), message=running.log)


def test_a_client_asks_by_the_class_of_the_job(redis_url: str) -> None:
    app = App()
    app.redis = RedisSettings(url=redis_url)
    with pytest.raises(TimeoutError):
        app.result("b4a5").wait(0)


@pytest.mark.parametrize("ttl", [0, -1, "60", True, 2_000_000_000])
def test_a_life_that_cannot_be_is_refused_at_the_push(ttl: object) -> None:
    with pytest.raises(InvalidJob, match="result_ttl"):
        check_options({"result_ttl": ttl})


def test_a_job_class_declares_it() -> None:
    class Declared(jobd.Job):
        result_ttl = 60

        def perform(self) -> int:
            return 1

    assert Declared.wire_options()["result_ttl"] == 60
    jobd.jobs.registry.forget("Declared")
