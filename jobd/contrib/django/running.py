"""What a worker does with a task: find it, tell Django's signals, call it.

A task is found by its path among those that this process has loaded: the modules ``tasks.py`` of
the installed apps, and whatever those or ``require`` import. Nothing is imported for a name out
of Redis, and nothing but a task is called.

Source: Django's django/tasks/backends/immediate.py.
"""

import os
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from traceback import format_exception
from typing import Any, Literal, NoReturn, Self

from django.core.exceptions import SuspiciousOperation
from django.utils import timezone

from jobd.app import App
from jobd.contrib.django.backend import JOB_NAME, JobdBackend
from jobd.contrib.django.contract import (
    Task,
    TaskContext,
    TaskError,
    TaskResult,
    TaskResultStatus,
    normalize_json,
    task_backends,
    task_finished,
    task_started,
)
from jobd.errors import JobdError
from jobd.jobs import Job
from jobd.payload import Payload, to_ms

_LONGEST_ID = 64


class UnfitReturnValue(JobdError, TypeError):
    """A task returned what JSON cannot carry: it has failed, and is not tried again."""


class DjangoTask(Job, name=JOB_NAME):
    """One task, as a job.

    Attributes:
        payload: of this run.
    """

    payload: Payload

    @classmethod
    def from_payload(cls, payload: Payload) -> Self:
        """Keep the payload, from which the task's result is made."""
        task_job = super().from_payload(payload)
        task_job.payload = payload
        return task_job

    def perform(
        self,
        path: str,
        args: list[Any],
        kwargs: dict[str, Any],
        backend: str,
        run_after: str | None = None,
    ) -> None:
        """Run the task at this path.

        Raises:
            SuspiciousOperation: no task is loaded there, or it is not for this backend.
            UnfitReturnValue: the task is done, but counts as failed.
        """
        task = find(path, backend, queue=self.payload["queue"], run_after=run_after)
        result = _result(self.payload, task, attempts=_failures(self.payload) + 1)
        _set(result, status=TaskResultStatus.RUNNING, last_attempted_at=result.started_at)
        sender = type(task.get_backend())
        # Robustly: a receiver that raises must not fail a task, nor run it twice.
        task_started.send_robust(sender, task_result=result)
        context = [TaskContext(task_result=result)] if task.takes_context else []
        value = _json(path, task.call(*context, *args, **kwargs))
        _set(
            result,
            status=TaskResultStatus.SUCCESSFUL,
            finished_at=timezone.now(),
            _return_value=value,
        )
        task_finished.send_robust(sender, task_result=result)

    @classmethod
    def retry_in(cls, count: int, error: BaseException, payload: Payload) -> Literal["kill"] | None:
        """Not again, if only the return value was wrong: the task has done its work."""
        del count, payload
        return "kill" if isinstance(error, UnfitReturnValue) else None


def listen(app: App) -> None:
    """Have deaths of tasks told to Django; fires in servers only."""
    if report_failure not in app.hooks.death_handlers:
        app.hooks.death_handlers.append(report_failure)


def find(path: str, backend: str, *, queue: str, run_after: str | None) -> Task:
    """The task that is loaded at this path, as it was enqueued.

    Raises:
        SuspiciousOperation: there is none, or the backend is not ours.
    """
    module, _, name = path.rpartition(".")
    # Not getattr(), for which a module may import something.
    found = vars(sys.modules.get(module, object)).get(name)
    if not isinstance(found, Task) or found.module_path != path:
        raise SuspiciousOperation(
            f'no task "{path}" is loaded here: define it in tasks.py of an installed app, import '
            "its module there, or name that in require"
        )
    ours = task_backends[backend]
    if not isinstance(ours, JobdBackend):
        raise SuspiciousOperation(f'"{backend}" is no backend of jobd: {path} is not run for it')
    # A retry_queue may be outside of QUEUES.
    fits = not ours.queues or queue in ours.queues
    moment = None if run_after is None else datetime.fromisoformat(run_after)
    return found.using(
        backend=backend,
        queue_name=queue if fits else min(ours.queues),
        run_after=moment,
    )


def report_failure(payload: Payload, error: BaseException) -> None:
    """Send ``task_finished`` for a task that has failed for good."""
    if payload.get("class") != JOB_NAME:
        return
    path, _args, _kwargs, backend, *rest = payload["args"]
    moment = rest[0] if rest else None
    try:
        task = find(path, backend, queue=payload["queue"], run_after=moment)
    except SuspiciousOperation:
        return  # that is what it died of, and there is no task to speak of
    result = _result(payload, task, attempts=_failures(payload))
    result.errors.append(_task_error(error))
    _set(
        result,
        status=TaskResultStatus.FAILED,
        finished_at=timezone.now(),
        last_attempted_at=_moment(payload.get("retried_at") or payload.get("failed_at")),
    )
    try:
        _raise(error)
    except BaseException:  # noqa: BLE001 - Django's logger takes the error from here
        task_finished.send_robust(type(task.get_backend()), task_result=result)


def _raise(error: BaseException) -> NoReturn:
    raise error


def _result(payload: Payload, task: Task, *, attempts: int) -> TaskResult:
    me = f"{socket.gethostname()}:{os.getpid()}"[-_LONGEST_ID:]
    return TaskResult(
        task=task,
        id=payload["jid"],
        status=TaskResultStatus.READY,
        enqueued_at=_moment(payload.get("created_at")),
        started_at=timezone.now(),
        finished_at=None,
        last_attempted_at=None,
        args=payload["args"][1],
        kwargs=payload["args"][2],
        backend=task.backend,
        errors=[],
        # Who ran it before is not kept; how often is.
        worker_ids=[*["unknown"] * (attempts - 1), me],
    )


def _failures(payload: Mapping[str, Any]) -> int:
    """How many runs have ended badly: those that raised, and those whose worker was lost."""
    raised = payload["retry_count"] + 1 if "retry_count" in payload else 0
    return int(raised + payload.get("recovered", 0))


def _set(result: TaskResult, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(result, name, value)  # frozen, but for backends


def _json(path: str, value: object) -> object:
    try:
        return normalize_json(value)
    except (TypeError, ValueError) as error:
        raise UnfitReturnValue(
            f"{path} returned {type(value).__qualname__}, which JSON cannot carry ({error}); "
            "what it did is done, and it is not tried again"
        ) from error


def _task_error(error: BaseException) -> TaskError:
    kind = type(error)
    return TaskError(
        exception_class_path=f"{kind.__module__}.{kind.__qualname__}",
        traceback="".join(format_exception(error)),
    )


def _moment(stored: object) -> datetime | None:
    ms = to_ms(stored)
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
