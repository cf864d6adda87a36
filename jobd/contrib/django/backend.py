"""A backend of ``django.tasks`` that pushes each task as one job; see docs/django.md.

In the settings: ``TASKS = {"default": {"BACKEND": "jobd.contrib.django.backend.JobdBackend"}}``,
with ``QUEUES`` and, in ``OPTIONS``, any option of a job; with ``result_ttl`` there, results are
kept for so long. How a task is run is in ``running``.

Source: Django's django/tasks/backends/base.py. A backend is made at the first ``@task``, so
nothing here may touch models, the registry of apps, or the network before a push.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.core.exceptions import SuspiciousOperation
from django.utils import timezone

from jobd.app import current_app  # noqa: TID251 - a backend is made by Django, from settings
from jobd.client import Prepared
from jobd.contrib.django.contract import (
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_enqueued,
)
from jobd.contrib.django.records import ENQUEUED_AT, OPTION, Records
from jobd.contrib.django.results import as_enqueued, ended, loaded
from jobd.errors import InvalidJob
from jobd.payload import check_options, new_jid

JOB_NAME: Final = "DjangoTask"
"""The class of all tasks on the wire; its arguments: path, args, kwargs, backend, run_after."""


class JobdBackend(BaseTaskBackend):
    """Tasks that run in the workers of jobd."""

    supports_defer = True
    supports_async_task = True
    supports_priority = False  # queues have priorities, jobs have none

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        self.supports_get_result = OPTION in self.options

    def validate_task(self, task: Task) -> None:
        """Refuse a task that cannot run here; called at the definition and at each enqueue.

        Raises:
            InvalidTask: saying why.
        """
        super().validate_task(task)
        try:
            check_options({"queue": task.queue_name})
        except InvalidJob as error:
            raise InvalidTask(str(error)) from None

    def enqueue(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult:
        """Push the task; inside of a transaction, when that commits.

        Raises:
            InvalidTask: the settings do not allow it any more.
            TypeError: an argument is no JSON; nothing was pushed.
            RedisUnavailable: whether it was pushed is not known.
        """
        self.validate_task(task)
        result = self._ready(task, args, kwargs)

        def announce(job: Prepared) -> None:
            # When it is written: what was rolled back is never announced.
            records = Records.of_app() if self.supports_get_result else None
            if records is not None:
                records.enqueued(job.payload, due_s=job.at_s)
            task_enqueued.send(type(self), task_result=result)

        current_app().client.push(self._item(result), on_pushed=announce)
        return result

    def get_result(self, result_id: str) -> TaskResult:
        """What is known of a task that was enqueued with this backend.

        Raises:
            TaskResultDoesNotExist: nothing, or no more; nor is it before the commit of the
                transaction in which it was enqueued.
            NotImplementedError: without the option ``result_ttl`` nothing is kept.
            RedisError: Redis was not reached.
        """
        if not self.supports_get_result:
            raise NotImplementedError(
                f"no results are kept, so there is none for {result_id}: set "
                f'TASKS["{self.alias}"]["OPTIONS"]["{OPTION}"] to the seconds for which to keep '
                "them, in the workers too"
            )
        records = Records.of_app()
        kept = None if records is None else records.find(str(result_id))
        if kept is None or kept.payload["args"][3] != self.alias:
            raise TaskResultDoesNotExist(result_id)
        try:
            task = loaded(kept.payload["args"][0])
        except SuspiciousOperation as error:
            raise TaskResultDoesNotExist(f"{result_id}: {error}") from error
        return ended(kept, as_enqueued(task, kept.payload, self.queues))

    def check(self, **_kwargs: Any) -> Iterator[CheckMessage]:
        """Look over the settings, for ``manage.py check``; does not connect."""
        where = f"TASKS[{self.alias!r}]"
        if not apps.is_installed("jobd.contrib.django"):
            yield Error(
                f"{where} uses jobd, but jobd.contrib.django is not in INSTALLED_APPS.",
                hint='Add "jobd.contrib.django" to it.',
                id="jobd.E001",
            )
        for queue in sorted(map(str, self.queues)):
            if problem := _problem({"queue": queue}):
                yield Error(f'{where}["QUEUES"]: {problem}', id="jobd.E002")
        if "queue" in self.options:
            yield Error(
                f'{where}["OPTIONS"]: the queue is an option of each task.',
                hint="@task(queue_name=...)",
                id="jobd.E003",
            )
        elif problem := _problem(self.options):
            yield Error(f'{where}["OPTIONS"]: {problem}', id="jobd.E003")

    def _ready(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult:
        return TaskResult(
            task=task,
            id=new_jid(),
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=args,  # which it turns into what JSON knows, or refuses
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )

    def _item(self, result: TaskResult) -> dict[str, Any]:
        task = result.task
        args = [task.module_path, result.args, result.kwargs, self.alias]
        item = {
            **self.options,
            "class": JOB_NAME,
            "args": args,
            "queue": task.queue_name,
            "jid": result.id,
        }
        if task.run_after is not None:
            is_aware = timezone.is_aware(task.run_after)
            item["at"] = task.run_after if is_aware else timezone.make_aware(task.run_after)
            args.append(task.run_after.isoformat())
        if self.supports_get_result:
            item[ENQUEUED_AT] = result.enqueued_at.isoformat()
        return item


def _problem(options: Mapping[str, Any]) -> str | None:
    try:
        check_options(options)
    except InvalidJob as error:
        return str(error)
    return None
