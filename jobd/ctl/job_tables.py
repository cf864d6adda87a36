"""Jobs as a table, and one job as a sheet of all that is known of it."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from jobd.api import JobRecord, SortedEntry, Work
from jobd.ctl.finding import Found
from jobd.ctl.tables import table, terminal_width
from jobd.ctl.words import count_of, safe, since, utc

_WHEN: Final = {"schedule": "due", "retry": "due", "dead": "died"}
_SHOWN: Final = frozenset(
    {
        *("class", "args", "jid", "queue", "tags", "bid", "retry_count"),
        *("created_at", "enqueued_at", "failed_at", "retried_at"),
        *("error_class", "error_message", "error_backtrace"),
    }
)


def job_table(jobs: Sequence[JobRecord]) -> str:
    """Jobs of one place, one a line; at least one."""
    first = jobs[0]
    if isinstance(first, SortedEntry):
        head = (_WHEN[first.place], "jid", "class", "queue", "arguments", "error")
        rows = [(*_start(job), job.queue, _arguments(job), error_of(job)) for job in jobs]
        return table(head, rows, width=terminal_width(), long=2)
    waiting = [(*_start(job), _arguments(job)) for job in jobs]
    return table(("queued", "jid", "class", "arguments"), waiting, width=terminal_width(), long=1)


def _start(job: JobRecord) -> tuple[str, str, str]:
    return utc(job.at), job.key, job.display_class or "not a job"


def _arguments(job: JobRecord) -> str:
    return job.text if job.is_malformed else _json(job.display_args)


def error_of(job: JobRecord) -> str:
    """``ValueError: no such mood``; empty if it never failed."""
    return f"{job.error_class}: {job.error_message}" if job.error_class else ""


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


# One job


def job_answer(found: Found) -> dict[str, Any]:
    """All that is known of a job, for a program."""
    job = found.record
    told = found.job.as_dict()
    return {"where": found.where, **told, "error_backtrace": job.error_backtrace}


def sheet(found: Found, now: datetime, most_tries: int) -> str:
    """All that is known of a job, a line for each thing.

    Args:
        found: the job and where it lies.
        now: by the server's clock.
        most_tries: how often a job is retried that does not say so itself.
    """
    job = found.record
    lines = [("jid", job.key), ("where", _where(found, now))]
    if job.is_malformed:
        lines.append(("not a job", job.text))
    else:
        lines += _told(job, now, most_tries)
    width = max(len(name) for name, _ in lines)
    text = "\n".join(_line(name, value, width) for name, value in lines)
    frames = job.error_backtrace
    if frames:
        text += "\n" + "\n".join(["backtrace", *(f"  {safe(frame)}" for frame in frames)])
    return text


def _line(name: str, value: str, width: int) -> str:
    indent = "\n" + " " * (width + 2)
    return f"{safe(name).ljust(width)}  {indent.join(map(safe, value.splitlines()))}".rstrip()


def _where(found: Found, now: datetime) -> str:
    job = found.job
    if isinstance(job, Work):
        began = _when(job.run_at, now, "since ") or "not in its last heartbeat yet"
        return f"runs on {job.process}, thread {job.tid}, {began}"
    when = _when(job.at, now)
    if not isinstance(job, SortedEntry):
        return f"waits in queue {job.queue}"
    return f"{job.place}, {'died' if job.place == 'dead' else 'due'} {when}"


def _when(moment: datetime | None, now: datetime, before: str = "") -> str:
    return "" if moment is None else f"{before}{utc(moment)} ({since(moment, now)})"


def _told(job: JobRecord, now: datetime, most_tries: int) -> Iterator[tuple[str, str]]:
    is_wrapped = job.display_class != job.class_name
    yield "class", f"{job.display_class} (in {job.class_name})" if is_wrapped else job.class_name
    yield "queue", job.queue
    yield "arguments", _json(job.display_args)
    known = (
        ("tags", ", ".join(job.tags)),
        ("batch", job.bid),
        ("created", _when(job.created_at, now)),
        ("queued", _when(job.enqueued_at, now)),
        ("failed", _when(job.failed_at, now)),
        ("last failed", _when(job.retried_at, now)),
        ("failures", _failures(job, most_tries)),
        ("error", error_of(job)),
    )
    yield from ((name, text) for name, text in known if text)
    for name, value in job.fields.items():
        if name not in _SHOWN:
            yield name, value if isinstance(value, str) else _json(value)


def _failures(job: JobRecord, most_tries: int) -> str:
    if job.retry_count is None:
        return ""
    failed = job.retry_count + 1
    allowed = job.get("retry", True)
    if job.get("retry_for") is not None:
        return f"{failed:,}"
    limit = most_tries if allowed is True else allowed if type(allowed) is int else 0
    return f"{failed:,} of {count_of(limit + 1, 'try', 'tries')}"
