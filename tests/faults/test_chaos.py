"""``bin/chaos``: the same seed is the same plan, and its books find what is wrong."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.chaos.books import CRASH, Books, balance, read_runs
from tests.faults.chaos.field import Blow
from tests.faults.chaos.load import Pushed
from tests.faults.chaos.plan import KINDS, plan
from tests.support.jobd_process import REPOSITORY

KILL = Blow("kill worker", 10.0, 10.1, frozenset({7}), kills=True)


def books_of(
    record: Path,
    *lines: str,
    pushed: Pushed,
    blows: tuple[Blow, ...] = (),
    dead: tuple[str, ...] = (),
) -> Books:
    text = [
        f"{line[0]} {line.split()[1]} {line.split()[2]} {float(line.split()[3]) * 1e9:.0f}"
        for line in lines
    ]
    record.write_text("\n".join(text))
    return balance(
        pushed, read_runs(record), blows, [json.dumps({"jid": jid}).encode() for jid in dead]
    )


def accepted(*jids: str) -> Pushed:
    return Pushed(accepted=dict.fromkeys(jids, 9.0))


def test_the_same_seed_is_the_same_plan_and_another_is_not():
    first, again, other = (plan(seed, 600, every_s=1, instances=2) for seed in (1, 1, 2))

    assert first == again != other
    assert {act.kind for act in first} == set(KINDS) - {"fail over"}
    assert {act.kind for act in plan(1, 60, every_s=1, instances=2, only=["cut line"])} == {
        "cut line"
    }


def test_a_job_that_never_ended_is_lost(tmp_path: Path):
    books = books_of(tmp_path / "r", "S a 7 9.5", "S b 8 9.5", "F b 8 9.6", pushed=accepted(*"abc"))

    assert books.lost == ["a", "c"]


def test_a_job_that_a_kill_interrupted_is_timed_and_not_odd(tmp_path: Path):
    lines = ("S a 7 9.9", "S a 8 10.25", "F a 8 10.3")
    books = books_of(tmp_path / "r", *lines, pushed=accepted("a"), blows=(KILL,))

    assert books.again_s["kill worker"] == [pytest.approx(0.25)]
    assert (books.lost, books.odd, books.doubled) == ([], [], {})


def test_a_job_that_ended_twice_is_odd_unless_its_worker_was_killed_just_then(tmp_path: Path):
    lines = ("S a 7 9.9", "F a 7 9.95", "S a 8 10.25", "F a 8 10.3")
    earlier = ("S a 7 9.1", "F a 7 9.2", *lines[2:])
    stop = dataclasses.replace(KILL, kind="stop worker", kills=False)

    found = {
        (name, kind): books_of(tmp_path / "r", *runs, pushed=accepted("a"), blows=blows)
        for name, runs in {"just then": lines, "earlier": earlier}.items()
        for kind, blows in {"killed": (KILL,), "stopped": (stop,), "unhurt": ()}.items()
    }

    assert {case: books.odd for case, books in found.items() if books.odd} == {
        case: ["a"] for case in found if case != ("just then", "killed")
    }
    assert found["just then", "killed"].doubled == {"kill worker": 1}


def test_a_kill_of_one_worker_doubles_one_job_and_one_of_an_instance_a_batch(tmp_path: Path):
    lines = [f"S {jid} 7 9.9\nF {jid} 7 9.95\nS {jid} 8 10.2\nF {jid} 8 10.3" for jid in "ab"]
    instance = dataclasses.replace(KILL, kind="kill instance")

    worker, whole = (
        books_of(tmp_path / "r", *"\n".join(lines).splitlines(), pushed=accepted(*"ab"), blows=(b,))
        for b in (KILL, instance)
    )

    assert (worker.odd, worker.doubled) == (["b"], {"kill worker": 1})
    assert (whole.odd, whole.doubled) == ([], {"kill instance": 2})


def test_a_job_that_broke_off_though_nobody_was_killed_is_odd_unless_it_kills(tmp_path: Path):
    pushed = Pushed(accepted={"a": 9.0, "b": 9.0}, deadly={"b"})
    lines = ("S a 7 9", "S a 8 10", "F a 8 11", "S b 4 9", "S b 5 10", "S b 6 11")

    books = books_of(tmp_path / "r", *lines, pushed=pushed, dead=("b",))

    assert (books.odd, books.starts_of_deadly) == (["a"], {3: 1})


def test_a_job_beside_one_that_kills_its_worker_may_run_again(tmp_path: Path):
    pushed = Pushed(accepted={"a": 9.0, "b": 9.0}, deadly={"b"})
    lines = ("S b 7 9.1", "S a 7 9", "S a 8 9.4", "F a 8 11")
    elsewhere = ("S b 4 9.1", *lines[1:])

    beside, apart = (
        books_of(tmp_path / "r", *each, pushed=pushed, dead=("b",)) for each in (lines, elsewhere)
    )

    assert (beside.odd, beside.again_s[CRASH]) == ([], [pytest.approx(0.3)])
    assert apart.odd == ["a"]


def test_an_end_that_redis_could_not_hear_of_before_the_kill_is_not_odd(tmp_path: Path):
    lines = ("S a 7 5.9", "F a 7 6", "S a 8 10.25", "F a 8 10.3")
    away = Blow("restart Redis", 6.1, 8.0, frozenset(), kills=False)
    instance = dataclasses.replace(KILL, kind="kill instance")

    books = books_of(tmp_path / "r", *lines, pushed=accepted("a"), blows=(away, instance))
    others = [
        books_of(tmp_path / "r", *lines, pushed=accepted("a"), blows=blows)
        for blows in ((instance,), (away, KILL))
    ]

    assert (books.doubled, books.odd) == ({"kill instance": 1}, [])
    assert [other.odd for other in others] == [["a"], ["a"]]


def test_a_scheduled_job_that_begins_early_and_any_that_begins_late_are_told(tmp_path: Path):
    pushed = Pushed(accepted={"a": 9.0, "b": 9.0}, due={"a"})
    lines = ("S a 7 8.9", "F a 7 9", "S b 7 99", "F b 7 99")
    books = books_of(tmp_path / "r", *lines, pushed=pushed)

    assert (books.early, books.late) == (["a"], ["b"])


def test_what_kills_belongs_into_dead_and_others_are_counted_there(tmp_path: Path):
    pushed = Pushed(accepted={"a": 9.0, "b": 9.0}, deadly={"a"})
    books = books_of(tmp_path / "r", "S a 7 9", "S b 7 9", pushed=pushed, dead=("a", "b"))

    assert (books.lost, books.buried) == ([], ["b"])


@pytest.mark.redis
@pytest.mark.process
@pytest.mark.long
def test_a_minute_of_all_faults_breaks_no_promise():
    command = [sys.executable, "-m", "tests.faults.chaos", "--minutes", "1", "--every", "1"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
