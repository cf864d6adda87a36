"""The books of a run: what became of every job, how long it took, and which promise broke."""

import itertools
import json
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.chaos.field import Blow
from tests.faults.chaos.load import Pushed

_AROUND_S = 2.0
"""Redis knows that a job has ended by the next claim."""
_NOTED_S = 0.5
"""From a job's own last line until its slot says that it has ended, on a busy machine."""
_CRASHED_S = 1.0
"""From the start of a job that kills its worker until the poller has charged it."""
_LONGEST_PAUSE_S = 5.0
"""Before Redis is tried again."""
_LATEST_S = 75.0
WITH_ANOTHER = "a kill, while another fault lasted"
CRASH = "a job beside it kills its worker"


@dataclass(frozen=True, slots=True)
class Run:
    """One start of a job; ``ended`` is None if it never finished."""

    pid: int
    began: float
    ended: float | None
    failed: bool = False


@dataclass
class Books:
    """What a run came to.

    Attributes:
        lost: jids that were accepted, have not finished, and are nowhere.
        lost_alone: those among the lost that only the primary is known to have had.
        buried: those in ``dead`` that do not belong there, though three kills may bring any there.
        doubled: how many jobs finished more than once, by the kind of blow that explains it.
        odd: jids that ran again though nothing explains it.
        early: scheduled jobs that began before their time.
        late: jobs whose first start came more than 75 s after it was due.
        waits_s: from push or due time to the first start.
        again_s: from a kill to the next start of the job that it interrupted, by kind of blow.
    """

    accepted: int = 0
    unsure: int = 0
    runs: int = 0
    lost: list[str] = field(default_factory=list)
    lost_alone: list[str] = field(default_factory=list)
    buried: list[str] = field(default_factory=list)
    doubled: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    again_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    interrupted: Counter[str] = field(default_factory=Counter)
    starts_of_deadly: Counter[int] = field(default_factory=Counter)


def read_runs(record: Path) -> dict[str, list[Run]]:
    """Every run of every job, in their order."""
    runs: dict[str, list[Run]] = defaultdict(list)
    open_runs: dict[tuple[str, int], float] = {}
    lines = record.read_text().splitlines() if record.exists() else []
    for letter, jid, pid, at_ns in map(str.split, lines):
        key, at = (jid, int(pid)), int(at_ns) / 1e9
        if letter == "S":
            if key in open_runs:  # given back and taken again by the same worker
                runs[jid].append(Run(int(pid), open_runs[key], None))
            open_runs[key] = at
        else:
            runs[jid].append(Run(int(pid), open_runs.pop(key, at), at, failed=letter == "X"))
    for (jid, pid), began in open_runs.items():
        runs[jid].append(Run(pid, began, None))
    return {jid: sorted(each, key=lambda run: run.began) for jid, each in runs.items()}


def balance(
    pushed: Pushed, runs: dict[str, list[Run]], blows: Sequence[Blow], dead: Sequence[bytes]
) -> Books:
    """Compare what was pushed with what was run."""
    books = Books(accepted=len(pushed.accepted), unsure=len(pushed.unsure))
    spent = Counter[Blow]()
    graves = {json.loads(raw)["jid"] for raw in dead}
    crashes = {jid: [_crash(run) for run in runs.get(jid, [])] for jid in pushed.deadly}
    for jid, due in pushed.accepted.items():
        _enter(books, jid, due, runs.get(jid, []), graves, pushed)
        others = [blow for other, each in crashes.items() if other != jid for blow in each]
        struck = sorted([*blows, *others], key=lambda blow: blow.from_s)
        if jid in pushed.deadly:
            unharmed = [run for run in runs.get(jid, []) if not _is_struck(run, struck)]
            books.starts_of_deadly[len(unharmed)] += 1
        elif len(runs.get(jid, [])) > 1:
            _explain(books, jid, runs[jid], struck, spent)
    books.lost_alone = [jid for jid in pushed.alone if jid not in runs and jid not in graves]
    books.runs = sum(map(len, runs.values()))
    return books


def _enter(
    books: Books, jid: str, due: float, runs: list[Run], graves: set[str], pushed: Pushed
) -> None:
    finished = sum(run.ended is not None and not run.failed for run in runs)
    if not finished and jid not in graves:
        books.lost.append(jid)
    elif not finished and jid not in pushed.deadly:
        books.buried.append(jid)
    if runs:
        _time(books, jid, runs[0].began - due, is_scheduled=jid in pushed.due)


def _time(books: Books, jid: str, wait_s: float, *, is_scheduled: bool) -> None:
    books.waits_s.append(wait_s)
    if wait_s > _LATEST_S:
        books.late.append(jid)
    if is_scheduled and wait_s < 0:
        books.early.append(jid)


def _crash(run: Run) -> Blow:
    """What the run of a job that kills its worker does to those beside it."""
    until = run.began + _CRASHED_S
    return Blow(CRASH, run.began, until, frozenset({run.pid}), kills=True, spares=sys.maxsize)


def _explain(
    books: Books, jid: str, runs: list[Run], blows: Sequence[Blow], spent: Counter[Blow]
) -> None:
    """Every run but the last needs a reason: it failed, or somebody killed its worker."""
    for run, following in itertools.pairwise(runs):
        if run.failed:
            continue
        blow = _cause(run, following.began, blows, spent)
        if blow is None:
            books.odd += [jid] if jid not in books.odd else []
        elif run.ended is None:
            books.interrupted[blow.kind] += 1
            name = blow.kind if _is_alone(blow, run, following, blows) else WITH_ANOTHER
            books.again_s[name].append(following.began - max(blow.from_s, run.began))
        else:
            spent[blow] += 1
            books.doubled[blow.kind] += 1


def _cause(run: Run, until: float, blows: Sequence[Blow], spent: Counter[Blow]) -> Blow | None:
    """The kill because of which the job ran again.

    A worker killed alone leaves its notes to its master: only those jobs count that had written
    their last line and were not noted yet. Who kills the master too kills the notes.
    """
    for blow in blows:
        if not blow.kills or run.pid not in blow.pids or blow.to_s < run.began:
            continue
        end = until
        if run.ended is not None:
            is_noted = blow.kind in {"kill worker", CRASH}
            if is_noted and spent[blow] >= blow.spares:
                continue
            end = min(end, run.ended + _NOTED_S if is_noted else _known_at(run.ended, blows))
        if blow.from_s <= end:
            return blow
    return None


def _is_alone(blow: Blow, run: Run, following: Run, blows: Sequence[Blow]) -> bool:
    others = [other for other in blows if other.kind != blow.kind]
    return all(
        other.to_s < run.began - _AROUND_S or other.from_s > following.began for other in others
    )


def _is_struck(run: Run, blows: Sequence[Blow]) -> bool:
    """Whether the crash of this run may have been charged to nobody, or its start been cut off."""
    return any(
        run.pid in blow.pids
        and blow.from_s <= run.began + _CRASHED_S
        and blow.to_s + _AROUND_S >= run.began
        for blow in blows
    )


def _known_at(ended: float, blows: Sequence[Blow]) -> float:
    """When Redis knows of a job's end at the latest: not while it cannot be reached."""
    known_at = ended + _AROUND_S
    for blow in blows:  # in their order
        if not blow.kills and blow.from_s <= known_at and blow.to_s >= ended:
            known_at = max(known_at, blow.to_s + _LONGEST_PAUSE_S)
    return known_at


def seconds(values: Sequence[float]) -> str:
    """Median and worst, as in a table."""
    if not values:
        return "-"
    return f"{statistics.median(values):.3f} / {max(values):.3f}"
