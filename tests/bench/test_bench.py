"""The command itself: what it chooses, and one small real run without peers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import psutil
import pytest

from tests.bench.__main__ import ALL_CASES, chosen, listing
from tests.bench.environments import PINNED, Environments, Unavailable, sections
from tests.bench.side import Deployment, Side
from tests.bench.sides import SIDES
from tests.bench.stage import REPOSITORY
from tests.support.eventually import eventually

TINY = ("-m", "tests.bench", "--effort", "tiny")


def test_without_names_everything_is_measured() -> None:
    assert chosen([], "full") == (ALL_CASES, SIDES)


def test_quick_leaves_out_growth_and_the_slowest() -> None:
    cases, sides = chosen([], "quick")
    assert {"noop", "push", "bulk", "pickup", "memory"} <= {case.name for case in cases}
    assert {"jobd", "floor", "sidekiq", "huey"} <= {side.name for side in sides}
    assert "backlog" not in {case.name for case in cases}


def test_names_choose_cases_and_sides() -> None:
    cases, sides = chosen(["noop", "huey", "rq"], "full")
    assert [case.name for case in cases] == ["noop"]
    assert [side.name for side in sides] == ["rq", "huey"]


def test_a_name_that_is_neither_is_refused() -> None:
    with pytest.raises(click.UsageError, match="nooop"):
        chosen(["nooop"], "full")


def test_the_list_has_every_case_and_side() -> None:
    words = listing().split()
    assert {entry.name for entry in (*ALL_CASES, *SIDES)} <= set(words)


def test_names_are_used_once() -> None:
    names = [entry.name for entry in (*ALL_CASES, *SIDES)]
    assert len(names) == len(set(names))


def test_every_peer_has_pinned_requirements() -> None:
    pinned = sections(PINNED.read_text())
    assert {side.section for side in SIDES if side.kind == "peer"} == set(pinned)


@pytest.mark.parametrize("text", ["huey==3.5.4", "[huey]\nhuey>=3"])
def test_requirements_stand_in_a_section_and_are_pinned(text: str) -> None:
    with pytest.raises(ValueError, match="huey"):
        sections(text)


def test_a_peer_that_cannot_be_installed_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "environments").touch()
    environments = Environments(tmp_path / "environments", lambda _: None)
    with pytest.raises(Unavailable, match="venv"):
        environments.programs("huey")
    assert environments.versions("huey") == {}


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.name)
def test_a_side_is_told_how_many_workers_to_start(side: Side, tmp_path: Path) -> None:
    deployment = Deployment(workers=3, queues=2)
    commands = side.command(tmp_path, deployment)
    words = [word for command in commands for word in command]
    files = " ".join(side.files(deployment).values())
    assert len(commands) == 3 or "3" in words or '"concurrency": 3' in files
    assert not [word for word in words if "{" in word or word == "QUEUES"]


@pytest.mark.redis
@pytest.mark.process
@pytest.mark.slow
def test_a_run_measures_prints_and_writes(tmp_path: Path) -> None:
    names = "noop,push,bulk,recover,jobd,floor"
    done = subprocess.run(
        [sys.executable, *TINY, "--rounds", "2", "--only", names, "--out", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["missing"] == []
    assert {case: sorted(sides) for case, sides in found["results"].items()} == {
        "noop": ["floor", "jobd"],
        "push": ["floor", "jobd"],
        "bulk": ["floor", "jobd"],
        "recover": ["jobd"],
    }
    assert len(found["results"]["noop"]["jobd"]["jobs_per_s"]) == 2
    assert "### noop" in done.stdout
    assert (tmp_path / "results.svg").read_text().startswith("<svg")


@pytest.mark.redis
@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process_behind(
    number: signal.Signals, tmp_path: Path
) -> None:
    # Not a tiny one, which may be done before it is interrupted.
    command = [sys.executable, "-m", "tests.bench", "--only", "idle,jobd", "--out", str(tmp_path)]
    bench = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        family = eventually(lambda: with_a_worker(bench.pid))
        bench.send_signal(number)
        assert bench.wait(timeout=60) != 0
        eventually(lambda: not any(map(psutil.Process.is_running, family)))
    finally:
        bench.kill()
        bench.wait()


def with_a_worker(pid: int) -> list[psutil.Process]:
    """The processes below the benchmark, once a worker of jobd is among them."""
    family = psutil.Process(pid).children(recursive=True)
    titles = [" ".join(process.cmdline()) for process in family]
    return family if any("jobd: worker" in title for title in titles) else []
