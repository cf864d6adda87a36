"""One job, wherever it is: what it is to do, what has happened to it, and what can be done."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias, cast

import msgspec

from jobd.api import (
    IterationState,
    JobRecord,
    Look,
    PastError,
    Queue,
    SetName,
    SortedEntry,
    Work,
    WorkSet,
    ask_look,
    cancel,
    find_look,
    iteration_states,
    kill_run,
    past_errors,
    set_of,
)
from jobd.api.replies import number
from jobd.web.addresses import address_of, queue_at
from jobd.web.errors import BadForm, NotFound
from jobd.web.inert import cut
from jobd.web.pages.queue import ACTS as QUEUE_ACTS, act_on_record, find_queued
from jobd.web.pages.running import acts_on_run, run_id
from jobd.web.pages.sets import ACTS, NAMES, act_on_entry, when_of
from jobd.web.python_call import python_call
from jobd.web.redaction import preview
from jobd.web.rows import JobRow, job_row
from jobd.web.site import Done, View, Visit
from jobd.web.traces import trace_of

_LONGEST: Final = 20_000
_FRAMES: Final = 200
_MOST_LINES: Final = 50
_MOST_ARGS: Final = 500
_FAILURES: Final = frozenset({"failed", "failed_between", "failed_again"})
_Moment: TypeAlias = tuple[str, datetime | None, str, int | None]  # of an `Event`
# Shown elsewhere on the page.
_KNOWN: Final = frozenset(
    {"class", "args", "jid", "queue", "tags", "created_at", "enqueued_at", "failed_at"}
    | {"retried_at", "error_class", "error_message", "error_backtrace"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that has happened to a job, or will.

    Attributes:
        kind: ``created``, ``queued``, ``failed`` (first), ``failed_between``, ``failed_again``
            (last), ``started``, ``due``, ``retried`` or ``died``.
        detail: an error, the name of a queue, or nothing.
        attempt: which of its runs failed; None if that is not known, or it is no failure.
    """

    kind: str
    at: datetime
    detail: str = ""
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """The page.

    Attributes:
        job: as in a list.
        source: where it lies, as the address says it.
        acts: what can be done to it here.
        timeline: what has happened to it, the earliest first.
        unknown_runs: how many failed of which nothing is kept.
        lost_workers: how many died while they ran it, since it failed last.
        args: as JSON, one a line.
        args_json: all of them, as they may be shown; None if that is too long.
        edit: the arguments to be edited; None where they cannot be, since some are not shown.
        python: a line that would push it again; None if it is no job.
        options: the other fields of the payload.
        frames: of the error, the innermost last as Python prints them.
        raw: all bytes of what is no job; else empty.
        process: where it runs; or empty.
        limit_s: how long it may run there; None if it has no limit, or does not run.
        look: where it is, if somebody has asked within the last minute.
        iteration: how far an iterable job has come; None if it is none.
        items: how many it has gone through; 0 where nobody counts.
        trace: the id of the trace that it belongs to; or empty.
        trace_url: where that can be seen; or empty.
    """

    job: JobRow
    source: str
    acts: Sequence[str]
    timeline: Sequence[Event]
    unknown_runs: int
    lost_workers: int
    args: Sequence[str]
    args_json: str | None
    edit: str | None
    python: str | None
    options: Mapping[str, str]
    error: str
    frames: Sequence[str]
    raw: str
    process: str
    limit_s: float | None
    look: Look | None
    iteration: str | None
    items: int
    trace: str
    trace_url: str


def job_page(visit: Visit) -> View:
    """The page."""
    source, key = visit.text("in"), visit.text("id")
    record, work = _find(visit, source, key)
    return View("job", _shown(visit, record, source, work))


def _find(visit: Visit, source: str, key: str) -> tuple[JobRecord, Work | None]:
    """The job, and its run if it runs.

    Raises:
        NotFound: it is not there any more.
    """
    kind, _, name = source.partition(":")
    if kind == "queue":
        return find_queued(queue_at(name, visit.access), [key])[0], None
    if kind == "running":
        for work in WorkSet(access=visit.access).all():
            if run_id(work) == key:
                return work.record, work
    elif kind in NAMES:
        place: SetName = cast("Any", kind)
        entry = set_of(place, access=visit.access).get(key)
        if entry is not None:
            return entry, None
    raise NotFound("missing.job")


def _shown(visit: Visit, record: JobRecord, source: str, work: Work | None) -> JobPage:
    kind = source.partition(":")[0]
    process = "" if work is None else work.process
    shown = visit.site.masks.args(record.display_class, record.display_args)
    is_editable = kind in {"retry", "dead"} and not record.is_malformed and visit.may("retry")
    is_whole = not visit.site.masks.args(record.class_name, record.args).is_masked
    is_whole = is_whole and record.display_args == record.args
    edited = json.dumps(record.args, ensure_ascii=False, indent=2, default=str)
    args_json = json.dumps(shown.args, ensure_ascii=False, default=str)
    state = _state(visit, record)
    trace = trace_of(record)
    known = {} if work is None else {"id": run_id(work)}
    events = timeline(record, past_errors(record), work)
    return JobPage(
        job=job_row(visit, record, kind, **known),
        source=source,
        acts=visit.allowed(_acts_here(visit, record, kind, work)),
        timeline=events,
        unknown_runs=_runs_that_failed(record) - sum(e.kind in _FAILURES for e in events),
        lost_workers=number(record["recovered"]),
        args=_listed(shown.args),
        args_json=args_json if shown.args and len(args_json) <= _LONGEST else None,
        edit=edited if is_editable and is_whole and len(edited) <= _LONGEST else None,
        python=None if record.is_malformed else cut(python_call(record, shown.args), _LONGEST),
        options=_options(visit, record),
        error=cut(record.error_message, _LONGEST),
        frames=[cut(frame, 1000) for frame in record.error_backtrace[:_FRAMES]],
        raw=_raw(visit, record) if record.is_malformed else "",
        process=process,
        limit_s=None if work is None else work.time_limit,
        look=None if work is None else _look(visit, work),
        iteration=None if state is None else preview(state.cursor, 500),
        items=0 if state is None else state.items,
        trace=trace,
        trace_url=visit.site.settings.trace_url.replace("{trace_id}", trace) if trace else "",
    )


def _look(visit: Visit, work: Work) -> Look | None:
    """As it may be seen: the lines may hold what arguments do."""
    if not visit.may("look"):
        return None
    look = find_look(work, access=visit.access)
    if look is None:
        return None
    masked = None
    if look.lines is not None:
        masked = tuple(
            cut(visit.site.masks.text(line), 1_000) for line in look.lines[-_MOST_LINES:]
        )
    return replace(look, stacks=cut(look.stacks, 2 * _LONGEST), lines=masked)


def _state(visit: Visit, record: JobRecord) -> IterationState | None:
    return iteration_states([record.jid], access=visit.access).get(record.jid)


def _listed(args: Sequence[Any]) -> list[str]:
    listed = [preview(each, _LONGEST) for each in args[:_MOST_ARGS]]
    return [*listed, f"… (+{len(args) - _MOST_ARGS:,})"] if len(args) > _MOST_ARGS else listed


def _raw(visit: Visit, record: JobRecord) -> str:
    return cut(visit.site.masks.text(record.text[: 2 * _LONGEST]), _LONGEST)


def _acts(kind: str) -> Sequence[str]:
    if kind == "queue":
        return QUEUE_ACTS
    return ACTS.get(cast("SetName", kind), ())


def _acts_here(visit: Visit, record: JobRecord, kind: str, work: Work | None) -> Sequence[str]:
    if work is not None:
        return acts_on_run(visit, work, _state(visit, record))
    return _acts(kind)


def _options(visit: Visit, record: JobRecord) -> dict[str, str]:
    others = {name: value for name, value in record.fields.items() if name not in _KNOWN}
    masked = visit.site.masks.fields(others)
    return {cut(name, 200): preview(value, 2_000) for name, value in masked.items()}


def timeline(record: JobRecord, past: Sequence[PastError], work: Work | None = None) -> list[Event]:
    """What a payload, and what is kept beside it, tell of a job's past and future.

    Sidekiq's wire format keeps the times of the first and of the last failure, how many there were,
    and the error of the last.
    """
    moments: list[_Moment] = [
        ("created", record.created_at, "", None),
        *_failures(record, past),
        ("queued", record.enqueued_at, record.queue, None),
        ("started", None if work is None else _began(record, work), "", None),
    ]
    if isinstance(record, SortedEntry):
        kinds = {"schedule": "due", "retry": "retried", "dead": "died"}
        moments.append((kinds[record.place], _at(record), "", None))
    events = [
        Event(kind=kind, at=at, detail=cut(detail, 300), attempt=attempt)
        for kind, at, detail, attempt in moments
        if at
    ]
    return sorted(events, key=lambda event: event.at)


def _began(record: JobRecord, work: Work) -> datetime | None:
    """Told in whole seconds, so it may seem to be before what was earlier."""
    known = (work.run_at, record.enqueued_at, record.created_at)
    return work.run_at and max(at for at in known if at)


def _failures(record: JobRecord, past: Sequence[PastError]) -> Iterator[_Moment]:
    error = _told(record.error_class, record.error_message)
    last = _runs_that_failed(record)
    is_whole = len(past) + 1 == last  # else it ran on Ruby too, or more often than is kept
    if all(each.at != record.failed_at for each in past):
        yield "failed", record.failed_at, "" if record.retried_at else error, 1
    for run, each in enumerate(past, 1):
        is_first = each.at == record.failed_at
        attempt = run if is_whole else 1 if is_first else None
        kind = "failed" if is_first else "failed_between"
        yield kind, each.at, _told(each.error_class, each.error_message), attempt
    yield "failed_again", record.retried_at, error, last or None


def _told(error_class: str, message: str) -> str:
    return f"{error_class}: {message}" if error_class else ""


def _runs_that_failed(record: JobRecord) -> int:
    return 0 if record.retry_count is None else max(record.retry_count, 0) + 1


def _at(entry: SortedEntry) -> datetime | None:
    """Its time; when it died is by another clock than when it failed, and never before that."""
    if entry.place != "dead":
        return entry.at
    known = (entry.at, entry.failed_at, entry.retried_at)
    return max((at for at in known if at), default=None)


# Acts


def act_on_job(visit: Visit) -> Done:
    """Do something to this job; afterwards it lies elsewhere, so the list is shown."""
    source, key = visit.field("in"), visit.field("id")
    record, work = _find(visit, source, key)
    act = visit.field("act")
    if act not in _acts_here(visit, record, source.partition(":")[0], work):
        raise BadForm("bad.act")
    query: dict[str, str] = {}
    if work is not None:
        is_done, back = _act_on_run(visit, work, act), "/running"
        if act == "look":
            back, query = "/job", {"in": source, "id": key}
    elif isinstance(record, SortedEntry):
        is_done, back = _act_on_entry(visit, record, act), f"/{NAMES[record.place]}"
    else:
        is_done, back = _act_on_queued(visit, record, act), f"/queues/{address_of(record.queue)}"
    detail = {"edited": True} if visit.field("args") else {}
    visit.note(act, record.key, int(is_done), source=source, class_name=record.class_name, **detail)
    return Done(back, act if is_done else "missing", 1, query)


def _act_on_run(visit: Visit, work: Work, act: str) -> bool:
    if act == "look":
        ask_look(work, access=visit.access)
    elif act == "kill_running":
        kill_run(work, access=visit.access)
    else:
        cancel(work.record.jid, access=visit.access)
    return True


def _act_on_entry(visit: Visit, entry: SortedEntry, act: str) -> bool:
    if act == "reschedule":
        return entry.reschedule(when_of(visit))
    text = visit.field("args")
    if act == "retry" and text:
        return entry.retry(args=_arguments(text))
    return act_on_entry(entry, act)


def _act_on_queued(visit: Visit, record: JobRecord, act: str) -> bool:
    queue = Queue(record.queue, access=visit.access)
    return act_on_record(queue, record, act, visit.field("target").strip())


def _arguments(text: str) -> list[Any]:
    try:
        found: object = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise BadForm("bad.args") from error
    if not isinstance(found, list):
        raise BadForm("bad.args")
    return list(cast("list[object]", found))
