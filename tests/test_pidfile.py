"""The pid file as a lock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobd.supervisor.pidfile import CannotLock, PidFile

HOLDER = """
import sys
from pathlib import Path
from jobd.supervisor.pidfile import PidFile
file = PidFile(Path(sys.argv[1]))
file.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """A process that holds the file until its stdin is closed, and does not remove it."""
    root = str(Path(__file__).parent.parent)
    command = ["env", f"PYTHONPATH={root}", sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_it_holds_the_pid_and_is_removed_at_the_end(tmp_path: Path) -> None:
    file = PidFile(tmp_path / "jobd.pid")
    file.acquire()
    assert file.path.read_text() == f"{os.getpid()}\n"
    assert file.path.stat().st_mode & 0o777 == 0o644
    file.release()
    file.release()
    assert not file.path.exists()


def test_a_file_that_another_process_holds_is_refused_by_name_and_pid(tmp_path: Path) -> None:
    path = tmp_path / "jobd.pid"
    with holder(path) as other:
        # Its pid, for `env` has become the Python that holds the file.
        with pytest.raises(CannotLock, match=f"{path}: another jobd .* pid {other.pid};"):
            PidFile(path).acquire()
        assert path.read_text() == f"{other.pid}\n"


def test_a_file_that_a_dead_process_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "jobd.pid"
    with holder(path) as other:
        other.kill()
    path.write_text(path.read_text() + "something longer than a pid\n")
    file = PidFile(path)
    file.acquire()
    assert path.read_text() == f"{os.getpid()}\n"
    file.release()


def test_an_orphan_that_inherited_it_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "jobd.pid"
    with holder(path) as other:
        inherited = os.open(path, os.O_RDWR)  # as a forked child would have it
        other.kill()
    file = PidFile(path)
    file.acquire()
    os.close(inherited)
    file.release()


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory", "nowhere"])
def test_what_is_no_plain_file_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "jobd.pid", tmp_path / "target"
    target.write_text("precious")
    match kind:
        case "symlink":
            path.symlink_to(target)
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case _:
            path = tmp_path / "missing" / "jobd.pid"
    file = PidFile(path)
    with pytest.raises(CannotLock, match=r"-P"):
        file.acquire()
    file.release()
    assert target.read_text() == "precious"
    assert kind == "nowhere" or os.path.lexists(path)
