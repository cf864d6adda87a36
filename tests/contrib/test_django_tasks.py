"""The backend of django.tasks: what Django promises of a backend.

Its results are in `test_django_task_results`. An order of priorities is not asserted: the backend
says that it has none.
"""

import asyncio
import datetime as dt
import logging
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import django
import pytest
from django.core.exceptions import SuspiciousOperation
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from jobd.app import App
from jobd.contrib.django.backend import JobdBackend
from jobd.contrib.django.contract import (
    InvalidTask,
    Task,
    TaskResult,
    TaskResultStatus,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)
from jobd.jobs import perform, registry
from tests.support.recording_store import RecordingStore

pytestmark = pytest.mark.measured

NAIVE = dt.datetime(2036, 1, 1, 9)  # noqa: DTZ001 - what is refused
BACKEND = "jobd.contrib.django.backend.JobdBackend"
ROOT = Path(__file__).parents[2]

Heard: TypeAlias = list[tuple[str, TaskResult]]
Run: TypeAlias = Callable[..., TaskResult]


@pytest.fixture(autouse=True)
def shop(shop: Any) -> Any:
    return shop


@pytest.fixture
def heard(app: App) -> Any:
    """What signals say in this process: sender and result as it is then."""
    said: Heard = []
    receivers = {}
    signals = {"enqueued": task_enqueued, "started": task_started, "finished": task_finished}
    for name, signal in signals.items():

        def receive(sender: type, task_result: TaskResult, name: str = name, **_: Any) -> None:
            assert sender is JobdBackend
            said.append((f"{name} {task_result.status}", task_result))

        receivers[name] = receive
        signal.connect(receive)
    yield said
    for name, signal in signals.items():
        signal.disconnect(receivers[name])


@pytest.fixture
def run(store: RecordingStore) -> Run:
    """Run here what was pushed last, with further fields of the payload."""

    def run_last(**fields: Any) -> None:
        payload = {**store.pushed[-1], **fields}
        kind = registry.find(payload["class"])
        assert kind is not None
        perform(kind.from_payload(payload), payload)

    return run_last


# Enqueueing


def enqueued(result: TaskResult) -> dict[str, Any]:
    names = "status started_at finished_at last_attempted_at errors worker_ids backend attempts"
    return {name: getattr(result, name) for name in names.split()}


READY = {
    "status": TaskResultStatus.READY,
    "started_at": None,
    "finished_at": None,
    "last_attempted_at": None,
    "errors": [],
    "worker_ids": [],
    "backend": "default",
    "attempts": 0,
}


def test_an_enqueued_task_is_ready_and_has_not_been_tried(shop: Any, store: RecordingStore) -> None:
    before = timezone.now()
    result = shop.tasks.add.enqueue(1)
    assert enqueued(result) == READY
    assert before <= result.enqueued_at <= timezone.now()
    assert (result.task, result.is_finished) == (shop.tasks.add, False)
    with pytest.raises(ValueError, match="not finished"):
        _ = result.return_value
    assert [payload["jid"] for payload in store.pushed] == [result.id]


def test_enqueueing_with_await_is_the_same(shop: Any, store: RecordingStore) -> None:
    result = asyncio.run(shop.tasks.add.aenqueue(1, y=3))
    assert enqueued(result) == READY
    assert (result.args, result.kwargs) == ([1], {"y": 3})
    assert [payload["jid"] for payload in store.pushed] == [result.id]


def test_arguments_become_what_json_has(shop: Any, store: RecordingStore) -> None:
    result = shop.tasks.echo.enqueue((1, "é"), range(2), b"bytes", key={"a": None})
    assert result.args == [[1, "é"], [0, 1], "bytes"]
    assert result.kwargs == {"key": {"a": None}}
    (payload,) = store.pushed
    assert payload["class"] == "DjangoTask"
    assert payload["args"] == ["shop.tasks.echo", result.args, result.kwargs, "default"]


@pytest.mark.parametrize(
    "argument",
    [NAIVE, {1, 2}, b"".join, float("nan"), {1: 2}],
    ids=["datetime", "set", "function", "nan", "number as key"],
)
def test_arguments_that_json_would_not_keep_are_type_errors_and_nothing_is_pushed(
    shop: Any, store: RecordingStore, argument: object
) -> None:
    with pytest.raises(TypeError):
        shop.tasks.echo.enqueue(argument)
    with pytest.raises(TypeError):
        shop.tasks.echo.enqueue(key=argument)
    assert store.writes == []


def test_ids_are_opaque_short_and_each_another(shop: Any, store: RecordingStore) -> None:
    ids = [shop.tasks.add.enqueue(1).id for _ in range(50)]
    assert len(set(ids)) == 50
    assert all(isinstance(name, str) and len(name) <= 64 for name in ids)


def test_in_a_transaction_a_task_waits_and_its_id_is_known(
    shop: Any, store: RecordingStore, heard: Heard
) -> None:
    with transaction.atomic():
        result = shop.tasks.add.enqueue(1)
        assert (store.writes, heard) == ([], [])
    assert [payload["jid"] for payload in store.pushed] == [result.id]
    assert heard == [("enqueued READY", result)]


def test_a_backend_may_push_before_the_commit(
    shop: Any, store: RecordingStore, heard: Heard
) -> None:
    options = {"enqueue_on_commit": False}
    tasks = {"default": {"BACKEND": BACKEND, "OPTIONS": options}}
    with override_settings(TASKS=tasks), transaction.atomic():
        shop.tasks.add.enqueue(1)
        assert len(store.pushed) == len(heard) == 1
    assert "enqueue_on_commit" not in store.pushed[0]


def test_options_of_the_backend_are_those_of_the_job(shop: Any, store: RecordingStore) -> None:
    shop.tasks.wrong.enqueue()
    assert store.pushed[0]["retry"] == 0


# Validation


def test_priorities_are_refused_since_jobs_have_none(shop: Any) -> None:
    assert task_backends["default"].supports_priority is False
    with pytest.raises(InvalidTask, match="priority"):
        shop.tasks.add.using(priority=1)


def test_run_after_schedules_the_task(shop: Any, store: RecordingStore) -> None:
    moment = timezone.now() + dt.timedelta(hours=1)
    result = shop.tasks.add.using(run_after=moment).enqueue(1)
    assert result.task.run_after == moment
    ((at_s, payload),) = store.scheduled
    assert at_s == pytest.approx(moment.timestamp(), abs=0.001)
    assert dt.datetime.fromisoformat(payload["args"][4]) == moment


def test_run_after_that_has_passed_is_at_once(shop: Any, store: RecordingStore) -> None:
    moment = timezone.now() - dt.timedelta(seconds=1)
    shop.tasks.add.using(run_after=moment).enqueue(1)
    assert len(store.pushed) == 1


def test_run_after_without_a_timezone_is_refused_under_use_tz(shop: Any) -> None:
    with pytest.raises(InvalidTask, match="aware"):
        shop.tasks.add.using(run_after=NAIVE)


def test_run_after_without_a_timezone_is_local_without_use_tz(
    shop: Any, store: RecordingStore
) -> None:
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        shop.tasks.add.using(run_after=NAIVE).enqueue(1)
    ((at_s, _),) = store.scheduled
    assert at_s == dt.datetime(2036, 1, 1, tzinfo=dt.UTC).timestamp()


def test_unknown_queues_are_refused_at_the_definition(shop: Any) -> None:
    with pytest.raises(InvalidTask, match="unknown"):
        shop.tasks.add.using(queue_name="unknown")


def test_unknown_queues_are_refused_at_the_enqueue_too(shop: Any, store: RecordingStore) -> None:
    task = shop.tasks.lowly
    tasks = {"default": {"BACKEND": BACKEND, "QUEUES": ["other"]}}
    with override_settings(TASKS=tasks), pytest.raises(InvalidTask, match="low"):
        task.enqueue()
    assert store.writes == []


def test_without_named_queues_all_are_allowed(shop: Any, store: RecordingStore) -> None:
    shop.tasks.add.using(backend="any", queue_name="whatever").enqueue(1)
    assert store.pushed[0]["queue"] == "whatever"


def test_a_queue_that_jobd_cannot_name_is_refused(shop: Any) -> None:
    with pytest.raises(InvalidTask, match="queue"):
        shop.tasks.add.using(backend="any", queue_name="mail box")


def task_of(func: Callable[..., Any], *, takes_context: bool = False) -> Task:
    fields = {"priority": 0, "backend": "default", "queue_name": "default", "run_after": None}
    return Task(func=func, takes_context=takes_context, **fields)  # Django 6.0 wants them all


def test_what_is_no_function_of_a_module_is_refused(app: App) -> None:
    def inner() -> None:
        pass

    for func in (inner, lambda: None, print):
        with pytest.raises(InvalidTask, match="module level"):
            task_of(func)


def test_a_task_that_takes_a_context_has_a_parameter_for_it(shop: Any) -> None:
    with pytest.raises(InvalidTask, match="context"):
        task_of(shop.tasks.no_task, takes_context=True)


# Settings


def test_the_backend_supports_what_it_says(app: App) -> None:
    backend = task_backends["default"]
    assert (backend.supports_defer, backend.supports_async_task) == (True, True)


def test_two_backends_have_their_own_queues_and_options(shop: Any, store: RecordingStore) -> None:
    with pytest.raises(InvalidTask):
        shop.tasks.lowly.using(backend="once")
    results = [shop.tasks.add.enqueue(1), shop.tasks.add.using(backend="once").enqueue(1)]
    assert [result.backend for result in results] == ["default", "once"]
    assert [payload["args"][3] for payload in store.pushed] == ["default", "once"]
    assert [payload["retry"] for payload in store.pushed] == [True, 0]


def test_checks_of_a_right_backend_say_nothing(app: App) -> None:
    assert [message for backend in task_backends.all() for message in backend.check()] == []


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"QUEUES": ["mail box"]}, ("jobd.E002", "mail box")),
        ({"OPTIONS": {"retry": "often"}}, ("jobd.E003", "retry")),
        ({"OPTIONS": {"retry_": 3}}, ("jobd.E003", "did you mean retry")),
        ({"OPTIONS": {"queue": "low"}}, ("jobd.E003", "queue")),
    ],
)
def test_checks_of_a_wrong_backend_say_what_is_wrong(
    app: App, params: dict[str, Any], wrong: tuple[str, str]
) -> None:
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, **params}}):
        (message,) = task_backends["default"].check()
    assert message.id == wrong[0]
    assert wrong[1] in message.msg


def test_checks_notice_that_the_app_is_not_installed(app: App) -> None:
    with override_settings(INSTALLED_APPS=["shop"]):
        (message,) = task_backends["default"].check()
    assert message.id == "jobd.E001"


def test_a_backend_can_be_made_before_the_apps_are_loaded(tmp_path: Path) -> None:
    code = """
from django.conf import settings
settings.configure(TASKS={"default": {"BACKEND": "jobd.contrib.django.backend.JobdBackend"}})
from jobd.contrib.django.contract import task_backends
from django.apps import apps
import sys
assert task_backends["default"].alias == "default" and not apps.ready
assert "redis" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_without_an_api_of_tasks_the_rest_works_and_the_backend_says_what_it_needs() -> None:
    code = """
import sys
sys.modules["django.tasks"] = sys.modules["django_tasks"] = None
from django.conf import settings
settings.configure(INSTALLED_APPS=["jobd.contrib.django"])
import django
django.setup()
try:
    from jobd.contrib.django import backend
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert "needs Django 6, or the package django-tasks" in done.stdout


@pytest.mark.skipif(django.VERSION < (6, 1), reason="tasks can be pickled since Django 6.1 only")
def test_a_task_can_be_pickled(shop: Any) -> None:
    for task in (shop.tasks.add, shop.tasks.lowly, shop.tasks.add.using(backend="any")):
        assert pickle.loads(pickle.dumps(task)) == task


# Running


def test_signals_tell_the_life_of_a_task_in_order_and_once(
    shop: Any, store: RecordingStore, heard: Heard, run: Run
) -> None:
    result = shop.tasks.add.enqueue(40)
    run()
    assert [what for what, _ in heard][:1] == ["enqueued READY"]
    assert [what.split()[0] for what, _ in heard] == ["enqueued", "started", "finished"]
    assert {said.id for _, said in heard} == {result.id}
    (_, _, (_, finished)) = heard
    assert finished.status == TaskResultStatus.SUCCESSFUL
    assert finished.return_value == 42
    assert finished.enqueued_at <= timezone.now()
    assert finished.started_at == finished.last_attempted_at <= finished.finished_at
    assert finished.attempts == len(finished.worker_ids) == 1
    assert len(finished.worker_ids[0]) <= 64


def test_a_task_may_return_nothing(
    shop: Any, store: RecordingStore, heard: Heard, run: Run
) -> None:
    shop.tasks.lowly.enqueue()
    run()
    assert heard[-1][1].return_value is None


def test_what_a_task_returns_becomes_what_json_has(
    shop: Any, store: RecordingStore, heard: Heard, run: Run
) -> None:
    shop.tasks.echo.enqueue(1, key="x")
    run()
    assert heard[-1][1].return_value == [[1], {"key": "x"}]


def test_coroutines_are_run_to_their_end(
    shop: Any, store: RecordingStore, heard: Heard, run: Run
) -> None:
    shop.tasks.slowly.enqueue("Ada")
    run()
    assert heard[-1][1].return_value == "Ada"


@pytest.mark.parametrize(
    ("fields", "attempt"), [({}, 1), ({"retry_count": 0}, 2), ({"recovered": 1}, 2)]
)
def test_a_context_has_the_id_and_counts_the_tries(
    shop: Any, store: RecordingStore, run: Run, tmp_path: Path, fields: dict[str, Any], attempt: int
) -> None:
    result = shop.tasks.introspect.enqueue("x")
    run(**fields)
    line = (tmp_path / "ran.jsonl").read_text()
    assert f'"id": "{result.id}", "attempt": {attempt}, "extra": "x"' in line


def test_a_running_task_is_the_one_that_was_enqueued(
    shop: Any, store: RecordingStore, heard: Heard, run: Run
) -> None:
    moment = timezone.now() - dt.timedelta(microseconds=1_000_001)
    task = shop.tasks.add.using(backend="any", queue_name="x", run_after=moment)
    task.enqueue(1)
    run()
    assert heard[-1][1].task == task


def test_lines_of_the_log_come_once_each(
    shop: Any, store: RecordingStore, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    result = shop.tasks.add.enqueue(1)
    run()
    lines = [record.getMessage() for record in caplog.records if result.id in record.getMessage()]
    ends = ("enqueued backend=default", "state=RUNNING", "state=SUCCESSFUL")
    assert lines == [f"Task id={result.id} path=shop.tasks.add {end}" for end in ends]


def test_a_receiver_that_raises_does_not_fail_the_task(
    shop: Any, store: RecordingStore, heard: Heard, run: Run
) -> None:
    def receive(**_: Any) -> None:
        raise RuntimeError

    task_finished.connect(receive)
    try:
        shop.tasks.add.enqueue(1)
        run()
    finally:
        task_finished.disconnect(receive)
    assert heard[-1][1].return_value == 3


@pytest.mark.parametrize(
    "path",
    [
        "os.getpid",
        "shop.tasks.no_task",
        "shop.tasks.nothing",
        "antigravity.fly",
        "shop.tasks",
        "add",
        "",
        "tests.contrib.test_django_tasks.renamed",
    ],
)
def test_only_tasks_that_are_loaded_are_run_and_nothing_is_imported(
    shop: Any, store: RecordingStore, run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "renamed", shop.tasks.add)
    monkeypatch.setitem(sys.modules, "tests.contrib.test_django_tasks", sys.modules[__name__])
    shop.tasks.add.enqueue(1)
    with pytest.raises(SuspiciousOperation, match="no task"):
        run(args=[path, [], {}, "default"])
    assert "antigravity" not in sys.modules


def test_a_task_is_run_for_backends_of_jobd_only(
    shop: Any, store: RecordingStore, run: Run
) -> None:
    name = type(task_backends["default"]).__mro__[1].__module__.rpartition(".")[0]
    immediate = {"BACKEND": f"{name}.immediate.ImmediateBackend"}
    shop.tasks.add.enqueue(1)
    tasks = {"default": {"BACKEND": BACKEND}, "now": immediate}
    refused = pytest.raises(SuspiciousOperation, match="no backend of jobd")
    with override_settings(TASKS=tasks), refused:
        run(args=["shop.tasks.add", [1], {}, "now"])
