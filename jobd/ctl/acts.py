"""What can be done to jobs, to one and to all that a filter means, and what is refused and why."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from jobd.api import Filter, JobRecord, JobSet, Queue, SortedEntry, Tally
from jobd.ctl.progress import Progress
from jobd.ctl.words import safe
from jobd.errors import CannotAct

When: TypeAlias = float | timedelta | datetime


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a command does to jobs.

    Attributes:
        verb: ``retry``.
        doing: ``retrying``.
        done: ``retried``.
        on_one: does it to a job; False if that was no longer there. Raises `CannotAct`.
        on_all: does it to all jobs of a place that are meant.
        is_destructive: a person has to agree.
        place: where the jobs are taken from if nothing else is said.
    """

    verb: str
    doing: str
    done: str
    on_one: Callable[[JobRecord], bool]
    on_all: Callable[[JobSet | Queue, Filter, Progress], Tally]
    is_destructive: bool = False
    place: str | None = None


def _retry(job: JobRecord) -> bool:
    if not isinstance(job, SortedEntry):
        raise CannotAct(f"it waits in queue {safe(job.queue)} already")
    return job.add_to_queue() if job.place == "schedule" else job.retry()


def _retry_all(place: JobSet | Queue, wanted: Filter, progress: Progress) -> Tally:
    jobs = _set_only(place, "they wait for a worker already")
    if jobs.name == "schedule":
        return jobs.add_all_to_queue(wanted, progress=progress.of)
    return jobs.retry_all(wanted, progress=progress.of)


def _delete_all(place: JobSet | Queue, wanted: Filter, progress: Progress) -> Tally:
    if isinstance(place, Queue):
        total = place.size
        count = place.delete(wanted, progress=progress.of)
        return Tally(total=total, seen=total, matched=count, done=count)
    return place.delete_all(wanted, progress=progress.of)


def _kill_all(place: JobSet | Queue, wanted: Filter, progress: Progress) -> Tally:
    jobs = _set_only(place, "name them by their jids, or delete them")
    return jobs.kill_all(wanted, progress=progress.of)


def _set_only(place: JobSet | Queue, instead: str) -> JobSet:
    if isinstance(place, Queue):
        raise CannotAct(f"{safe(place.name)} is a queue: {instead}")
    return place


def rescheduling(when: When) -> Act:
    """The act of giving jobs another time."""

    def on_one(job: JobRecord) -> bool:
        if not isinstance(job, SortedEntry):
            raise CannotAct(f"it waits in queue {safe(job.queue)}, to run as soon as it can")
        if job.place == "dead":
            raise CannotAct("it is dead: retry it")
        return job.reschedule(when)

    def on_all(place: JobSet | Queue, wanted: Filter, progress: Progress) -> Tally:
        jobs = _set_only(place, "its jobs run as soon as they can")
        return jobs.reschedule_all(when, wanted, progress=progress.of)

    return Act("reschedule", "rescheduling", "rescheduled", on_one, on_all, place="schedule")


RETRY: Final = Act("retry", "retrying", "retried", _retry, _retry_all, place="retry")
DELETE: Final = Act(
    "delete", "deleting", "deleted", lambda job: job.delete(), _delete_all, is_destructive=True
)
KILL: Final = Act(
    "kill",
    "killing",
    "killed",
    lambda job: job.kill(),
    _kill_all,
    is_destructive=True,
    place="retry",
)
