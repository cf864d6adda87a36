"""One queue: the jobs that wait in it, in the order in which they will run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jobd.api import JobRecord, Progress, Queue, Tally
from jobd.web.addresses import address_of, queue_at
from jobd.web.breakdown import Breakdown, ClassGroup, by_class
from jobd.web.errors import BadForm, NotFound
from jobd.web.export import EXPORT_S, MOST_ROWS
from jobd.web.patience import patiently
from jobd.web.pauses import Pause, pauses
from jobd.web.rates import Rates, RunRates
from jobd.web.rows import JobRow, job_row
from jobd.web.search import parse
from jobd.web.site import Done, Table, View, Visit, leaf

DEEPEST: Final = 10_000
"""A list has no index: further in, each page would cost the server more than a page may."""
ACTS: Final = ("delete", "kill", "move")
_STEP: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePage:
    """A page of a queue.

    Attributes:
        paused_by: as far as the audit log tells; None if it does not, or it is not paused.
        classes: how many there are of each class, if that was asked for instead of the jobs.
        is_newest_first: the jobs that were pushed last, instead of those that run next.
        pages: how many can be leafed through; the rest is out of reach.
        is_known: it has jobs, or has ever had since it was last cleared.
        acts: what can be done to its jobs.
    """

    name: str
    size: int
    latency_s: float
    rates: Rates
    is_paused: bool
    paused_by: Pause | None
    is_known: bool
    acts: Sequence[str]
    rows: Sequence[JobRow]
    page: int
    pages: int
    is_newest_first: bool
    is_cut: bool
    classes: Breakdown | None


def queue_page(visit: Visit) -> View:
    """The page."""
    queue = _queue(visit)
    size = queue.size
    page, pages = leaf(visit, min(size, DEEPEST), visit.page_size)
    classes: Breakdown | None = None
    rows: list[JobRow] = []
    if visit.text("group") == "class":
        classes = by_class(queue, deepest=DEEPEST, clock=visit.access.clock)
        table = Table(ClassGroup, classes.groups, classes.seen >= size and not classes.more)
    else:
        records = _records(visit, queue, size, page)
        rows = [job_row(visit, record, "queue") for record in records]
        table = Table(JobRow, rows, len(rows) >= size)
    is_paused = queue.is_paused
    paused_by = pauses(visit, [queue.name]) if is_paused else {}
    return View(
        "queue",
        QueuePage(
            name=queue.name,
            size=size,
            latency_s=queue.latency_s,
            rates=_rates(visit, queue.name),
            is_paused=is_paused,
            paused_by=paused_by.get(queue.name),
            is_known=queue.is_known,
            acts=visit.allowed(ACTS),
            rows=rows,
            page=page,
            pages=pages,
            is_newest_first=_is_newest_first(visit),
            is_cut=size > DEEPEST,
            classes=classes,
        ),
        table=table,
    )


def _rates(visit: Visit, name: str) -> Rates:
    return RunRates(visit).of(name, visit.site.samples.trends([name])[name].per_minute)


def act_on_queued(visit: Visit) -> Done:
    """Delete, kill or move the jobs that were chosen, found again by their keys; or move all."""
    queue = _queue(visit)
    back = f"/queues/{address_of(queue.name)}"
    act = visit.field("act")
    is_for_all = visit.field("scope") == "all"
    if act not in (("move",) if is_for_all else ACTS):
        raise BadForm("bad.act")
    target = visit.field("target").strip()
    if is_for_all:
        return _move_all(visit, queue, target, back)
    keys = [key for key in visit.form.get("id", ()) if key]
    if not keys:
        return Done(back, "nothing")
    records = find_queued(queue, keys)
    count = sum(act_on_record(queue, record, act, target) for record in records)
    detail = {"to": target} if act == "move" else {}
    visit.note(act, f"queue {queue.name}", count, jobs=keys[:20], **detail)
    return Done(back, act, count)


def _move_all(visit: Visit, queue: Queue, target: str, back: str) -> Done:
    """All that the search line means; press again to go on when the owner's patience ended."""
    search = parse(visit.field("q"), visit.site.masks)
    if search.problem:
        raise BadForm("bad.search")

    def move(progress: Progress) -> Tally:
        return queue.move_all(target, search.filter, progress=progress)

    detail = {"to": target, "search": search.text}
    note, count = patiently(visit, "move_all", f"queue {queue.name}", move, **detail)
    return Done(back, note, count)


def _queue(visit: Visit) -> Queue:
    return queue_at(str(visit.request.path_params["name"]), visit.access)


def act_on_record(queue: Queue, record: JobRecord, act: str, target: str) -> bool:
    """One act on one job; False if it was no longer there."""
    match act:
        case "delete":
            return record.delete()
        case "kill":
            return record.kill()
        case "move":
            return queue.move(record, target)
        case _:
            raise BadForm("bad.act")


def find_queued(queue: Queue, keys: Sequence[str]) -> list[JobRecord]:
    """The jobs with these keys, among those that can be leafed through from either end.

    Raises:
        NotFound: none of them is there any more.
    """
    wanted = set(keys)
    size = queue.size
    found: dict[str, JobRecord] = {}
    for page in range(1, min(size, DEEPEST) // _STEP + 2):
        records = queue.page(page, _STEP)
        if size > DEEPEST:
            records += _newest(queue, size, page, _STEP)
        found |= {record.key: record for record in records if record.key in wanted}
        if len(found) == len(wanted):
            break
    if not found:
        raise NotFound("missing.job")
    return list(found.values())


def _is_newest_first(visit: Visit) -> bool:
    return visit.text("order") == "newest"


def _records(visit: Visit, queue: Queue, size: int, page: int) -> list[JobRecord]:
    if visit.wants_file:
        return _exported(visit, queue, size)
    return _page(visit, queue, size, page, visit.page_size)


def _exported(visit: Visit, queue: Queue, size: int) -> list[JobRecord]:
    """As many as a file may hold, until the time is up."""
    clock = visit.access.clock
    ends_at = clock.monotonic() + EXPORT_S
    records: list[JobRecord] = []
    for number in range(1, min(size, MOST_ROWS) // _STEP + 2):
        records += _page(visit, queue, size, number, _STEP)
        if clock.monotonic() >= ends_at:
            break
    return records[:MOST_ROWS]


def _page(visit: Visit, queue: Queue, size: int, number: int, per_page: int) -> list[JobRecord]:
    if _is_newest_first(visit):
        return _newest(queue, size, number, per_page)
    return queue.page(number, per_page)


def _newest(queue: Queue, size: int, page: int, per_page: int) -> list[JobRecord]:
    """A page counted from the other end: two pages counted from this one hold it between them."""
    last = size - (page - 1) * per_page
    first = max(last - per_page, 0)
    number, skipped = divmod(first, per_page)
    both = queue.page(number + 1, per_page) + queue.page(number + 2, per_page)
    return both[skipped : skipped + max(last, 0) - first][::-1]
