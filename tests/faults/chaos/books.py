"""The books of a run: what became of every job, how long it took, and which promise broke."""

import itertools
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.chaos.field import Blow
from tests.faults.chaos.load import Pushed

_AROUND_S = 2.0
"""A finished job is not known to be done before the next claim, nor a blow over at once."""
_LONGEST_PAUSE_S = 5.0
"""Before Redis is tried again."""
_LATEST_S = 75.0
WITH_ANOTHER = "a kill, while another fault lasted"


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
        buried: those in ``dead`` that do not belong there, though three kills may bring any there.
        doubled: how many jobs finished more than once; ``odd`` are those that nothing explains.
        early: scheduled jobs that began before their time.
        late: jobs whose first start came more than 75 s after it was due.
        waits_s: from push or due time to the first start.
        again_s: from a kill to the next start of the job that it interrupted, by kind of blow.
    """

    accepted: int = 0
    unsure: int = 0
    runs: int = 0
    lost: list[str] = field(default_factory=list)
    buried: list[str] = field(default_factory=list)
    doubled: int = 0
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
    graves = {json.loads(raw)["jid"] for raw in dead}
    for jid, due in pushed.accepted.items():
        _enter(books, jid, due, runs.get(jid, []), graves, pushed)
        _explain(books, jid, runs.get(jid, []), blows)
        if jid in pushed.deadly:
            unharmed = [run for run in runs.get(jid, []) if not _blow_to(run, run.began, blows)]
            books.starts_of_deadly[len(unharmed)] += 1
    books.runs = sum(map(len, runs.values()))
    return books


def _enter(
    books: Books, jid: str, due: float, runs: list[Run], graves: set[str], pushed: Pushed
) -> None:
    finished = sum(run.ended is not None and not run.failed for run in runs)
    books.doubled += finished > 1
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


def _explain(books: Books, jid: str, runs: list[Run], blows: Sequence[Blow]) -> None:
    """Every run but the last needs a reason: it failed, or something hit it."""
    for run, following in itertools.pairwise(runs):
        if run.failed:
            continue
        blow = _blow_to(run, following.began, blows)
        if blow is None:
            if jid not in books.odd and run.ended is not None:
                books.odd.append(jid)
            continue
        books.interrupted[blow.kind] += 1
        if blow.kills and run.ended is None:
            is_alone = all(
                other is blow
                or other.to_s < run.began - _AROUND_S
                or other.from_s > following.began
                for other in blows
                if other.kind != blow.kind
            )
            name = blow.kind if is_alone else WITH_ANOTHER
            books.again_s[name].append(following.began - max(blow.from_s, run.began))


def _blow_to(run: Run, until: float, blows: Sequence[Blow]) -> Blow | None:
    end = until if run.ended is None else min(until, _known_at(run.ended, blows))
    hits = [
        blow
        for blow in blows
        if blow.from_s <= end and blow.to_s + _AROUND_S >= run.began and (run.pid in blow.pids)
    ]
    return hits[0] if hits else None


def _known_at(ended: float, blows: Sequence[Blow]) -> float:
    """When Redis knows of a job's end at the latest: not while it cannot be reached."""
    known_at = ended + _AROUND_S
    for blow in blows:  # in their order
        if not blow.pids and blow.from_s <= known_at and blow.to_s >= ended:
            known_at = max(known_at, blow.to_s + _LONGEST_PAUSE_S)
    return known_at


def seconds(values: Sequence[float]) -> str:
    """Median and worst, as in a table."""
    if not values:
        return "-"
    return f"{statistics.median(values):.3f} / {max(values):.3f}"
