"""Where a running job is: its stacks and last log lines; and its end without grace.

What is wanted goes to the instance that runs the job, on whichever host, and is there within about
a second. Of jobd's instances only, and not of embedded ones, which share their process with others.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from jobd import cancelling
from jobd.api.access import Access
from jobd.api.replies import document, mapping, moment, string
from jobd.api.works import Work
from jobd.store import Store

_LIFE_S: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a worker was doing while it ran a job.

    Attributes:
        at: when; None if it was asked and has not answered yet.
        stacks: of all its threads, the innermost call first, as Python's faulthandler writes them;
            empty if it did not say.
        lines: of the log, the newest last: those of the job, and what was printed meanwhile. None
            if its Python code does not go on, as in a call of C.
    """

    at: datetime | None
    stacks: str = ""
    lines: tuple[str, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """What JSON can carry of it; the time in ISO 8601."""
        return {**asdict(self), "at": self.at and self.at.isoformat()}


def ask_look(work: Work, *, access: Access | None = None) -> None:
    """Have the instance that runs a job show where it is; `find_look` tells it for a minute."""
    access = Access.of() if access is None else access
    key = access.keys.look(work.process, work.tid)
    asked = json.dumps({"jid": work.record.jid})
    _ask(access, work, "look", ("SET", key, asked, "EX", _LIFE_S))


def find_look(work: Work, *, access: Access | None = None) -> Look | None:
    """What was shown of a job; None if nobody has asked lately."""
    access = Access.of() if access is None else access
    told = mapping(document(access.redis.call("GET", access.keys.look(work.process, work.tid))))
    if not told or told.get("jid") != work.record.jid:
        return None
    lines, at_ms = told.get("lines"), told.get("at_ms")
    return Look(
        at=moment(at_ms) if isinstance(at_ms, int) else None,
        stacks=string(told.get("stacks")),
        lines=_of_job(lines, work.record.jid) if isinstance(lines, str) else None,
    )


def kill_run(work: Work, *, access: Access | None = None) -> None:
    """Kill the worker of a job at once, if it still runs that; the job is never run again.

    It is cancelled, so neither retried nor dead. What else the worker ran, or had taken, runs again
    from its beginning, and is not charged with this death.

    Raises:
        InvalidJob: the job has no jid, by which it could be known.
    """
    access = Access.of() if access is None else access
    # First, or a job that is given back in between might begin again.
    cancelling.mark(Store(access.redis, access.keys), work.record.jid)
    _ask(access, work, "kill")


def _ask(access: Access, work: Work, what: str, *others: tuple[str | int, ...]) -> None:
    key = access.keys.asks(work.process)
    ask = json.dumps({"ask": what, "processor": work.tid, "jid": work.record.jid})
    access.atomically(*others, ("RPUSH", key, ask), ("EXPIRE", key, _LIFE_S))


def _of_job(text: str, jid: str) -> tuple[str, ...]:
    """Those lines of a worker that are a job's, or nobody's: what it prints does not name it.

    From where it is named first, else behind the last line of another job.
    """
    lines = text.splitlines()
    return tuple(
        line for line in lines[_begin(lines, jid) :] if jid in line or not _names_a_job(line)
    )


def _begin(lines: Sequence[str], jid: str) -> int:
    after_others = 0
    for number, line in enumerate(lines):
        if jid in line:
            return number
        if _names_a_job(line):
            after_others = number + 1
    return after_others


def _names_a_job(line: str) -> bool:
    return " jid=" in line or '"jid":' in line
