"""The attempts of one task, as a worker counts them; noted in its record, if it has one."""

import os
import socket
from collections.abc import Mapping
from traceback import format_exception
from typing import Any, Final, Self

from django.utils import timezone

from jobd.contrib.django.contract import Task, TaskResult
from jobd.contrib.django.records import OPTION, Attempt, Records
from jobd.contrib.django.results import moment, result_of
from jobd.payload import Payload

_LONGEST_ID: Final = 64


class Attempts:
    """The attempts of one job, which are noted if its result is kept.

    Args:
        payload: of the job.
        records: where they are noted; nowhere, if None.
    """

    def __init__(self, payload: Payload, records: Records | None) -> None:
        self._payload = payload
        self._records = records
        known = [] if records is None else records.attempts(payload["jid"])
        # Who ran it before may not be known; how often is.
        lost = _failures(payload) - len(known)
        self.all: list[Attempt] = [_attempt("unknown", _last_tried(payload))] * lost + known

    @classmethod
    def of(cls, payload: Payload) -> Self:
        """Those of this job."""
        return cls(payload, Records.of_app() if OPTION in payload else None)

    def begin(self) -> None:
        """One begins here and now."""
        me = f"{socket.gethostname()}:{os.getpid()}"[-_LONGEST_ID:]
        self.all.append(_attempt(me, timezone.now().isoformat()))
        if self._records is not None:
            self._records.began(self._payload, self.all)

    def fail(self, error: BaseException) -> None:
        """The last one has failed; nothing happens if that is noted already."""
        if not self.all or self.all[-1]["ended_at"] is not None:
            return
        self.all[-1] = {
            **self.all[-1],
            "ended_at": timezone.now().isoformat(),
            "error": _told(error),
        }
        self._change()

    def forget(self) -> None:
        """The last one was none."""
        self.all.pop()
        self._change()

    def result(self, task: Task) -> TaskResult:
        """As they are now."""
        return result_of(self._payload, task, self.all)

    def _change(self) -> None:
        if self._records is not None:
            self._records.changed(self._payload, self.all)


def _attempt(worker: str, started_at: str | None) -> Attempt:
    return {"worker": worker, "started_at": started_at, "ended_at": None, "error": None}


def _failures(payload: Mapping[str, Any]) -> int:
    """How many runs have ended badly: those that raised, and those whose worker was lost."""
    raised = payload["retry_count"] + 1 if "retry_count" in payload else 0
    return int(raised + payload.get("recovered", 0))


def _last_tried(payload: Mapping[str, Any]) -> str | None:
    tried = moment(payload.get("retried_at") or payload.get("failed_at"))
    return None if tried is None else tried.isoformat()


def _told(error: BaseException) -> tuple[str, str]:
    kind = type(error)
    # A traceback may quote what UTF-8 cannot carry.
    stack = "".join(format_exception(error)).encode("utf-8", "backslashreplace").decode()
    return f"{kind.__module__}.{kind.__qualname__}", stack
