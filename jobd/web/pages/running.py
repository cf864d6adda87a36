"""Running: the jobs that are being performed, against the time that their class usually takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from jobd.api import IterationState, Work, WorkSet, iteration_states
from jobd.web.redaction import preview
from jobd.web.rows import JobRow, job_row
from jobd.web.site import View, Visit, leaf
from jobd.web.usual import Usual, usual_times

ACTS: Final = ("look", "cancel", "kill_running")
_PAGE: Final = 100
_LONGEST_CURSOR: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRow:
    """A job that runs.

    Attributes:
        worker: of the process: a slot, or a thread.
        elapsed_s: since it was started.
        usual: how long jobs of its class took lately; None if none ran.
        got_to: the cursor of an iterable job, as JSON; empty if it is none, or has none yet.
        items: how many that one has gone through, up to its last save; 0 where nobody counts.
        limit_s: how long it may run; None if it has no limit.
        is_slow: at the last heartbeat it had run longer than 99 of 100 of them.
        acts: what can be done to it.
    """

    job: JobRow
    process: str
    worker: str
    elapsed_s: float | None
    usual: Usual | None
    got_to: str
    items: int
    limit_s: float | None
    is_slow: bool
    acts: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The page: those that have run longest first."""

    rows: Sequence[RunningRow]
    total: int
    concurrency: int
    page: int
    pages: int


def running(visit: Visit) -> View:
    """The page."""
    every = WorkSet(access=visit.access).all()
    page, pages = leaf(visit, len(every), _PAGE)
    shown = every[(page - 1) * _PAGE : page * _PAGE]
    usual = usual_times(visit, {work.record.display_class for work in shown})
    states = iteration_states([work.record.jid for work in shown], access=visit.access)
    beats = {process.identity: process.beat_at for process in visit.processes}
    return View(
        "running",
        Running(
            rows=[
                _row(
                    visit,
                    work,
                    usual=usual.get(work.record.display_class),
                    state=states.get(work.record.jid),
                    beat_at=beats.get(work.process),
                )
                for work in shown
            ],
            total=len(every),
            concurrency=sum(process.concurrency for process in visit.processes),
            page=page,
            pages=pages,
        ),
    )


def run_id(work: Work) -> str:
    """Names a run in an address: where it runs, and what, since the next job may run there soon."""
    return f"{work.process}|{work.tid}|{work.record.key}"


def acts_on_run(visit: Visit, work: Work, state: IterationState | None) -> Sequence[str]:
    """What can be done to it; Ruby's processes know of no cancelling, but for iterable jobs.

    A process that jobd is embedded in is not ours to look into, nor to kill.
    """
    found = [process for process in visit.processes if process.identity == work.process]
    if any(process.is_server for process in found):
        return ACTS
    is_ours = any(process.is_jobd for process in found)
    return ("cancel",) if is_ours or state is not None else ()


def _row(
    visit: Visit,
    work: Work,
    *,
    usual: Usual | None,
    state: IterationState | None,
    beat_at: datetime | None,
) -> RunningRow:
    elapsed_s = None
    is_slow = False
    if work.run_at is not None:
        elapsed_s = max((visit.now - work.run_at).total_seconds(), 0.0)
        # As of the heartbeat that told of it: since then it may have ended.
        known_s = (beat_at or work.run_at) - work.run_at
        is_slow = usual is not None and known_s.total_seconds() > max(usual.p99_s, 1.0)
    cursor = None if state is None else state.cursor
    return RunningRow(
        job=job_row(visit, work.record, "running", id=run_id(work), at=work.run_at),
        process=work.process,
        worker=work.tid,
        elapsed_s=elapsed_s,
        usual=usual,
        got_to="" if cursor is None else preview(cursor, _LONGEST_CURSOR),
        items=0 if state is None else state.items,
        limit_s=work.time_limit,
        is_slow=is_slow,
        acts=visit.allowed(acts_on_run(visit, work, state)),
    )
