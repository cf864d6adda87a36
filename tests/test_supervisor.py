"""The master from outside: real forks, real signals, and the end state.

The children are toys (tests/toy_master.py), so nothing here needs a Redis.
"""

import contextlib
import os
import pty
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

ROOT = Path(__file__).parent.parent
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
    assert "again_in" not in instance.log
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


# Quiet, and the other signals


def test_tstp_quiets_also_the_workers_that_come_later_and_cont_resumes(start: Start) -> None:
    instance = start().until_ready()
    instance.kill(signal.SIGTSTP)
    instance.sees("signal=SIGTSTP", 2)
    os.kill(instance.children()["worker 1"], signal.SIGKILL)
    instance.sees('msg="toy got" slot=1 signal=SIGTSTP', 2)
    instance.kill(signal.SIGCONT)
    instance.sees("signal=SIGCONT", 2)
    instance.kill(signal.SIGTSTP)
    instance.sees("signal=SIGTSTP", 5)
    assert instance.term() == 0


def test_signals_wait_for_a_child_that_boots(start: Start, tmp_path: Path) -> None:
    instance = start(behaviour="slow_to_boot", workers=1)
    instance.sees("toy boots")
    instance.kill(signal.SIGUSR1)
    instance.sees("log files reopened")
    instance.kill(signal.SIGTSTP)
    instance.sees('msg="quiet')
    (tmp_path / "booted").touch()
    instance.sees('msg="toy got" slot=1 signal=SIGUSR1')
    instance.sees('msg="toy got" slot=1 signal=SIGTSTP')
    assert instance.term() == 0


def test_ttin_logs_a_line_for_each_slot_and_passes_it_on(start: Start) -> None:
    instance = start(busy=2).until_ready()
    instance.kill(signal.SIGTTIN)
    instance.sees("signal=SIGTTIN", 3)
    assert instance.count("state of poller") == 1
    assert instance.count("state of worker") == 2
    assert "job=ToyJob job_jid=toy-jid" in instance.log


def test_ttou_winch_and_pipe_change_nothing(start: Start) -> None:
    instance = start().until_ready()
    before = instance.children()
    for number in (signal.SIGTTOU, signal.SIGWINCH, signal.SIGPIPE):
        instance.kill(number)
    instance.kill(signal.SIGTTIN)
    instance.sees("state of worker 2")
    assert instance.children() == before
    assert instance.term() == 0


def test_hup_stops_it_when_it_was_started_on_a_terminal(start: Start) -> None:
    instance = start().until_ready()
    assert instance.term() == 0
    ours, theirs = pty.openpty()
    with instance.log_path.open("wb") as output:
        instance.process = subprocess.Popen(
            instance.command, cwd=instance.directory, stdin=theirs, stdout=output
        )
    instance.until_ready()
    instance.kill(signal.SIGHUP)
    assert instance.wait() == 0
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(("name", "effect"), [("TSTP", "quiet: "), ("TERM", "stopping")])
def test_commands_from_redis_act_as_the_signals(start: Start, name: str, effect: str) -> None:
    instance = start(remote=name)
    instance.sees(effect)
    instance.kill(signal.SIGTERM)
    assert instance.wait() == 0


def test_no_other_command_from_redis_is_obeyed(start: Start) -> None:
    instance = start(remote="KILL").until_ready()
    assert "told through Redis" not in instance.log
    assert instance.term() == 0


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
    assert instance.log.index("toy store stopped") > instance.log.index('msg="poller left"')


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
