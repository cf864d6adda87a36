"""A backend of ``django.tasks`` that pushes each task as one job; see docs/django.md.

In the settings: ``TASKS = {"default": {"BACKEND": "jobd.contrib.django.backend.JobdBackend"}}``,
with ``QUEUES`` and, in ``OPTIONS``, any option of a job. How a task is run is in ``running``.
Results are not kept yet, so none can be asked for.

Source: Django's django/tasks/backends/base.py. A backend is made at the first ``@task``, so
nothing here may touch models, the registry of apps, or the network before a push.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.utils import timezone

from jobd.app import current_app  # noqa: TID251 - a backend is made by Django, from settings
from jobd.contrib.django.contract import (
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskResult,
    TaskResultStatus,
    task_enqueued,
)
from jobd.errors import InvalidJob
from jobd.payload import check_options, new_jid

JOB_NAME: Final = "DjangoTask"
"""The class of all tasks on the wire; its arguments: path, args, kwargs, backend, run_after."""


class JobdBackend(BaseTaskBackend):
    """Tasks that run in the workers of jobd."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = False
    supports_priority = False  # queues have priorities, jobs have none

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
        # When it is written: what was rolled back is never announced.
        current_app().client.push(
            self._item(result),
            on_pushed=lambda _job: task_enqueued.send(type(self), task_result=result),
        )
        return result

    def get_result(self, result_id: str) -> NoReturn:
        """Say that there are none.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"jobd keeps no results of tasks yet, so there is none for {result_id}: let the task "
            "write what you need where you can read it, a model for one"
        )

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
        return item


def _problem(options: Mapping[str, Any]) -> str | None:
    try:
        check_options(options)
    except InvalidJob as error:
        return str(error)
    return None
