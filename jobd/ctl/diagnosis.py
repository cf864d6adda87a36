"""Why jobs do not move, as far as it can be seen in Redis: what is looked at, and what it means.

Pure: `Facts` in, findings out; `jobctl check` gathers and shows them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from jobd.api import Health, Instance, Process, QueueSummary, Strays
from jobd.ctl.words import count_of, duration, safe

Level: TypeAlias = Literal["fine", "warning", "wrong"]

_SILENT_S: Final = 25.0
"""Two heartbeats have been missed."""
_LATE_S: Final = 60.0
_SLOW_US: Final = 50_000
_RESTARTED_OFTEN: Final = 3
_FEW: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ``wrong`` keeps jobs from running; a ``warning`` may.
        text: what is so, and what to do if it is not fine.
    """

    level: Level
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What Redis tells.

    Attributes:
        instances: of the processes that are jobd's, by identity.
        strays: keys that are neither jobd's nor Sidekiq's.
        overdue_s: by how much the first job of ``schedule`` and ``retry`` is late; 0 if none is.
    """

    health: Health
    processes: Sequence[Process]
    instances: Mapping[str, Instance]
    queues: Sequence[QueueSummary]
    overdue_s: Mapping[str, float]
    strays: Strays


def findings(facts: Facts) -> list[Finding]:
    """All findings, in the order in which a job meets what they are about."""
    return [
        *_of_server(facts.health),
        *_of_processes(facts),
        *_of_workers(facts.instances),
        *_of_queues(facts),
        *_of_sets(facts.overdue_s),
        *_of_strays(facts.strays),
    ]


def _of_server(health: Health) -> Iterator[Finding]:
    name = f"{health.kind} {health.version}"
    milliseconds = f"{health.rtt_us / 1000:.1f} ms"
    if health.may_lose_jobs:
        advice = "set its maxmemory-policy to noeviction"
        yield Finding("warning", f"{name} may throw jobs away when its memory is full: {advice}")
    if not health.is_persisting:
        yield Finding("wrong", f"{name} cannot write to its disk: see its log; it refuses writes")
    if health.max_memory and health.used_memory >= health.max_memory:
        yield Finding("wrong", f"{name} is full: pushes are refused; raise its maxmemory")
    if health.rtt_us > _SLOW_US:
        yield Finding("warning", f"{name} answers slowly, in {milliseconds}: look at the network")
    else:
        yield Finding("fine", f"{name} answers in {milliseconds}")


def _of_processes(facts: Facts) -> Iterator[Finding]:
    if not facts.processes:
        yield Finding("wrong", "no process runs here: start jobd, with the same Redis as this")
    for process in facts.processes:
        name = safe(process.identity)
        if process.beat_age_s > _SILENT_S:
            age = duration(process.beat_age_s)
            text = f"{name} has not been heard of for {age}: look at its log; it may hang"
            yield Finding("warning", text)
        elif process.is_quiet:
            text = f"{name} takes no jobs, since it is quiet or stops: jobctl resume {name}"
            yield Finding("warning", text)
        else:
            busy = f"{process.busy} of {process.concurrency} busy"
            yield Finding("fine", f"{name} works, {busy}")


def _of_workers(instances: Mapping[str, Instance]) -> Iterator[Finding]:
    for identity, instance in instances.items():
        for worker in instance.workers:
            who = f"worker {worker.slot} of {safe(identity)}"
            ended = safe(worker.last_exit)
            if worker.state == "waiting":
                text = f"{who} died too early ({ended}) and waits: the log has the reason"
                yield Finding("wrong", text)
            elif worker.restarts >= _RESTARTED_OFTEN and ended != "exit 0":
                times = count_of(worker.restarts, "time")
                text = f"{who} was replaced {times}, the last one ended with {ended}: see the log"
                yield Finding("warning", text)


def _of_queues(facts: Facts) -> Iterator[Finding]:
    served = {name for process in facts.processes for name in process.queues}
    taking = {
        name for process in facts.processes if not process.is_quiet for name in process.queues
    }
    for queue in facts.queues:
        if queue.size:
            yield _of_queue(queue, is_served=queue.name in served, is_taken=queue.name in taking)


def _of_queue(queue: QueueSummary, *, is_served: bool, is_taken: bool) -> Finding:
    name, jobs = safe(queue.name), count_of(queue.size, "job")
    waits = f"queue {name} holds {jobs}, the first for {duration(queue.latency_s)}"
    if queue.is_paused:
        return Finding("wrong", f"{waits}: it is paused; jobctl unpause {name}")
    if not is_served:
        return Finding("wrong", f"{waits}: no process serves it; add it to queues of jobd.yml")
    if not is_taken:
        return Finding("wrong", f"{waits}: all processes that serve it are quiet")
    if queue.latency_s > _LATE_S:
        advice = "more workers, or fewer queues before it; jobctl top shows what runs"
        return Finding("warning", f"{waits}: {advice}")
    return Finding("fine", waits)


def _of_sets(overdue_s: Mapping[str, float]) -> Iterator[Finding]:
    for name, late_s in overdue_s.items():
        if late_s > _LATE_S:
            text = f"{name} holds a job that has been due for {duration(late_s)}: no poller works"
            yield Finding("wrong", f"{text}; look for the log lines of the poller")


def _of_strays(strays: Strays) -> Iterator[Finding]:
    if strays.groups:
        names = ", ".join(safe(group.prefix) for group in strays.groups[:_FEW])
        more = ", ..." if len(strays.groups) > _FEW else ""
        looked = f", of the first {strays.seen:,} that were looked at" if strays.next_cursor else ""
        keys = count_of(strays.count, "key")
        text = (
            f"{keys} neither jobd's nor Sidekiq's ({names}{more}){looked}: another "
            "program shares this database, or left them; give jobd one of its own"
        )
        yield Finding("warning", text)
