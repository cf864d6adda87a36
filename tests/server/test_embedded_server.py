"""The developer's server: a fresh directory, a terminal, Ctrl-C, and nothing left."""

import contextlib
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobd import places
from tests.support import servers, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import COMMAND, REPOSITORY, SAMPLE_JOBS, JobdProcess, StartJobd

pytestmark = [pytest.mark.redis, pytest.mark.process]

# Opened by the leader of a session that has none, it becomes the controlling terminal.
ON_A_TERMINAL = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)
for fd in (0, 1, 2):
    os.dup2(terminal, fd)
os.execvp(sys.argv[2], sys.argv[2:])
"""
CTRL_C = b"\x03"
NOTHING_SET = [
    *("env", "-u", "REDIS_URL", "-u", "REDIS_PROVIDER", "-u", "JOBD_ENV", "-u", "APP_ENV"),
    f"PYTHONPATH={REPOSITORY}",
]


class Terminal:
    """Where a developer sits."""

    def __init__(self) -> None:
        self._ours, theirs = os.openpty()
        self.path = os.ttyname(theirs)
        self._theirs = theirs  # kept open: without anybody on it, reading fails
        os.set_blocking(self._ours, False)
        self._shown = b""

    def text(self) -> str:
        """All that was shown so far, without colours."""
        with contextlib.suppress(BlockingIOError):
            while more := os.read(self._ours, 65_536):
                self._shown += more
        return re.sub(r"\x1b\[\d*m", "", self._shown.decode())

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._ours, keys)

    def close(self) -> None:
        """Leave."""
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with contextlib.closing(Terminal()) as terminal:
        yield terminal


def start_embedded(start_jobd: StartJobd, terminal: Terminal) -> JobdProcess:
    command = (sys.executable, "-c", ON_A_TERMINAL, terminal.path, *COMMAND)
    args = ["-r", str(SAMPLE_JOBS), "-e", "development", "-c", "1"]
    return start_jobd(redis_url=None, config=None, command=command, args=args)


def sockets(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]


def locks_of(directory: Path) -> list[str]:
    inodes = {str(path.stat().st_ino) for path in directory.rglob("*") if path.is_file()}
    lines = Path("/proc/locks").read_text().splitlines()
    return [line for line in lines if line.split()[5].rpartition(":")[2] in inodes]


@pytest.mark.measured
def test_ctrl_c_drains_and_leaves_no_process_socket_or_lock_behind(
    start_jobd: StartJobd, terminal: Terminal
):
    jobd = start_embedded(start_jobd, terminal)
    (store,) = jobd.children("store")
    with contextlib.closing(servers.connect(places.embedded_url(jobd.directory))) as raw:
        wire.push(raw, "Hold", "a")
        eventually(lambda: jobd.ran("start"), message=terminal.text)
        waiting = wire.push(raw, "Echo")

    terminal.press(CTRL_C)
    eventually(lambda: "stopping" in terminal.text(), message=terminal.text)
    jobd.release("a")

    assert jobd.wait() == 0, terminal.text()
    assert len(jobd.ran()) == 1
    assert jobd.orphans() == []
    assert not psutil.pid_exists(store.pid)
    assert sockets(jobd.directory) == []
    assert locks_of(jobd.directory) == []
    jobd.start().wait_ready()
    eventually(lambda: len(jobd.ran()) == 2, message=terminal.text)
    assert jobd.ran()[-1]["jid"] == waiting


def test_second_ctrl_c_gives_the_job_back_at_once(start_jobd: StartJobd, terminal: Terminal):
    jobd = start_embedded(start_jobd, terminal)
    with contextlib.closing(servers.connect(places.embedded_url(jobd.directory))) as raw:
        wire.push(raw, "Hold", "a")
    eventually(lambda: jobd.ran("start"), message=terminal.text)

    terminal.press(CTRL_C)
    eventually(lambda: "stopping" in terminal.text(), message=terminal.text)
    terminal.press(CTRL_C)

    assert jobd.wait() == 0, terminal.text()
    assert jobd.ran() == []
    jobd.release("a")
    jobd.start().wait_ready()
    eventually(jobd.ran, message=terminal.text)


@pytest.mark.measured
def test_second_server_of_a_directory_leaves_the_first_one_in_peace(
    start_jobd: StartJobd, terminal: Terminal
):
    jobd = start_embedded(start_jobd, terminal)
    (store,) = jobd.children("store")

    second = subprocess.run(
        [*NOTHING_SET, *COMMAND],
        cwd=jobd.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert second.returncode == os.EX_CANTCREAT
    assert "another jobd already uses the private store" in second.stdout
    assert f", with pid {jobd.pid}: stop it" in second.stdout
    assert jobd.children("store") == [store]
    assert jobd.stop() == 0


def test_a_program_in_the_same_directory_pushes_to_it_with_nothing_set(
    start_jobd: StartJobd, terminal: Terminal
):
    jobd = start_embedded(start_jobd, terminal)
    program = "import jobd; print(jobd.push({'class': 'Echo', 'args': ['hello']}))"

    jid = subprocess.check_output(
        [*NOTHING_SET, sys.executable, "-c", program], cwd=jobd.directory, text=True, timeout=60
    ).strip()

    (job,) = eventually(jobd.ran, message=terminal.text)
    assert job["jid"] == jid


def test_boot_lines_tell_what_runs_and_end_with_a_job_to_try(
    start_jobd: StartJobd, terminal: Terminal
):
    start_embedded(start_jobd, terminal)

    eventually(lambda: "jobctl push Echo" in terminal.text(), message=terminal.text)

    text = terminal.text()
    assert "background jobs" in text
    assert "private, started and stopped with this jobd" in text
    assert "1 process" in text
    assert "push Echo" in text.splitlines()[-1]
