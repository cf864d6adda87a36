"""Reload and roll of a real jobd: what is served meanwhile, and what is told of it."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest
import yaml

from jobd.clock import SystemClock
from tests.server.load import PATIENCE_S, is_empty, jids, push_many
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import REPOSITORY, JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

CLOCK = SystemClock()
IN_FORCE = r"the new generation is in force.*generation="


def change(jobd: JobdProcess, **settings: object) -> None:
    path = jobd.directory / "jobd.yml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))


def told(raw: Raw) -> dict[str, str]:
    (key,) = raw.keys("jobd:instance:*")
    return {name.decode(): text.decode() for name, text in raw.hgetall(key).items()}


def worker_pids(jobd: JobdProcess) -> set[int]:
    return {child.pid for child in jobd.children("worker")}


@pytest.mark.parametrize("preload", [True, False])
def test_new_code_is_served_after_hup_and_no_job_is_lost(
    raw: Raw, start_jobd: StartJobd, *, preload: bool
):
    jobd = start_jobd(config={"concurrency": 2, "preload": preload}, jobs=CODE.format(version=1))
    before = worker_pids(jobd)
    pushed = push_many(raw, "Versioned", 200)
    (jobd.directory / "app_jobs.py").write_text(CODE.format(version=2))
    jobd.signal(signal.SIGHUP)
    jobd.wait_for_log(IN_FORCE + "2", timeout=PATIENCE_S)
    later = push_many(raw, "Versioned", 20)
    eventually(lambda: len(jids([jobd])) == 220, timeout=PATIENCE_S, message=jobd.log)
    assert sorted(jids([jobd])) == sorted(pushed + later)
    assert {run["args"][0] for run in jobd.ran() if run["jid"] in later} == {2}
    eventually(lambda: len(worker_pids(jobd)) == 2 and not worker_pids(jobd) & before)
    assert jobd.stop() == 0
    assert is_empty(raw)


CODE = """
import jobd
from tests.support.sample_jobs import record


class Versioned(jobd.Job):
    def perform(self, *args):
        record("done", "Versioned", self.jid, [{version}])
"""


# What is changed in jobd.yml, or becomes of the application; and what is said of it.
BROKEN: list[tuple[dict[str, Any], str | None, str]] = [
    ({"concurrency": "many"}, None, "concurrency: must be a whole number from 1"),
    ({"require": ["gone"]}, None, 'there is no module "gone"'),
    ({}, "import gone", "No module named 'gone'"),
    ({}, "def broken(:", "invalid syntax"),
    ({"pidfile": "other.pid"}, None, "only a restart of jobd changes that"),
]


@pytest.mark.parametrize("preload", [True, False])
def test_A21_what_is_broken_is_refused_and_changes_nothing(
    raw: Raw, start_jobd: StartJobd, *, preload: bool
):
    good = CODE.format(version=1)
    jobd = start_jobd(config={"preload": preload}, jobs=good)
    before = worker_pids(jobd)
    settings, app = jobd.directory / "jobd.yml", jobd.directory / "app_jobs.py"
    whole = settings.read_text()
    for changed, code, why in BROKEN:
        settings.write_text(whole)
        change(jobd, **changed)
        app.write_text(good if code is None else code)
        jobd.signal(signal.SIGHUP)
        eventually(lambda w=why: is_refused(raw, w), timeout=PATIENCE_S, message=jobd.log)
        assert told(raw)["generation"] == "1"
        eventually(lambda w=why: w in str(jobd.notify.messages()), message=jobd.log)
        assert worker_pids(jobd) == before
    wire.push(raw, "Versioned")
    eventually(lambda: len(jobd.ran()) == 1, message=jobd.log)
    assert jobd.stop() == 0


def is_refused(raw: Raw, why: str) -> bool:
    now = told(raw)
    return now["reload"] == "failed" and why in now["reload_text"]


def test_concurrency_changes_touch_no_worker_and_are_published(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"concurrency": 1})
    (before,) = worker_pids(jobd)
    change(jobd, concurrency=3)
    jobd.signal(signal.SIGHUP)
    jobd.wait_for_log(r"taken over, no worker is replaced.*concurrency 1 to 3")
    eventually(lambda: len(worker_pids(jobd)) == 3, message=jobd.log)
    assert before in worker_pids(jobd)
    eventually(lambda: json.loads(told(raw)["config"])["concurrency"] == 3, message=jobd.log)
    eventually(lambda: len(json.loads(told(raw)["workers"])) == 3, message=jobd.log)
    assert jobd.stop() == 0


def test_queues_that_are_added_are_served_after_a_roll(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"concurrency": 1, "queues": ["default"]})
    wire.push(raw, "Echo", queue="late")
    change(jobd, queues=["default", "late"])
    jobd.signal(signal.SIGHUP)
    eventually(lambda: len(jobd.ran()) == 1, timeout=PATIENCE_S, message=jobd.log)
    jobd.wait_for_log(IN_FORCE + "2")
    assert jobd.stop() == 0


def test_a_job_longer_than_the_timeout_outlives_a_roll(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"concurrency": 1, "timeout": 0.2})
    (old,) = worker_pids(jobd)
    wire.push(raw, "Hold", "long")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    jobd.signal(signal.SIGUSR2)
    jobd.wait_for_log(IN_FORCE + "2", timeout=PATIENCE_S)
    wire.push(raw, "Echo")
    eventually(lambda: len(jobd.ran()) == 1, message=jobd.log)
    # An alarm of its own would have come 1.2 s after TERM.
    asked_at = CLOCK.monotonic()
    eventually(lambda: CLOCK.monotonic() > asked_at + 1.5)
    jobd.release("long")
    eventually(lambda: len(jobd.ran()) == 2, message=jobd.log)
    assert len(jobd.ran("start")) == 1
    eventually(lambda: old not in worker_pids(jobd), message=jobd.log)
    assert jobd.stop() == 0
    assert is_empty(raw)


def test_jobctl_reload_waits_for_the_outcome_and_fails_if_it_does(
    redis_url: str, raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(jobs=CODE.format(version=1))
    status, said = jobctl_reload(jobd, redis_url, raw, signal.SIGTSTP)
    assert status == 0
    assert "generation 2 is in force" in said
    change(jobd, concurrency="many")
    status, said = jobctl_reload(jobd, redis_url, raw, signal.SIGCONT)
    assert status == 1
    assert "nothing has changed: " in said
    assert "concurrency: must be a whole number from 1" in said
    assert jobd.stop() == 0


def jobctl_reload(
    jobd: JobdProcess, redis_url: str, raw: Raw, number: signal.Signals
) -> tuple[int, str]:
    waiting = subprocess.Popen(
        [sys.executable, "-c", "from jobd.ctl import main; main()", "reload"],
        cwd=jobd.directory.parent,
        env={"REDIS_URL": redis_url, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    eventually(lambda: list(raw.scan_iter("*-signals")) or waiting.poll() is not None)
    jobd.signal(number)  # a change of state makes it beat, and read what it is told, at once
    said, _ = waiting.communicate()
    return waiting.returncode, said
