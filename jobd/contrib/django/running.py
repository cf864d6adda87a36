"""What a worker does with a task: find it, tell Django's signals, call it.

A task is found by its path among those that this process has loaded: the modules ``tasks.py`` of
the installed apps, and whatever those or ``require`` import. Nothing is imported for a name out
of Redis, and nothing but a task is called.

Source: Django's django/tasks/backends/immediate.py.
"""

from collections.abc import Mapping
from typing import Any, Literal, NoReturn, Self

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import SuspiciousOperation
from django.utils import timezone

from jobd.app import App
from jobd.contrib.django.attempts import Attempts
from jobd.contrib.django.backend import JOB_NAME, JobdBackend
from jobd.contrib.django.connections import with_a_thread
from jobd.contrib.django.contract import (
    Task,
    TaskContext,
    TaskResultStatus,
    normalize_json,
    task_backends,
    task_finished,
    task_started,
)
from jobd.contrib.django.records import OPTION
from jobd.contrib.django.results import amend, as_enqueued, loaded
from jobd.errors import JobdError, JobInterrupted, JobPutOff
from jobd.jobs import Job
from jobd.payload import Payload, check_values


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
        _backend: str,
        _run_after: str | None = None,
    ) -> dict[str, Any]:
        """Run the task at this path.

        Returns:
            What becomes its result, if that is kept.

        Raises:
            SuspiciousOperation: no task is loaded there, or it is not for this backend.
            UnfitReturnValue: the task is done, but counts as failed.
        """
        task = find(self.payload)
        attempts = Attempts.of(self.payload)
        attempts.begin()
        result = attempts.result(task)
        sender = type(task.get_backend())
        # Robustly: a receiver that raises must not fail a task, nor run it twice.
        task_started.send_robust(sender, task_result=result)
        context = [TaskContext(task_result=result)] if task.takes_context else []
        try:
            value = self._json(path, self._called(task, [*context, *args], kwargs))
        except (JobInterrupted, JobPutOff):
            attempts.forget()  # it is given back, and this was no try
            raise
        except BaseException as error:
            attempts.fail(error)
            raise
        attempts.end()
        finished_at = timezone.now()
        amend(
            result,
            status=TaskResultStatus.SUCCESSFUL,
            finished_at=finished_at,
            _return_value=value,
        )
        task_finished.send_robust(sender, task_result=result)
        return {"return_value": value, "finished_at": finished_at.isoformat()}

    @classmethod
    def retry_in(cls, count: int, error: BaseException, payload: Payload) -> Literal["kill"] | None:
        """Not again, if only the return value was wrong: the task has done its work."""
        del count, payload
        return "kill" if isinstance(error, UnfitReturnValue) else None

    def _called(self, task: Any, args: list[Any], kwargs: dict[str, Any]) -> object:
        if self.__run__ is None or not iscoroutinefunction(task.func):
            return task.call(*args, **kwargs)
        # Not by call(): what interrupts that leaves the coroutine running.
        return self.__run__.complete(with_a_thread(task.acall(*args, **kwargs)))

    def _json(self, path: str, value: object) -> object:
        try:
            fit = normalize_json(value)
            if OPTION in self.payload:
                check_values({"value": fit})
        except (TypeError, ValueError) as error:
            raise UnfitReturnValue(
                f"{path} returned {type(value).__qualname__}, which JSON cannot carry ({error}); "
                "what it did is done, and it is not tried again"
            ) from error
        return fit


def listen(app: App) -> None:
    """Have failures and deaths of tasks noted and told to Django; fires in servers only."""
    if report_failure not in app.hooks.death_handlers:
        app.hooks.death_handlers.append(report_failure)
        app.hooks.error_handlers.append(note_failure)


def find(payload: Payload) -> Task:
    """The task of this job, as it was enqueued.

    Raises:
        SuspiciousOperation: it is not loaded here, or the backend is not ours.
    """
    path, _args, _kwargs, backend, *_rest = payload["args"]
    task = loaded(path)
    ours = task_backends[backend]
    if not isinstance(ours, JobdBackend):
        raise SuspiciousOperation(f'"{backend}" is no backend of jobd: {path} is not run for it')
    return as_enqueued(task, payload, ours.queues)


def note_failure(error: BaseException, context: Mapping[str, Any]) -> None:
    """Note the end of an attempt whose worker was killed: no task was there to do it."""
    payload = context.get("job", {})
    if payload.get("class") == JOB_NAME and OPTION in payload:
        Attempts.of(payload).fail(error)


def report_failure(payload: Payload, error: BaseException) -> None:
    """Note that a task has failed for good, and send ``task_finished`` for it."""
    if payload.get("class") != JOB_NAME:
        return
    attempts = Attempts.of(payload)
    attempts.fail(error)
    attempts.end()
    try:
        task = find(payload)
    except SuspiciousOperation:
        return  # that is what it died of, and there is no task to speak of
    result = attempts.result(task)
    amend(result, status=TaskResultStatus.FAILED, finished_at=timezone.now())
    try:
        _raise(error)
    except BaseException:  # noqa: BLE001 - Django's logger takes the error from here
        task_finished.send_robust(type(task.get_backend()), task_result=result)


def _raise(error: BaseException) -> NoReturn:
    raise error
