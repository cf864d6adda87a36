"""The master from outside: real forks, real signals, and the end state.

The children are toys (tests/toy_master.py), so nothing here needs a Redis.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobd.clock import SystemClock
from tests.support import leash
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.toy_instance import Start, starting

pytestmark = [pytest.mark.process, pytest.mark.measured]

CLOCK = SystemClock()

# What a careless parent leaves to us: TERM blocked, SIGCHLD ignored.
CARELESS = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path) as begin:
        yield begin


# Life


def test_it_shows_in_its_title_how_many_workers_are_busy(start: Start) -> None:
    instance = start(busy=2).until_ready()
    instance.sees("toy instance ready")
    eventually(lambda: instance.title() == "jobd 0.1.0 toys [1 of 2 busy]")
    assert set(instance.children()) == {"poller", "worker 1", "worker 2"}
    instance.kill(signal.SIGTSTP)
    eventually(lambda: instance.title() == "jobd 0.1.0 toys [1 of 2 busy] quiet")
    instance.kill(signal.SIGTERM)
    eventually(lambda: instance.title() == "jobd 0.1.0 toys [1 of 2 busy] stopping")


def test_a_killed_worker_is_replaced_at_once_and_the_poller_told_what_it_held(
    start: Start,
) -> None:
    instance = start(busy=2).until_ready()
    os.kill(instance.children()["worker 2"], signal.SIGKILL)
    instance.sees('msg="toy ready" slot=2 incarnation=2')
    instance.sees("slot=2 incarnation=1 status=9 reason=SIGKILL is_charged=true finished=1")
    instance.sees("level=warning")
    instance.sees('msg="worker 2 left"')
    assert instance.count('hint="not killed by jobd') == 1
    assert "again_in" not in instance.log
    instance.kill(signal.SIGQUIT)
    assert instance.wait() == 0


def test_who_is_killed_by_others_while_it_drains_is_a_warning_too(start: Start) -> None:
    instance = start(busy=2, timeout_s=600).until_ready()
    instance.kill(signal.SIGTERM)
    instance.sees("signal=SIGTERM", 2)
    os.kill(instance.children()["worker 2"], signal.SIGKILL)
    instance.sees('msg="worker 2 left"')
    (line,) = [line for line in instance.log.splitlines() if '"worker 2 left"' in line]
    assert "level=warning" in line
    instance.kill(signal.SIGQUIT)
    assert instance.wait() == 0


def test_every_new_poller_is_told_of_the_dead_until_it_says_that_they_are_recovered(
    start: Start,
) -> None:
    instance = start(deaf=True).until_ready()
    os.kill(instance.children()["worker 1"], signal.SIGKILL)
    instance.sees('msg="toy told" slot=1')
    os.kill(instance.children()["poller"], signal.SIGKILL)
    instance.sees('msg="toy ready" slot=0 incarnation=2')
    instance.sees('msg="toy told" slot=1 incarnation=1', times=2)
    assert instance.term() == 0


def test_a_new_poller_is_not_told_again_of_what_is_recovered(start: Start) -> None:
    instance = start().until_ready()
    os.kill(instance.children()["worker 1"], signal.SIGKILL)
    instance.sees('msg="toy told" slot=1')
    instance.sees('msg="toy ready" slot=1 incarnation=2')
    os.kill(instance.children()["poller"], signal.SIGKILL)
    instance.sees('msg="toy ready" slot=0 incarnation=2')
    os.kill(instance.children()["worker 2"], signal.SIGKILL)
    instance.sees('msg="toy told" slot=2')
    assert instance.count('msg="toy told" slot=1 incarnation=1') == 1
    assert instance.term() == 0


@pytest.mark.parametrize("behaviour", ["plain", "close_everything"])
def test_children_leave_when_their_master_is_killed(start: Start, behaviour: str) -> None:
    instance = start(behaviour=behaviour)
    eventually(lambda: len(instance.children()) == 3)
    instance.sees("toy ready" if behaviour == "plain" else "toy closed its fds")
    instance.kill(signal.SIGKILL)
    assert instance.wait() == -signal.SIGKILL


def test_a_worker_that_leaves_by_itself_is_replaced(start: Start) -> None:
    instance = start(workers=1).until_ready(1)
    os.kill(instance.children()["worker 1"], signal.SIGTERM)
    instance.sees('msg="toy ready" slot=1 incarnation=2')
    assert instance.term() == 0


def test_A22_strangers_among_the_children_are_reaped_and_mean_nothing(start: Start) -> None:
    instance = start(strangers=True).until_ready()
    eventually(lambda: len(psutil.Process(instance.process.pid).children()) == 3)
    assert "warning" not in instance.log
    assert instance.term() == 0


def test_what_a_careless_parent_blocks_or_ignores_is_put_right(start: Start) -> None:
    instance = start(sys.executable, "-c", CARELESS).until_ready()
    os.kill(instance.children()["worker 1"], signal.SIGTERM)
    instance.sees('msg="worker 1 left"')
    assert instance.term() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may unshare")
def test_it_works_as_pid_1(start: Start) -> None:
    unshare = (leash.needs("unshare", "util-linux"), "-pf", "--mount-proc", "--kill-child")
    instance = start(*unshare)
    instance.sees('msg="toy ready"', 3)
    (master,) = psutil.Process(instance.process.pid).children()
    (worker,) = [child for child in master.children() if "worker 1" in child.cmdline()[0]]
    orphan = "import os; os.fork() or os.execvp('sh', ['sh', '-c', 'sleep 0.1; exit 78'])"
    nsenter = ["nsenter", "-t", str(master.pid), "-p", sys.executable, "-c", orphan]
    subprocess.run(nsenter, check=True)
    worker.kill()
    instance.sees('msg="toy ready" slot=1 incarnation=2')
    master.terminate()
    assert instance.wait() == 0


# Stopping


def test_term_gives_jobs_their_time_then_interrupts_them_and_exits_with_0(start: Start) -> None:
    instance = start(busy=True, timeout_s=0.5).until_ready()
    began = CLOCK.monotonic()
    assert instance.term() == 0
    assert CLOCK.monotonic() - began >= 0.5
    assert instance.count("signal=SIGTERM") == 3
    assert instance.count("signal=SIGUSR2") == 2


def test_the_poller_leaves_last_and_knows_of_every_death_by_then(start: Start) -> None:
    instance = start().until_ready()
    assert instance.term() == 0
    log = instance.log
    assert log.index('msg="toy leaves" slot=0') > log.rindex('msg="toy told"')
    assert log.count('msg="toy told"') == 2


@pytest.mark.slow
def test_a_worker_that_does_not_leave_is_killed_with_what_its_job_started(start: Start) -> None:
    instance = start(
        behaviour="spawn_and_hang", workers=1, busy=True, stubborn=True, timeout_s=0.2
    ).until_ready(1)
    grandchildren = psutil.Process(instance.children()["worker 1"]).children()
    instance.seen.update(each.pid for each in grandchildren)
    assert len(grandchildren) == 1
    assert instance.term() == 0
    # Its job goes back, and is not to blame.
    assert "slot=1 incarnation=1 status=9 reason=SIGKILL is_charged=false" in instance.log
    assert "not killed by jobd" not in instance.log


def test_A16_term_may_come_many_times(start: Start) -> None:
    instance = start(busy=True, timeout_s=0.5).until_ready()
    for _ in range(5):
        instance.kill(signal.SIGTERM)
    assert instance.wait() == 0
    assert instance.count("msg=stopping") == 1


def test_a_second_ctrl_c_gives_the_jobs_back_at_once(start: Start) -> None:
    instance = start(busy=True, timeout_s=600).until_ready()
    instance.kill(signal.SIGINT)
    instance.sees("msg=stopping")
    instance.sees("signal=SIGTERM", 2)
    instance.kill(signal.SIGINT)
    assert instance.wait() == 0
    assert instance.count("signal=SIGQUIT") == 2


def test_quit_gives_the_jobs_back_at_once(start: Start) -> None:
    instance = start(busy=True, timeout_s=600).until_ready()
    instance.kill(signal.SIGQUIT)
    assert instance.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_it_can_be_stopped_while_children_boot(start: Start, number: int) -> None:
    instance = start(behaviour="never_ready", poller_never_ready=True, timeout_s=600)
    eventually(lambda: len(instance.children()) == 3)
    instance.kill(number)
    assert instance.wait() == 0


def test_a_stop_that_comes_around_a_fork_is_never_lost(start: Start, tmp_path: Path) -> None:
    for step in range(12):
        instance = start(pidfile="jobd.pid")
        eventually((tmp_path / "jobd.pid").exists)
        for _ in range(step % 4):
            for pid in instance.children().values():
                with contextlib.suppress(ProcessLookupError):  # the last kill is just being reaped
                    os.kill(pid, signal.SIGKILL)
        instance.kill(signal.SIGTERM)
        assert instance.wait() == 0, instance.log
        assert not (tmp_path / "jobd.pid").exists()


def test_cont_does_not_undo_a_stop(start: Start) -> None:
    instance = start(busy=True, timeout_s=0.5).until_ready()
    instance.kill(signal.SIGTERM)
    instance.sees("msg=stopping")
    instance.kill(signal.SIGCONT)
    assert instance.wait() == 0
    assert "resumed" not in instance.log
    assert "SIGCONT" not in instance.log


# systemd


def test_systemd_hears_ready_pings_and_stopping_in_that_order(start: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(PATIENCE_S)
        address, usec = f"NOTIFY_SOCKET={tmp_path}/notify", "WATCHDOG_USEC=400000"
        # Heard from the beginning: a socket holds ten datagrams, and what comes then is lost.
        instance = start("env", address, usec, busy=True, timeout_s=1)
        heard = [ear.recv(4096).decode()]
        while "READY=1" not in heard[-1]:
            heard.append(ear.recv(4096).decode())
        while heard[-2:] != ["WATCHDOG=1"] * 2:
            heard.append(ear.recv(4096).decode())
        instance.kill(signal.SIGTERM)
        while "STOPPING=1" not in heard[-1]:
            heard.append(ear.recv(4096).decode())
        assert instance.wait() == 0
    assert heard[0].startswith("STATUS=booting 0/2")
    assert heard[-1].startswith("STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\n")
    assert heard[-1].endswith("\nSTATUS=draining 2 jobs, 1 s left")
    assert sum("READY=1" in message for message in heard) == 1
