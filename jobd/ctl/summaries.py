"""Queues and processes as tables."""

from collections.abc import Sequence

from jobd.api import Process, QueueSummary
from jobd.ctl.tables import table, terminal_width
from jobd.ctl.words import duration


def queue_table(queues: Sequence[QueueSummary]) -> str:
    """Queues, one a line."""
    if not queues:
        return "no queues yet: a queue is there from its first job on"
    rows = [
        (
            queue.name,
            f"{queue.size:,}",
            duration(queue.latency_s),
            "paused" if queue.is_paused else "",
        )
        for queue in queues
    ]
    return table(("queue", "size", "latency", ""), rows, width=terminal_width())


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
            f"{duration(process.beat_age_s)} ago",
            "quiet" if process.is_quiet else "",
            ", ".join(process.queues),
        )
        for process in processes
    ]
    head = ("process", "tag", "busy", "memory", "beat", "", "queues")
    return table(head, rows, width=terminal_width(), long=1)
