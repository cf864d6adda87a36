"""Children that do not boot or stay silent, machines that lack something, and a master that fails.

The children are toys (tests/toy_master.py), so nothing here needs a Redis.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobd.clock import SystemClock
from tests.support.eventually import eventually
from tests.support.toy_instance import Start, starting

pytestmark = [pytest.mark.process, pytest.mark.measured]

CLOCK = SystemClock()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path) as begin:
        yield begin


# Silence


def test_a_worker_without_a_job_that_shows_no_sign_of_life_is_replaced_and_its_stacks_are_told(
    start: Start,
) -> None:
    instance = start(behaviour="hang_silently", workers=1, hung_after_s=0.2)
    instance.sees('msg="toy hangs" slot=1 incarnation=2')
    assert "worker 1 is killed: without a job it shows no sign of life for 0.2 s" in instance.log
    assert instance.count("in hang_silently") >= 1
    instance.kill(signal.SIGQUIT)
    assert instance.wait() == 0


def test_a_silent_worker_with_a_job_is_left_alone(start: Start) -> None:
    instance = start(busy=1, hung_after_s=0.2).until_ready()
    instance.sees("worker 2 is killed")
    assert "worker 1 is killed" not in instance.log
    instance.kill(signal.SIGQUIT)
    assert instance.wait() == 0


# Booting


def test_A19_an_application_that_cannot_be_loaded_ends_it_with_78_and_one_stack(
    start: Start,
) -> None:
    instance = start(behaviour="fail_for_good", workers=3)
    assert instance.wait() == 78
    assert instance.count("Traceback") == 1
    assert "no module named toys" in instance.log


def test_what_may_get_better_is_tried_again_with_a_pause(start: Start, tmp_path: Path) -> None:
    instance = start(behaviour="fail_for_now", workers=1)
    instance.sees("again_in")
    assert instance.count("Traceback") == 1
    (tmp_path / "repaired").touch()
    instance.sees('msg="toy ready" slot=1')
    assert instance.term() == 0


@pytest.mark.parametrize("behaviour", ["crash_at_boot", "crash_once_ready", "exit_unasked"])
def test_A20_a_worker_that_dies_too_early_is_braked_and_never_ends_the_master(
    start: Start, behaviour: str
) -> None:
    instance = start(behaviour=behaviour, workers=1)
    instance.sees("again_in", 2)
    eventually(lambda: "poller" in instance.children())
    log = instance.log
    assert log.count('msg="worker 1 left"') == log.count("again_in")
    assert instance.term() == 0


def test_a_child_that_never_gets_ready_is_killed_and_braked(start: Start) -> None:
    instance = start(behaviour="never_ready", workers=1, boot_timeout_s=0.3)
    instance.sees("not ready in 0.3 s")
    instance.sees("status=SIGKILL again_in")
    assert instance.term() == 0


def test_only_so_many_workers_boot_at_once(start: Start) -> None:
    instance = start(behaviour="never_ready", workers=12)
    most = max(len(os.sched_getaffinity(0)), 2)
    eventually(lambda: len(instance.children()) == min(12, most) + 1)
    assert instance.term() == 0


def test_a_master_that_was_stopped_reads_what_came_meanwhile_before_it_kills(
    start: Start, tmp_path: Path
) -> None:
    instance = start(behaviour="slow_to_boot", workers=1, boot_timeout_s=3)
    instance.sees("toy boots")
    instance.kill(signal.SIGSTOP)
    again = CLOCK.monotonic() + 3.2
    (tmp_path / "booted").touch()
    eventually(lambda: CLOCK.monotonic() > again)
    instance.kill(signal.SIGCONT)
    instance.sees("toy ready", 2)
    assert instance.term() == 0
    assert "not ready" not in instance.log


@pytest.mark.slow
def test_a_machine_that_stood_still_is_no_reason_to_kill(start: Start, tmp_path: Path) -> None:
    instance = start(behaviour="slow_to_boot", workers=1, boot_timeout_s=3)
    instance.sees("toy boots")
    instance.kill(signal.SIGSTOP)
    again = CLOCK.monotonic() + 5.5
    eventually(lambda: CLOCK.monotonic() > again)
    instance.kill(signal.SIGCONT)
    instance.sees("the master stood still")
    (tmp_path / "booted").touch()
    instance.sees("toy ready", 2)
    assert instance.term() == 0
    assert "not ready" not in instance.log


@pytest.mark.slow
def test_a_poller_that_shows_no_sign_of_life_is_replaced(start: Start) -> None:
    instance = start(workers=1, poller_silent_s=3).until_ready(1)
    poller = instance.children()["poller"]
    os.kill(poller, signal.SIGSTOP)
    instance.sees("the poller is silent: killed")
    instance.sees("toy ready", 3)
    assert instance.children()["poller"] != poller
    assert instance.term() == 0
    assert instance.count("the poller is silent") == 1


def test_if_nothing_can_be_forked_it_leaves_with_75(start: Start) -> None:
    assert start(forks=0).wait() == 75


def test_A18_a_fork_that_fails_later_is_tried_again_with_a_pause(start: Start) -> None:
    instance = start(forks=2)
    instance.sees('msg="worker 2 cannot be forked"')
    instance.sees('msg="toy ready" slot=1')
    assert instance.term() == 0


def test_E5_without_descriptors_for_more_the_healthy_children_go_on(start: Start) -> None:
    instance = start("sh", "-c", 'ulimit -n 14; exec "$@"', "sh", workers=5)
    instance.sees('cannot be forked" reason="Too many open files"', 3)
    held = psutil.Process(instance.process.pid).num_fds()
    instance.sees('cannot be forked" reason="Too many open files"', 7)
    assert psutil.Process(instance.process.pid).num_fds() == held
    instance.sees('msg="toy ready" slot=1')
    assert instance.term() == 0


@pytest.mark.parametrize(("workers", "expected"), [(2, 150), (40, 300)])
def test_the_limit_of_open_files_is_raised_where_the_workers_need_it(
    start: Start, workers: int, expected: int
) -> None:
    limited = ("sh", "-c", 'ulimit -Sn 150; ulimit -Hn 300; exec "$@"', "sh")
    instance = start(*limited, workers=workers, forks=1)
    instance.sees('msg="toy ready" slot=0')
    soft, _ = psutil.Process(instance.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert soft == expected


def test_E4_a_stalled_reader_of_the_log_does_not_keep_it_from_its_children(
    start: Start, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDWR | os.O_NONBLOCK)
    instance = start("sh", "-c", 'exec "$@" >fifo', "sh")
    family = {"poller", "worker 1", "worker 2"}
    eventually(lambda: instance.children().keys() == family)
    eventually(lambda: os.read(reader, 1 << 16).count(b"toy instance ready"))
    with contextlib.suppress(BlockingIOError):
        while os.write(reader, b"x" * 4096):
            pass
    before = instance.children()["worker 1"]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: instance.children()["worker 1"] != before)
    os.close(reader)


# What goes wrong in the master itself


def test_a_step_that_fails_is_logged_and_the_master_goes_on(start: Start) -> None:
    instance = start(reopen_fails=True).until_ready()
    instance.kill(signal.SIGUSR1)
    instance.sees("a step of the master failed")
    assert instance.count("RuntimeError: the toy disk is gone") == 1
    assert instance.term() == 0


def test_a_master_that_fails_in_every_turn_leaves_with_70(start: Start) -> None:
    instance = start(store=True, store_breaks=10)
    eventually(lambda: instance.kill(signal.SIGWINCH) or instance.process.poll() is not None)
    assert instance.wait() == 70


def test_A23_two_masters_do_not_share_a_pid_file(start: Start, tmp_path: Path) -> None:
    first = start(pidfile="jobd.pid").until_ready()
    second = start(pidfile="jobd.pid")
    assert second.wait() == 73
    assert f"another jobd runs already, with pid {first.process.pid}" in second.log
    assert (tmp_path / "jobd.pid").read_text() == f"{first.process.pid}\n"
    assert first.term() == 0
    assert not (tmp_path / "jobd.pid").exists()


def test_a_new_master_can_start_where_one_was_killed(start: Start, tmp_path: Path) -> None:
    first = start(pidfile="jobd.pid").until_ready()
    first.kill(signal.SIGKILL)
    second = start(pidfile="jobd.pid").until_ready()
    assert first.wait() == -signal.SIGKILL
    assert second.term() == 0
    assert not (tmp_path / "jobd.pid").exists()


def test_the_store_is_started_first_replaced_when_it_dies_and_stopped_last(start: Start) -> None:
    instance = start(store=True).until_ready()
    log = instance.log
    assert log.index("toy store started") < log.index("toy ready")
    for child in psutil.Process(instance.process.pid).children():
        if child.name() == "sleep":
            child.kill()
    instance.sees("the embedded store died")
    instance.sees("toy store started", 2)
    assert instance.term() == 0
    ends = ['msg="poller left"', 'msg="toy store stopped', "msg=stopped exit_status=0"]
    assert (places := [instance.log.index(end) for end in ends]) == sorted(places)
