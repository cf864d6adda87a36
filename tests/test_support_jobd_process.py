"""The harness starts, watches and ends jobd, and complains of what is left; shown on a fake."""

import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import leash
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess
from tests.support.notify import NotifySocket

pytestmark = pytest.mark.process

# A master with a worker and a poller. "leave": they outlive it; "deaf": it does not listen.
FAKE = """
import os, signal, socket, sys
from setproctitle import setproctitle

how, master = sys.argv[1], os.getpid()
print("starts", sys.argv[2:], os.environ.get("REDIS_URL"), flush=True)
if how == "fail":
    sys.exit(78)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGQUIT})
children = []
titled, has_title = os.pipe()
for title in ("jobd: worker 1 [idle]", "jobd: poller"):
    if (pid := os.fork()) == 0:
        setproctitle(title)
        os.write(has_title, b".")
        while os.getppid() == master or how == "leave":
            signal.sigtimedwait({signal.SIGUSR1}, 0.02)
        os._exit(0)
    children.append(pid)
    os.read(titled, 1)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1\\nMAINPID=1", os.environ["NOTIFY_SOCKET"])
if how == "leave":
    sys.exit(0)
signal.sigwait({signal.SIGUSR1} if how == "deaf" else {signal.SIGTERM, signal.SIGQUIT})
for pid in children:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print("bye", flush=True)
"""


def fake_jobd(tmp_path: Path, how: str = "well", **options: Any) -> JobdProcess:
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    options.setdefault("redis_url", "redis://example/1")
    command = (sys.executable, str(script), how)
    return JobdProcess(tmp_path / "jobd", command=command, **options).start()


def test_jobd_is_started_watched_and_stopped(tmp_path: Path):
    with fake_jobd(tmp_path).wait_ready() as jobd:
        worker, poller = jobd.worker(1), jobd.poller()

        assert worker.title == "jobd: worker 1 [idle]"
        assert {child.pid for child in jobd.children()} == {worker.pid, poller.pid}
        assert jobd.notify.messages()[0].pid == jobd.pid
        assert jobd.notify.messages()[0].fields == {"READY": "1", "MAINPID": "1"}
        assert jobd.stop() == 0
        assert jobd.wait_for_log(r"^by(.)$")[1] == "e"
        assert jobd.children() == []


def test_configuration_jobs_and_arguments_are_handed_over(tmp_path: Path):
    with fake_jobd(tmp_path, config={"timeout": 1}, jobs="X = 1", args=["-v"]) as jobd:
        found = jobd.wait_for_log(r"^starts \['-C', '(.+)', '-v'\] redis://example/1$")

        assert Path(found[1]).read_text() == (
            "concurrency: 1\nlog:\n  format: logfmt\nrequire:\n- app_jobs\ntimeout: 1\n"
        )
        assert (jobd.directory / "app_jobs.py").read_text() == "X = 1"


def test_jobd_that_does_not_start_is_told_with_its_log(tmp_path: Path):
    with (
        fake_jobd(tmp_path, "fail", redis_url=None, config=None) as jobd,
        pytest.raises(AssertionError, match=r"(?s)status 78.*starts \[\] None"),
    ):
        jobd.wait_ready()


def test_what_a_master_leaves_behind_fails_the_test_and_is_killed(tmp_path: Path):
    jobd = fake_jobd(tmp_path, "leave").wait_ready()
    assert jobd.wait() == 0
    left = jobd.orphans()

    with pytest.raises(AssertionError, match=r"left behind.*jobd: worker 1"):
        jobd.close()

    assert len(left) == 2
    assert not any(leash.is_alive(process.pid) for process in left)


def test_deaf_master_is_killed_with_its_children(tmp_path: Path):
    jobd = fake_jobd(tmp_path, "deaf").wait_ready()
    jobd.patience_s = 0.1
    pids = [jobd.pid, jobd.worker(1).pid, jobd.poller().pid]

    jobd.close()

    assert not any(leash.is_alive(pid) for pid in pids)


def test_children_of_a_killed_master_are_seen_until_they_leave(tmp_path: Path):
    with fake_jobd(tmp_path).wait_ready() as jobd:
        worker = jobd.worker(1)
        jobd.kill9()

        assert jobd.wait() == -signal.SIGKILL
        eventually(lambda: not jobd.orphans())
        assert not leash.is_alive(worker.pid)


def test_stopped_master_is_ended_all_the_same(tmp_path: Path):
    with fake_jobd(tmp_path).wait_ready() as jobd:
        jobd.signal(signal.SIGSTOP)


def test_notifications_are_waited_for():
    with NotifySocket() as notify, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for number in range(50):
            sender.sendto(b"WATCHDOG=%d" % number, str(notify.path))

        assert notify.wait_for("WATCHDOG=49").fields == {"WATCHDOG": "49"}
        assert len(notify.messages()) == 50
        notify.close()
