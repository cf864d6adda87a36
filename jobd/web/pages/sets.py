"""Scheduled, Retries and Dead: the three sets, searched, grouped by error, and acted on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from jobd.api import JobSet, Progress, SetName, SortedEntry, Tally, set_of
from jobd.web.errors import BadForm
from jobd.web.export import EXPORT_S, MOST_ROWS
from jobd.web.grouping import ErrorGroup, Groups, group_by_error
from jobd.web.patience import patiently
from jobd.web.rows import JobRow, job_row
from jobd.web.search import Found, Problem, Search, look, parse
from jobd.web.site import Done, Table, View, Visit, leaf

PAGES: Final[dict[str, SetName]] = {"scheduled": "schedule", "retries": "retry", "dead": "dead"}
NAMES: Final = {place: page for page, place in PAGES.items()}
ACTS: Final[dict[SetName, tuple[str, ...]]] = {
    "schedule": ("add_to_queue", "reschedule", "delete", "kill"),
    "retry": ("retry", "reschedule", "kill", "delete"),
    "dead": ("retry", "delete"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPage:
    """A page of a set.

    Attributes:
        place: the set.
        size: how many jobs it holds.
        acts: what can be done to them.
        search: the search line; empty: all jobs.
        problem: with a word of it that was left out; None if it was read whole.
        rows: the jobs.
        page: from 1; of a search, always 1.
        pages: how many there are without a search.
        seen: how many jobs were looked at, by a search or a grouping.
        start: the rank at which the search began.
        next_rank: where it goes on; None if all were looked at.
        groups: the errors, if they were asked for instead of the jobs.
    """

    place: SetName
    size: int
    acts: Sequence[str]
    search: str
    problem: Problem | None
    rows: Sequence[JobRow]
    page: int
    pages: int
    seen: int
    start: int
    next_rank: int | None
    groups: Sequence[ErrorGroup] | None


def set_page(visit: Visit) -> View:
    """The page."""
    place = _place(visit)
    jobs = set_of(place, access=visit.access)
    search = parse(visit.text("q"), visit.site.masks)
    size = jobs.size
    page, pages = leaf(visit, size, visit.page_size)
    start = visit.number("from", 0, least=0)
    grouped: Groups | None = None
    found = Found([], 0, None)
    if visit.text("group") == "error" and place != "schedule":
        grouped = group_by_error(jobs, search, start=start, clock=visit.access.clock)
    elif search.is_empty and not visit.wants_file:
        found = Found(jobs.page(page, visit.page_size), 0, None)
    else:
        found = _looked_up(jobs, search, start, visit)
    rows = [job_row(visit, entry, place) for entry in found.entries]
    next_rank = found.next_rank if grouped is None else grouped.next_rank
    return View(
        NAMES[place],
        SetPage(
            place=place,
            size=size,
            acts=visit.allowed(ACTS[place]),
            search=search.text,
            problem=search.problem,
            rows=rows,
            page=page,
            pages=pages,
            seen=found.seen if grouped is None else grouped.seen,
            start=start,
            next_rank=next_rank,
            groups=None if grouped is None else grouped.groups,
        ),
        table=_table(rows, grouped, is_whole=next_rank is None and not start),
    )


def _table(rows: Sequence[JobRow], grouped: Groups | None, *, is_whole: bool) -> Table:
    if grouped is not None:
        return Table(ErrorGroup, grouped.groups, is_whole and not grouped.more)
    return Table(JobRow, rows, is_whole)


def _looked_up(jobs: JobSet, search: Search, start: int, visit: Visit) -> Found:
    clock = visit.access.clock
    if not visit.wants_file:
        return look(jobs, search.filter, start=start, most=visit.page_size, clock=clock)
    most, budget_s = MOST_ROWS, EXPORT_S
    return look(jobs, search.filter, start=start, most=most, clock=clock, budget_s=budget_s)


# Acts


def act_on_set(visit: Visit) -> Done:
    """Do something to the jobs that were chosen, or to all that the search line means."""
    place = _place(visit)
    jobs = set_of(place, access=visit.access)
    act = visit.field("act")
    if act not in ACTS[place]:
        raise BadForm("bad.act")
    back = f"/{NAMES[place]}"
    if visit.field("scope") == "all":
        return _act_on_all(visit, jobs, act, back)
    ids = [key for key in visit.form.get("id", ()) if key]
    if not ids:
        return Done(back, "nothing", 0, _search(visit))
    when = when_of(visit) if act == "reschedule" else None
    entries = jobs.get_each(ids)
    count = sum(act_on_entry(entry, act, when) for entry in entries)
    detail = {"to": when.isoformat()} if when else {}
    visit.note(act, place, count, jobs=[entry.key for entry in entries[:20]], **detail)
    if not count:
        return Done(back, "missing", 0, _search(visit))
    return Done(back, act, count, _search(visit))


def act_on_entry(entry: SortedEntry, act: str, when: datetime | None = None) -> bool:
    """One act on one job; False if it was no longer there. A time belongs to ``reschedule``."""
    match act:
        case "reschedule" if when is not None:
            return entry.reschedule(when)
        case "retry":
            return entry.retry()
        case "add_to_queue":
            return entry.add_to_queue()
        case "kill":
            return entry.kill()
        case "delete":
            return entry.delete()
        case _:
            raise BadForm("bad.act")


def _act_on_all(visit: Visit, jobs: JobSet, act: str, back: str) -> Done:
    """It stops when the owner's patience ends, and says how far it came: press again to go on."""
    search = parse(visit.field("q"), visit.site.masks)
    if search.problem:
        raise BadForm("bad.search")

    when = when_of(visit) if act == "reschedule" else None

    def all_of_them(progress: Progress) -> Tally:
        if act == "delete" and search.is_empty:
            return Tally(done=jobs.purge())
        if when is not None:
            return jobs.reschedule_all(when, search.filter, progress=progress)
        return _all(jobs, act)(search.filter, progress=progress)

    detail = {"search": search.text} | ({"to": when.isoformat()} if when else {})
    note, count = patiently(visit, f"{act}_all", jobs.name, all_of_them, **detail)
    return Done(back, note, count, _search(visit))


def _all(jobs: JobSet, act: str) -> Callable[..., Tally]:
    match act:
        case "retry":
            return jobs.retry_all
        case "add_to_queue":
            return jobs.add_all_to_queue
        case "kill":
            return jobs.kill_all
        case "delete":
            return jobs.delete_all
        case _:
            raise BadForm("bad.act")


def when_of(visit: Visit) -> datetime:
    """The time of a form: a browser's date field sends it in no zone; a script adds the viewer's.

    Raises:
        BadForm: it is none.
    """
    try:
        found = datetime.fromisoformat(visit.field("when"))
    except ValueError as error:
        raise BadForm("bad.when") from error
    return found if found.tzinfo else found.astimezone()


def _place(visit: Visit) -> SetName:
    return PAGES[visit.request.url.path.rpartition("/")[2]]


def _search(visit: Visit) -> dict[str, str]:
    text = visit.field("q")
    return {"q": text} if text else {}
