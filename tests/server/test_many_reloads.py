"""Many reloads and rolls at random moments under load, every tenth of them broken."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from jobd.clock import SystemClock
from tests.conftest import FOR_THE_SUMMARY
from tests.server.load import PATIENCE_S, is_empty, jids, push_many
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(3600)]

CLOCK = SystemClock()
SEED = 8
CODE = """
import time
import jobd
from tests.support.sample_jobs import record


class Work(jobd.Job):
    def perform(self, *args):
        time.sleep(0.02)
        record("done", "Work", self.jid, list(args))
"""


def replace(path: Path, text: str) -> None:
    """In one go: an earlier reload may be reading it."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


def until(at_s: float) -> None:
    eventually(lambda: CLOCK.monotonic() >= at_s, timeout=PATIENCE_S)


def settled(jobd: JobdProcess) -> bool:
    return len(jobd.children("worker")) == 2 and len(jobd.children()) == 4


@pytest.mark.parametrize("count", [10, pytest.param(400, marks=pytest.mark.long)])
def test_many_hups_and_usr2s_lose_no_job_and_leak_nothing(
    raw: Raw, start_jobd: StartJobd, record_property: Callable[[str, str], None], count: int
):
    rng = random.Random(SEED)
    jobd = start_jobd(
        config={"concurrency": 2, "timeout": 60, "log": {"level": "debug"}}, jobs=CODE
    )
    app, settings = jobd.directory / "app_jobs.py", jobd.directory / "jobd.yml"
    whole = {app: CODE, settings: settings.read_text()}
    broken = [(app, "import gone\n"), (settings, "concurrency: many\n")]
    signals = [signal.SIGHUP, signal.SIGUSR2] * (count // 2)
    rng.shuffle(signals)
    master, pid = psutil.Process(jobd.pid), jobd.pid
    pushed: list[str] = []
    memory: list[int] = []
    for number, told in enumerate(signals):
        pushed += push_many(raw, "Work", 20)
        path, text = broken[number // 10 % 2]
        replace(path, text if number % 10 == 9 else whole[path])
        jobd.signal(told)
        until(CLOCK.monotonic() + rng.choice([0.0, 0.05, 0.5, 5.0]))
        replace(path, whole[path])
        memory.append(master.memory_info().rss)
    jobd.signal(signal.SIGHUP)
    eventually(lambda: set(jids([jobd])) >= set(pushed), timeout=PATIENCE_S, message=jobd.log)
    eventually(lambda: settled(jobd), timeout=PATIENCE_S, message=jobd.log)
    assert sorted(jids([jobd])) == sorted(pushed)  # none lost, none interrupted and run again
    assert jobd.pid == pid
    assert master.num_fds() < 40
    assert memory[-1] < 1.2 * memory[len(memory) // 4] + 2_000_000
    assert jobd.stop() == 0
    turn = jobd.wait_for_log(r"longest_turn=\"([0-9.]+) s")[1]
    reloads = jobd.log().count("the new generation is in force")
    refused = jobd.log().count("the old one goes on") + jobd.log().count("reload refused")
    line = (
        f"{count} HUP and USR2 in {len(pushed)} jobs: {reloads} generations, {refused} refused, "
        f"memory of the master {memory[0] // 1024} to {memory[-1] // 1024} kB, its longest turn "
        f"{turn} s"
    )
    record_property(FOR_THE_SUMMARY, line)
    assert is_empty(raw)
