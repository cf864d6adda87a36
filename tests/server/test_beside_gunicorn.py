"""The master beside gunicorn's, the best known one in Python, in the same trouble.

What gunicorn does is told at the end of the run and not asserted: it may be another version's.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from jobd.clock import SystemClock
from tests.conftest import FOR_THE_SUMMARY
from tests.support import leash, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import REPOSITORY, JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow, pytest.mark.long]

CLOCK = SystemClock()
TRIALS = 3
BOOTS_S = 10

# A child stops right after its fork, before a line of anybody's code, and goes on when told.
PAUSED_FORKS = """
import os, select
from pathlib import Path

PLACE = Path(os.environ["FORKS"])


def pause():
    (PLACE / f"forked-{os.getpid()}").touch()
    while (PLACE / "hold").exists() and not (PLACE / f"go-{os.getpid()}").exists():
        select.select((), (), (), 0.01)


os.register_at_fork(after_in_child=pause)
"""
SITE = """
import os

def app(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""
CRASHING_SITE = "def post_worker_init(worker):\n    import os\n    os._exit(1)\n"
CRASHING_JOBS = """
import os
import jobd

@jobd.configure_server
def server(config):
    config.on("startup")(lambda: os._exit(1))
"""


class Gunicorn:
    """One of it, on a Unix socket in a directory of its own."""

    def __init__(self, directory: Path, settings: str = "", *, workers: int = 1) -> None:
        directory.mkdir()
        self.directory = directory
        self.settings = f"bind = 'unix:{directory}/socket'\nworkers = {workers}\n{settings}"
        (directory / "site_.py").write_text(SITE)
        self.configure(self.settings)
        settled = [f"{name}={value}" for name, value in pausing(directory).items()]
        python = ["env", *settled, sys.executable]
        with (directory / "log").open("wb") as output:
            self.process: subprocess.Popen[bytes] = leash.start(
                [*python, "-m", "gunicorn", "-c", "conf.py", "site_:app"],
                cwd=directory,
                output=output,
            )

    def configure(self, text: str) -> None:
        (self.directory / "conf.py").write_text(text)

    def boots(self) -> int:
        return (self.directory / "log").read_text().count("Booting worker")

    def asked(self) -> int | None:
        """The pid of the worker that answers; None if nobody does."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.directory / "socket"))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            reply = b"".join(iter(lambda: client.recv(4096), b""))
            return int(reply.rpartition(b"\r\n")[2] or 0) or None
        return None

    def close(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            master = psutil.Process(self.process.pid)
            leash.kill([*master.children(recursive=True), master])
        self.process.wait()
        for pid in forked(self.directory):  # those of a master that has left before them
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).cwd() == str(self.directory):
                    leash.kill([psutil.Process(pid)])


def pausing(directory: Path) -> dict[str, str]:
    (directory / "sitecustomize.py").write_text(PAUSED_FORKS)
    return {"FORKS": str(directory), "PYTHONPATH": f"{directory}:{REPOSITORY}"}


def forked(directory: Path) -> set[int]:
    return {int(path.name.partition("-")[2]) for path in directory.glob("forked-*")}


def until(at_s: float) -> None:
    eventually(lambda: CLOCK.monotonic() >= at_s, timeout=60)


@pytest.fixture
def start_gunicorn(tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    with contextlib.ExitStack() as ends:

        def start(name: str, settings: str = "", *, workers: int = 1) -> Gunicorn:
            one = Gunicorn(tmp_path / name, settings, workers=workers)
            ends.callback(one.close)
            return one

        yield start


def term_in_the_fork_window(directory: Path, kill: Callable[[], object]) -> int:
    """Have somebody fork, and send TERM to the child before it runs any code; its pid."""
    before = forked(directory)
    (directory / "hold").touch()
    kill()
    (pid,) = eventually(lambda: forked(directory) - before, timeout=60)
    os.kill(pid, signal.SIGTERM)
    (directory / "hold").unlink()
    (directory / f"go-{pid}").touch()
    return pid


def lost_by_gunicorn(one: Gunicorn) -> int:
    lost = 0
    for _ in range(TRIALS):
        worker = eventually(one.asked, timeout=60)
        pid = term_in_the_fork_window(one.directory, lambda w=worker: os.kill(w, signal.SIGKILL))
        lost += eventually(one.asked, timeout=60) == pid  # it serves on
    return lost


def lost_by_jobd(jobd: JobdProcess) -> int:
    lost = 0
    for _ in range(TRIALS):
        pid = term_in_the_fork_window(
            jobd.directory, lambda: os.kill(jobd.worker().pid, signal.SIGKILL)
        )
        left = re.compile(f"left.* child={pid} status=")
        eventually(lambda p=pid, w=left: w.search(jobd.log()) or jobd.worker().pid == p)
        lost += left.search(jobd.log()) is None
        eventually(lambda: "idle" in jobd.worker().title, timeout=60)
    return lost


@pytest.mark.timeout(600)
def test_it_keeps_its_head_where_gunicorn_may_lose_it(
    raw: Raw,
    start_jobd: StartJobd,
    start_gunicorn: Callable[..., Gunicorn],
    tmp_path: Path,
    record_property: Callable[[str, str], None],
):
    directory = tmp_path / "jobd-1"
    directory.mkdir()
    config = {"concurrency": 1, "preload": False}
    jobd, gunicorn = start_jobd(config=config, env=pausing(directory)), start_gunicorn("first")
    theirs, ours = lost_by_gunicorn(gunicorn), lost_by_jobd(jobd)
    told = [f"TERM in the fork window: {theirs} of {TRIALS} lost by gunicorn, {ours} by jobd"]
    assert ours == 0

    gunicorn.configure('workers = ("broken"\n')
    gunicorn.process.send_signal(signal.SIGHUP)
    (jobd.directory / "jobd.yml").write_text('concurrency: ("broken"\n')
    jobd.signal(signal.SIGHUP)
    jobd.wait_for_log("reload refused")
    wire.push(raw, "Echo")
    eventually(jobd.ran, message=jobd.log)
    until(CLOCK.monotonic() + 3)
    has_left = gunicorn.process.poll() is not None
    told.append(f"HUP with a broken configuration: gunicorn {'left' if has_left else 'serves on'}")
    assert jobd.stop() == 0

    crashing = start_jobd(
        ready=False, config={"concurrency": 2, "preload": False}, jobs=CRASHING_JOBS
    )
    other = start_gunicorn("crashing", CRASHING_SITE, workers=2)
    eventually(lambda: other.boots() and "left" in crashing.log(), timeout=60)
    until(CLOCK.monotonic() + BOOTS_S)
    boots = crashing.log().count("worker 1 left") + crashing.log().count("worker 2 left")
    told.append(f"two workers that crash at boot: {other.boots()} and {boots} boots in {BOOTS_S} s")
    for line in told:
        record_property(FOR_THE_SUMMARY, f"beside gunicorn: {line}")
    assert crashing.returncode is None
    assert 2 * 2 <= boots <= 2 * 5  # at 0, 1, 3 and 7 s, or a fifth sooner
