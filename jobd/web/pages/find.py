"""Where is a job? Every place is looked at, the running ones first, each for a short while."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from jobd.api import SET_NAMES, Filter, Queue, WorkSet, set_of
from jobd.web.addresses import address_of
from jobd.web.rows import JobRow, job_row
from jobd.web.search import look
from jobd.web.site import View, Visit

_BUDGET_S: Final = 0.01
_MOST_QUEUES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job was found.

    Attributes:
        source: the place, as the address of the job's page says it.
    """

    job: JobRow
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """The page.

    Attributes:
        is_whole: all places were looked at to their end.
    """

    jid: str
    places: Sequence[Place]
    is_whole: bool


def find(visit: Visit) -> View:
    """The page."""
    jid = visit.text("jid")
    places: list[Place] = []
    is_whole = True
    if jid:
        places += _running(visit, jid)
        for part, was_whole in (*_sets(visit, jid), _queues(visit, jid)):
            places += part
            is_whole = is_whole and was_whole
    return View("find", Find(jid=jid, places=places, is_whole=is_whole))


def _running(visit: Visit, jid: str) -> Iterator[Place]:
    for work in WorkSet(access=visit.access).all():
        if work.record.jid == jid:
            job_id = f"{work.process}|{work.tid}"
            row = job_row(visit, work.record, "running", id=job_id, at=work.run_at)
            yield Place(job=row, source="running")


def _sets(visit: Visit, jid: str) -> Iterator[tuple[list[Place], bool]]:
    for name in SET_NAMES:
        jobs = set_of(name, access=visit.access)
        wanted = Filter(jid=jid)
        clock = visit.access.clock
        found = look(jobs, wanted, start=0, most=5, clock=clock, budget_s=_BUDGET_S)
        rows = [Place(job=job_row(visit, each, name), source=name) for each in found.entries]
        yield rows, found.next_rank is None


def _queues(visit: Visit, jid: str) -> tuple[list[Place], bool]:
    """The jobs that run next in each queue; a list cannot be searched without reading all of it."""
    found: list[Place] = []
    queues = Queue.all(access=visit.access)
    # From here on, and one in any case: a Redis that is far away takes longer for one answer.
    ends_at = visit.access.clock.monotonic() + _BUDGET_S
    is_whole = len(queues) <= _MOST_QUEUES
    for number, queue in enumerate(queues):
        if number and visit.access.clock.monotonic() >= ends_at:
            return found, False
        records = queue.page(1, 500)
        is_whole = is_whole and len(records) < 500
        found += [
            Place(job=job_row(visit, record, "queue"), source=f"queue:{address_of(queue.name)}")
            for record in records
            if record.jid == jid
        ]
    return found, is_whole
