"""Processes that cannot outlive the tests.

Every process that a test starts is started here, dies with the process that started it
(PR_SET_PDEATHSIG, see prctl(2)), and is only ever signalled by its pid.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

import psutil
import pytest

_PR_SET_CHILD_SUBREAPER = 36

# Not preexec_fn: it forks in Python, which warns since 3.12 when there are threads.
# A parent that died before prctl() is noticed by its pid. A shell that starts the tests in the
# background has them ignore Ctrl-C, and exec() would hand that on.
_LEASH = """
import ctypes, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def start(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that is killed when this one dies.

    Args:
        command: looked up on the PATH.
        cwd: its working directory.
        env: the whole environment; ours, if None.
        output: where its stdout and stderr go.
    """
    shim = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid())]
    return subprocess.Popen(
        [*shim, *command],
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent dies, so that none can hide.

    Without it they would go to process 1, and nobody could tell whose they were.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def orphans(directory: Path, known: Collection[int] = ()) -> list[psutil.Process]:
    """Adopted processes that live, and work in the directory or below.

    Args:
        directory: where the tests had the family started.
        known: pids that were seen in the family; the dead among them are reaped.
    """
    children = psutil.Process().children()
    for child in children:
        if child.pid in known and _is_zombie(child):
            with contextlib.suppress(ChildProcessError):  # its Popen was quicker
                os.waitpid(child.pid, os.WNOHANG)
    return [child for child in children if _works_in(child, directory)]


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _works_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return not _is_zombie(process) and Path(process.cwd()).is_relative_to(directory)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet reaped does not."""
    try:
        return not _is_zombie(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def kill(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL each, by its pid, unless that pid belongs to another process by now."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it was quicker
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=10)


def missing(what: str, package: str) -> NoReturn:
    """Skip a test that needs a program which is not there; on CI that is a failure.

    Args:
        what: the program.
        package: of Debian, which has it.
    """
    text = f"needs {what}: apt-get install {package}"
    if "CI" in os.environ:
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def needs(program: str, package: str) -> str:
    """Path of a program, or `missing`."""
    return shutil.which(program) or missing(program, package)
