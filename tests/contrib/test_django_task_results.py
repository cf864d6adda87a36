"""Results of the backend of django.tasks, which it has with the option ``result_ttl``."""

import asyncio
import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from django.test import override_settings
from django.utils import timezone

import jobd
from jobd import testing
from jobd.app import App
from jobd.config import RedisSettings
from jobd.contrib.django.contract import (
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultMismatch,
    TaskResultStatus,
    task_backends,
)
from tests.contrib.conftest import StartSite
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess
from tests.support.recording_store import RecordingStore
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

READY, RUNNING, FAILED, SUCCESSFUL = (
    TaskResultStatus.READY,
    TaskResultStatus.RUNNING,
    TaskResultStatus.FAILED,
    TaskResultStatus.SUCCESSFUL,
)

Settled: TypeAlias = Callable[[TaskResult], TaskResult]


@pytest.fixture(autouse=True)
def shop(shop: Any, app: App, redis_url: str) -> Any:
    """Pushes to a Redis."""
    app.redis = RedisSettings(url=redis_url)
    return shop


@pytest.fixture
def running(start_site: StartSite) -> JobdProcess:
    return start_site("-q", "default", "-q", "low")


def settled(result: TaskResult, running: JobdProcess) -> TaskResult:
    """The same once the task has ended."""

    def is_finished() -> bool:
        result.refresh()
        return result.is_finished

    eventually(is_finished, message=running.log)
    return result


# Before a worker has it


@pytest.mark.parametrize("zoned", [True, False])
def test_a_result_is_what_the_enqueueing_gave(shop: Any, zoned: bool) -> None:
    with override_settings(USE_TZ=zoned, TIME_ZONE="Asia/Tokyo"):
        add = shop.tasks.add.using(backend="kept")
        result = add.enqueue((1, "é"), y={"a": [None]})
        assert add.get_result(result.id) == result
        assert asyncio.run(add.aget_result(result.id)) == result
        assert result.status == READY


def test_a_scheduled_task_and_one_of_another_queue_have_results_that_are_equal_too(
    shop: Any, raw: Raw
) -> None:
    moment = timezone.now() + dt.timedelta(days=90, microseconds=17)
    task = shop.tasks.add.using(backend="kept", queue_name="low", run_after=moment)
    result = asyncio.run(task.aenqueue(1))
    assert task.get_result(result.id) == result
    assert raw.ttl(f"jobd:task:{result.id}") > 100 * 86_400


@pytest.mark.parametrize("name", ["0" * 24, "", "no such", "a:b*\n\0é", "x" * 100_000, None, 7])
def test_there_is_no_result_of_an_id_that_is_not_known(shop: Any, name: Any) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        shop.tasks.held.get_result(name)
    with pytest.raises(TaskResultDoesNotExist):
        asyncio.run(task_backends["kept"].aget_result(name))


def test_each_backend_knows_the_results_of_its_own_tasks(shop: Any) -> None:
    other = {"BACKEND": "jobd.contrib.django.backend.JobdBackend", "OPTIONS": {"result_ttl": 60}}
    result = shop.tasks.add.using(backend="kept").enqueue(1)
    with override_settings(TASKS={"other": other}), pytest.raises(TaskResultDoesNotExist):
        task_backends["other"].get_result(result.id)


def test_the_result_of_another_task_is_a_mismatch(shop: Any) -> None:
    result = shop.tasks.add.using(backend="kept").enqueue(1)
    with pytest.raises(TaskResultMismatch):
        shop.tasks.held.get_result(result.id)
    with pytest.raises(TaskResultMismatch):
        asyncio.run(shop.tasks.held.aget_result(result.id))


def test_a_result_that_has_run_out_is_none(shop: Any, raw: Raw) -> None:
    result = shop.tasks.add.using(backend="kept").enqueue(1)
    raw.delete(f"jobd:task:{result.id}")
    with pytest.raises(TaskResultDoesNotExist):
        result.refresh()


def test_a_cancelled_task_has_failed(shop: Any) -> None:
    result = shop.tasks.add.using(backend="kept").enqueue(1)
    assert jobd.Job.cancel(result.id)
    result.refresh()
    assert (result.status, result.errors, result.attempts) == (FAILED, [], 0)


def test_without_the_option_the_backend_says_what_it_needs(
    shop: Any, store: RecordingStore
) -> None:
    result = shop.tasks.add.enqueue(1)
    supports = [task_backends[alias].supports_get_result for alias in ("default", "kept")]
    assert supports == [False, True]
    with pytest.raises(NotImplementedError, match=r"no results are kept.*result_ttl"):
        shop.tasks.add.get_result(result.id)
    with pytest.raises(NotImplementedError, match=result.id):
        asyncio.run(result.arefresh())


def test_a_test_that_keeps_its_jobs_keeps_no_results(shop: Any, raw: Raw) -> None:
    with testing.fake():
        result = shop.tasks.add.using(backend="kept").enqueue(1)
        with pytest.raises(TaskResultDoesNotExist):
            result.refresh()
        assert testing.drain() == 1
    assert raw.keys("*") == []


# In the server


@pytest.mark.process
def test_a_task_that_is_done_has_its_return_value(
    shop: Any, running: JobdProcess, raw: Raw
) -> None:
    kept = [task.using(backend="kept") for task in (shop.tasks.add, shop.tasks.slowly)]
    added, named = kept[0].enqueue(40), kept[1].enqueue("Ada")
    nothing = shop.tasks.lowly.using(backend="kept", queue_name="default").enqueue()
    results = [settled(result, running) for result in (added, named, nothing)]
    assert [result.return_value for result in results] == [42, "Ada", None]
    for result in results:
        assert (result.status, result.errors, result.attempts) == (SUCCESSFUL, [], 1)
        assert result.enqueued_at <= result.started_at <= result.finished_at
        assert result.last_attempted_at == result.started_at
        assert len(result.worker_ids[0]) <= 64
    for name in ("result", "task"):
        assert 3_400 < raw.ttl(f"jobd:{name}:{added.id}") <= 3_600
    assert asyncio.run(kept[0].aget_result(added.id)) == added


@pytest.mark.process
def test_a_task_that_has_failed_has_its_error(shop: Any, running: JobdProcess, raw: Raw) -> None:
    once = {**task_backends["kept"].options, "retry": 0}
    tasks = {"kept": {"BACKEND": task_backends.settings["kept"]["BACKEND"], "OPTIONS": once}}
    names = ("wrong", "wrong_inside", "leave", "unfit", "unkeepable")
    with override_settings(TASKS=tasks | {"default": task_backends.settings["default"]}):
        failed = {name: getattr(shop.tasks, name).using(backend="kept").enqueue() for name in names}
    kinds = {}
    for name, result in failed.items():
        settled(result, running)
        assert result.status == FAILED
        assert result.started_at <= result.finished_at
        with pytest.raises(ValueError, match="failed"):
            _ = result.return_value
        (error,) = result.errors
        kinds[name] = error.exception_class.__name__
    assert kinds == {
        "wrong": "ValueError",
        "wrong_inside": "RuntimeError",
        "leave": "SystemExit",
        "unfit": "UnfitReturnValue",
        "unkeepable": "UnfitReturnValue",
    }
    for part in ("the inner one", "direct cause", "the outer one"):
        assert part in failed["wrong_inside"].errors[0].traceback
    key = f"jobd:task:{failed['wrong'].id}"
    eventually(lambda: raw.ttl(key) <= 3_600, message=running.log)


@pytest.mark.measured
@pytest.mark.process
def test_a_failure_that_is_tried_again_is_ready_with_its_error(
    shop: Any, running: JobdProcess, raw: Raw
) -> None:
    result = shop.tasks.shaky.enqueue()
    ((raw_job, _),) = eventually(
        lambda: raw.zrange("retry", 0, -1, withscores=True), message=running.log
    )
    result.refresh()
    assert (result.status, result.attempts, result.finished_at) == (READY, 1, None)
    assert [error.exception_class for error in result.errors] == [ValueError]
    first = result.worker_ids
    raw.zadd("retry", {raw_job: 1})
    assert settled(result, running).return_value == [2, 2, 1]
    assert (result.attempts, result.worker_ids[:1], len(result.errors)) == (2, first, 1)
    assert result.started_at < result.last_attempted_at <= result.finished_at


@pytest.mark.measured
@pytest.mark.process
def test_a_task_runs_until_it_returns_and_a_drain_is_no_try(
    shop: Any, start_site: StartSite, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    first = start_site(config={"timeout": 0.5})
    result = shop.tasks.held.enqueue(str(pipe))

    def status() -> Any:
        result.refresh()
        return result.status

    eventually(lambda: status() == RUNNING, message=first.log)
    assert (result.attempts, result.finished_at) == (1, None)
    assert first.stop() == 0
    assert (status(), result.attempts, result.errors) == (READY, 0, [])
    second = start_site()
    eventually(lambda: status() == RUNNING, message=second.log)
    pipe.write_text("")
    assert settled(result, second).return_value == "let go"
    assert result.attempts == 1


@pytest.mark.process
def test_a_task_whose_worker_is_killed_runs_again_or_has_failed(
    shop: Any, running: JobdProcess
) -> None:
    mortal = shop.tasks.mortal.using(backend="kept").enqueue()
    doomed = shop.tasks.doomed.enqueue()
    settled(mortal, running)
    assert (mortal.status, mortal.attempts) == (SUCCESSFUL, 2)
    settled(doomed, running)
    assert (doomed.status, doomed.attempts) == (FAILED, 3)
    eventually(lambda: doomed.refresh() or doomed.errors, message=running.log)
    assert doomed.errors[-1].exception_class_path.endswith("WorkerKilled")


@pytest.mark.process
def test_a_dead_task_that_is_run_again_is_ready_until_it_has_ended_again(
    shop: Any, running: JobdProcess, raw: Raw
) -> None:
    result = shop.tasks.unfit.using(backend="kept").enqueue()
    assert settled(result, running).status == FAILED
    (buried,) = eventually(lambda: raw.zrange("dead", 0, -1), message=running.log)
    raw.zadd("retry", {buried: 1})
    raw.zrem("dead", buried)

    def attempts() -> int:
        result.refresh()
        return result.attempts

    eventually(lambda: attempts() == 2, message=running.log)
    assert settled(result, running).status == FAILED
    assert len(result.errors) == 2
