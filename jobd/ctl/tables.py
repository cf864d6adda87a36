"""What people read: tables, times, ages; nothing in it can move the cursor of a terminal."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jobd.api import JobRecord, Process, QueueSummary, SortedEntry

_LONGEST_CELL = 60


def queue_table(queues: Sequence[QueueSummary]) -> str:
    """Queues, one a line."""
    if not queues:
        return "no queues yet"
    rows = [
        (
            queue.name,
            f"{queue.size:,}",
            _duration(queue.latency_s),
            "paused" if queue.is_paused else "",
        )
        for queue in queues
    ]
    return _table(("queue", "size", "latency", ""), rows)


def process_table(processes: Sequence[Process]) -> str:
    """Who works, one a line."""
    if not processes:
        return "no jobd is running here"
    rows = [
        (
            process.identity,
            process.tag,
            f"{process.busy} of {process.concurrency}",
            f"{process.rss_kb // 1024} MB",
            f"{_duration(process.beat_age_s)} ago",
            ", ".join(process.queues),
            "quiet" if process.is_quiet else "",
        )
        for process in processes
    ]
    return _table(("process", "tag", "busy", "memory", "beat", "queues", ""), rows)


def job_table(entries: Sequence[JobRecord]) -> str:
    """Jobs, one a line; at least one."""
    rows: list[Sequence[str]] = []
    for entry in entries:
        fields = entry.fields
        when = entry.at if isinstance(entry, SortedEntry) else entry.created_at
        rows.append(
            (
                _utc(when),
                str(fields.get("jid", "")),
                str(fields.get("class", "not a job")),
                str(fields.get("queue", "")),
                json.dumps(fields["args"], ensure_ascii=False) if fields else _raw(entry.raw),
                _error(fields),
            )
        )
    head = "at" if isinstance(entries[0], SortedEntry) else "created"
    return _table((head, "jid", "class", "queue", "arguments", "error"), rows)


def job_answer(entry: JobRecord) -> dict[str, Any]:
    """A job for a program."""
    answer: dict[str, Any] = {"at": entry.score} if isinstance(entry, SortedEntry) else {}
    return answer | ({"payload": entry.fields} if entry.fields else {"raw": _raw(entry.raw)})


def _error(fields: Mapping[str, Any]) -> str:
    return (
        f"{fields['error_class']}: {fields.get('error_message')}" if "error_class" in fields else ""
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [list(head), *([_cell(text) for text in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _cell(text: str) -> str:
    """Cut to size, and without what would move the cursor of a terminal."""
    cut = text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 3]}..."
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in cut
    )


def _utc(when: datetime | None) -> str:
    return "" if when is None else when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds else "0 s"


def _raw(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")
