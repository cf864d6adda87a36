"""A ``TaskResult`` of what is known: of a payload, its attempts, and what is kept of the end."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.utils import timezone

from jobd.contrib.django.contract import Task, TaskError, TaskResult, TaskResultStatus
from jobd.contrib.django.records import ENQUEUED_AT, Attempt, Kept
from jobd.payload import Payload, to_ms


def loaded(path: str) -> Task:
    """The task that is loaded at this path.

    Raises:
        SuspiciousOperation: there is none.
    """
    module, _, name = path.rpartition(".")
    # Not getattr(), for which a module may import something.
    found = vars(sys.modules.get(module, object)).get(name)
    if not isinstance(found, Task) or found.module_path != path:
        raise SuspiciousOperation(
            f'no task "{path}" is loaded here: define it in tasks.py of an installed app, import '
            "its module there, or name that in require"
        )
    return found


def as_enqueued(task: Task, payload: Payload, queues: set[str]) -> Task:
    """The task with the queue, backend and time with which it was enqueued.

    Args:
        task: as it is loaded.
        payload: of the job.
        queues: of the backend; empty if it allows all.
    """
    _path, _args, _kwargs, backend, *rest = payload["args"]
    queue = payload["queue"]
    return task.using(
        backend=backend,
        # A retry_queue may be outside of QUEUES.
        queue_name=queue if not queues or queue in queues else min(queues),
        run_after=datetime.fromisoformat(rest[0]) if rest and rest[0] else None,
    )


def result_of(payload: Payload, task: Task, attempts: Sequence[Attempt]) -> TaskResult:
    """What is known of a task that has not ended: it waits, for the first time or again, or runs.

    Args:
        payload: of the job.
        task: as it was enqueued.
        attempts: oldest first.
    """
    is_running = bool(attempts) and attempts[-1]["ended_at"] is None
    return TaskResult(
        task=task,
        id=payload["jid"],
        status=TaskResultStatus.RUNNING if is_running else TaskResultStatus.READY,
        enqueued_at=_read(payload.get(ENQUEUED_AT)) or moment(payload.get("created_at")),
        started_at=_read(attempts[0]["started_at"]) if attempts else None,
        finished_at=None,
        last_attempted_at=_read(attempts[-1]["started_at"]) if attempts else None,
        args=payload["args"][1],
        kwargs=payload["args"][2],
        backend=task.backend,
        errors=[_error(*attempt["error"]) for attempt in attempts if attempt["error"]],
        worker_ids=[attempt["worker"] for attempt in attempts],
    )


def ended(kept: Kept, task: Task) -> TaskResult:
    """The same with what is kept of the end, if it has ended."""
    result = result_of(kept.payload, task, kept.attempts)
    if kept.outcome is None:
        if kept.is_cancelled and result.status != TaskResultStatus.RUNNING:
            amend(result, status=TaskResultStatus.FAILED, finished_at=_last_end(kept))
    elif kept.outcome["state"] == "done":
        value = kept.outcome["value"]
        amend(
            result,
            status=TaskResultStatus.SUCCESSFUL,
            finished_at=_read(value["finished_at"]),
            _return_value=value["return_value"],
        )
    else:
        amend(result, status=TaskResultStatus.FAILED, finished_at=_last_end(kept))
    return result


def amend(result: TaskResult, **values: Any) -> None:
    """Change fields of a result, which is frozen but for backends."""
    for name, value in values.items():
        object.__setattr__(result, name, value)


def moment(stored: object) -> datetime | None:
    """A time of a payload, as Django has times: aware under ``USE_TZ``, else local."""
    ms = to_ms(stored)
    if ms is None:
        return None
    aware = datetime.fromtimestamp(ms / 1000, UTC)
    return aware if settings.USE_TZ else timezone.make_naive(aware)


def _error(path: str, traceback: str) -> TaskError:
    return TaskError(exception_class_path=path, traceback=traceback)


def _read(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(stored)


def _last_end(kept: Kept) -> datetime | None:
    if not kept.attempts:
        return None
    last = kept.attempts[-1]
    return _read(last["ended_at"] or last["started_at"])
