"""Preloading: one import for all workers, which a mold forks and the master adopts.

The children are toys (tests/toy_master.py), so nothing here needs a Redis.
"""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.eventually import eventually
from tests.support.toy_instance import Start, starting
from tests.test_supervisor import CARELESS

pytestmark = [pytest.mark.process, pytest.mark.measured]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path) as begin:
        yield begin


def test_the_application_is_imported_once_and_the_workers_are_the_masters_children(
    start: Start,
) -> None:
    instance = start(preload="import_app", workers=4).until_ready(4)
    assert instance.count("toy app imported") == 1
    expected = {"poller", "mold", *(f"worker {slot}" for slot in range(1, 5))}
    assert set(instance.children()) == expected
    for pid in instance.children().values():
        assert os.getsid(pid) == pid
    assert instance.term() == 0
    assert "warning" not in instance.log


def test_the_workers_of_a_mold_collect_garbage_but_not_what_was_imported(start: Start) -> None:
    instance = start(preload="import_app").until_ready()
    seen = re.findall(r"slot=(\d) incarnation=1 collects=(\w+) frozen=(\d+)", instance.log)
    (poller,) = (int(frozen) for slot, _, frozen in seen if slot == "0")
    workers = [(collects, int(frozen) - poller) for slot, collects, frozen in seen if slot != "0"]
    assert [collects for collects, _ in workers] == ["true", "true"]
    assert all(more >= 1000 for _, more in workers)  # that many lists were made by the import
    assert instance.term() == 0


def test_a_killed_worker_of_a_mold_is_replaced_at_once_and_the_poller_told_what_it_held(
    start: Start,
) -> None:
    instance = start(preload="import_app", busy=2).until_ready()
    os.kill(instance.children()["worker 2"], signal.SIGKILL)
    instance.sees('msg="toy ready" slot=2 incarnation=2')
    instance.sees("slot=2 incarnation=1 status=9 reason=SIGKILL is_charged=true finished=1")
    assert instance.count("toy app imported") == 1
    instance.kill(signal.SIGQUIT)
    assert instance.wait() == 0


def test_A9_a_killed_mold_harms_no_worker_and_the_next_one_forks_the_next_worker(
    start: Start,
) -> None:
    instance = start(preload="import_app").until_ready()
    before = instance.children()
    os.kill(before["mold"], signal.SIGKILL)
    instance.sees("toy app imported", 2)
    os.kill(before["worker 1"], signal.SIGKILL)
    instance.sees('msg="toy ready" slot=1 incarnation=2')
    after = instance.children()
    assert after["worker 2"] == before["worker 2"]
    assert instance.term() == 0


def test_a_mold_that_is_killed_again_and_again_is_braked(start: Start) -> None:
    instance = start(preload="import_and_crash")
    instance.sees("again_in", 2)
    assert instance.count("toy app imported") == 2
    assert instance.term() == 0


def test_all_children_leave_when_the_master_is_killed(start: Start) -> None:
    instance = start(preload="import_app").until_ready()
    instance.kill(signal.SIGKILL)
    assert instance.wait() == -signal.SIGKILL
    assert instance.count("toy orphaned") == 3


@pytest.mark.parametrize(
    ("preload", "found"),
    [("start_a_thread", "the thread toy flusher"), ("open_a_connection", "the connection to 127")],
)
def test_what_a_fork_would_break_is_named_and_each_worker_imports_by_itself(
    start: Start, preload: str, found: str
) -> None:
    instance = start(preload=preload).until_ready()
    assert f'level=warning pid={instance.process.pid} msg="no preload: ' in instance.log
    assert found in instance.log
    eventually(lambda: set(instance.children()) == {"poller", "worker 1", "worker 2"})
    os.kill(instance.children()["worker 1"], signal.SIGKILL)
    instance.sees('msg="toy ready" slot=1 incarnation=2')
    assert instance.count("no preload") == 1
    assert instance.term() == 0


def test_an_application_that_no_mold_can_import_ends_the_instance_with_78(start: Start) -> None:
    instance = start(preload="fail_to_import")
    assert instance.wait() == 78
    assert instance.count('msg="mold cannot boot"') == 1
    assert "no module named toys" in instance.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_it_can_be_stopped_while_a_mold_imports(start: Start, number: int) -> None:
    instance = start(preload="import_slowly")
    instance.sees("toy app is imported")
    instance.kill(number)
    assert instance.wait() == 0


def test_a_mold_that_imports_for_too_long_is_killed_and_braked(start: Start) -> None:
    instance = start(preload="import_slowly", boot_timeout_s=0.3)
    instance.sees("mold not ready in 0.3 s: killed")
    instance.sees("status=SIGKILL again_in")
    assert instance.term() == 0


def test_a_stop_that_comes_while_a_mold_forks_is_never_lost(start: Start, tmp_path: Path) -> None:
    for step in range(8):
        instance = start(preload="import_app", pidfile="jobd.pid")
        eventually((tmp_path / "jobd.pid").exists)
        for _ in range(step % 4):
            for pid in instance.children().values():
                with contextlib.suppress(ProcessLookupError):  # the one between mold and worker
                    os.kill(pid, signal.SIGKILL)
        instance.kill(signal.SIGTERM)
        assert instance.wait() == 0, instance.log


def test_workers_that_a_mold_forks_later_are_quiet_too_and_dump_their_stacks(start: Start) -> None:
    instance = start(preload="import_app").until_ready()
    instance.kill(signal.SIGTSTP)
    instance.sees("signal=SIGTSTP", 2)
    os.kill(instance.children()["worker 1"], signal.SIGKILL)
    instance.sees('msg="toy got" slot=1 signal=SIGTSTP', 2)
    instance.kill(signal.SIGTTIN)
    instance.sees("state of mold")
    instance.sees("signal=SIGTTIN", 3)
    assert instance.term() == 0


def test_signals_that_a_careless_parent_blocked_reach_the_workers_of_a_mold(start: Start) -> None:
    instance = start(sys.executable, "-c", CARELESS, preload="import_app").until_ready()
    os.kill(instance.children()["worker 1"], signal.SIGTERM)
    instance.sees('msg="worker 1 left"')
    assert instance.term() == 0


def test_no_worker_keeps_the_descriptors_of_another_or_of_the_mold(start: Start) -> None:
    instance = start(preload="import_app", workers=4).until_ready(4)
    direct = start(workers=4).until_ready(4)

    def held(name: str, children: dict[str, int]) -> int:
        return psutil.Process(children[name]).num_fds()

    ours, others = instance.children(), direct.children()
    assert held("worker 4", ours) == held("worker 1", ours) == held("worker 1", others)
    assert instance.term() == direct.term() == 0


@pytest.mark.slow
def test_a_mold_that_forks_nothing_when_asked_is_replaced(start: Start) -> None:
    instance = start(preload="import_app").until_ready()
    os.kill(instance.children()["mold"], signal.SIGSTOP)
    os.kill(instance.children()["worker 1"], signal.SIGKILL)
    instance.sees("the mold forks no worker: killed")
    instance.sees('msg="toy ready" slot=1', 2)
    assert instance.count("toy app imported") == 2
    assert instance.term() == 0
