"""Where sides are measured: one server, and processes that leave when the measurement is over.

A side's processes share a directory: its files, its log, the counts of finished jobs, and the
waits that jobs noted.
"""

import contextlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.bench.environments import Environments, Unavailable
from tests.bench.figures import Sample
from tests.bench.side import Deployment, Side
from tests.bench.sides import APPS
from tests.support import leash, servers

LOOK_S = 0.004
REPOSITORY = Path(__file__).parents[2]


class Failed(Exception):
    """A measurement came to nothing; with what the side printed last."""


class Running:
    """The started processes of one side."""

    def __init__(
        self, directory: Path, processes: list[subprocess.Popen[bytes]], patience_s: float
    ) -> None:
        self.directory = directory
        self._patience_s = patience_s
        self._processes = processes
        self._files: dict[str, int] = {}

    def counts(self) -> dict[int, int]:
        """Finished jobs by the pid of who ran them."""
        with os.scandir(self.directory / "counts") as entries:
            for entry in entries:
                if entry.name not in self._files:
                    self._files[entry.name] = os.open(entry.path, os.O_RDONLY)
        return {int(name): _number(fd) for name, fd in self._files.items()}

    def count(self) -> int:
        """Finished jobs."""
        return sum(self.counts().values())

    def waits(self) -> list[float]:
        """Seconds that the jobs which note it waited."""
        files = (self.directory / "waits").iterdir()
        return [float(line) for file in files for line in file.read_text().split()]

    def until(self, is_over: Callable[[int], bool]) -> list[Sample]:
        """Look at the count every few milliseconds until the question is answered with yes.

        Raises:
            Failed: no job was finished for too long, or a process has left.
        """
        samples = [Sample(time.monotonic(), self.count())]
        changed_s = samples[0].at_s
        while not is_over(samples[-1].jobs):
            time.sleep(LOOK_S)
            sample = Sample(time.monotonic(), self.count())
            if sample.jobs > samples[-1].jobs:
                changed_s = sample.at_s
            samples.append(sample)
            if sample.at_s > changed_s + self._patience_s:
                raise Failed(f"{sample.jobs} jobs, then no more\n{self.log()}")
            if any(process.poll() is not None for process in self._processes):
                raise Failed(f"a process has left\n{self.log()}")
        return samples

    def family(self) -> list[psutil.Process]:
        """All processes of this side."""
        found = [psutil.Process(process.pid) for process in self._processes]
        return found + [child for parent in found for child in parent.children(recursive=True)]

    def log(self) -> str:
        """The last lines that the processes printed."""
        lines = (self.directory / "output.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def close(self) -> None:
        """Kill each process by its pid, those that their parent left behind too."""
        with contextlib.suppress(psutil.NoSuchProcess):
            leash.kill(self.family())
        for process in self._processes:
            process.kill()
            process.wait()
        leash.kill(leash.orphans(self.directory))
        for fd in self._files.values():
            os.close(fd)


class Stage:
    """One server and the ways to start and feed sides.

    Args:
        server: started, and nobody else's.
        environments: of the peers.
        patience_s: how long a side may go without finishing a job that is waited for.
    """

    def __init__(
        self, server: servers.Server, environments: Environments, patience_s: float
    ) -> None:
        self._patience_s = patience_s
        self.server = server
        self.client = servers.connect(server.url())
        self._environments = environments

    def programs(self, side: Side) -> Path:
        """The folder of a side's programs.

        Raises:
            Unavailable: they are not installed and cannot be.
        """
        if side.section:
            return self._environments.programs(side.section)
        if side.kind == "sidekiq" and shutil.which("sidekiq") is None:
            raise Unavailable("no sidekiq on the PATH: apt-get install ruby-sidekiq")
        return Path(sys.executable).parent

    def reset(self) -> None:
        """Empty the server, and its counters."""
        self.server.reset()
        self.client = servers.connect(self.server.url())
        self.client.config_resetstat()

    @contextlib.contextmanager
    def running(self, side: Side, deployment: Deployment) -> Generator[Running, None, None]:
        """Start a side; its processes have ended at the end of the block."""
        programs = self.programs(side)
        with self._directory() as directory:
            for name, text in side.files(deployment).items():
                (directory / name).write_text(text)
            processes: list[subprocess.Popen[bytes]] = []
            running = Running(directory, processes, self._patience_s)
            try:
                commands = side.command(programs, deployment) * deployment.instances
                # One by one, so that those before one that fails are known and ended.
                processes.extend(self._start(side, deployment, c, directory) for c in commands)
                yield running
            finally:
                running.close()

    def fill(self, side: Side, deployment: Deployment, job: str, count: int) -> None:
        """Queue so many jobs."""
        self.push(side, deployment, "fill", app=side.filler, job=job, count=count)

    def push(
        self,
        side: Side,
        deployment: Deployment,
        command: str,
        *,
        app: str | None = None,
        core: int | None = None,
        **options: Any,
    ) -> Mapping[str, float]:
        """Run a command of a side's client to its end.

        Args:
            side: whose client.
            deployment: for the names of the queues.
            command: of ``apps/bench_client.py``.
            app: another module to push with.
            core: which the client may use; any, if None.
            options: of the command.

        Raises:
            Failed: with what it printed.
        """
        words = _client_command(self.programs(side), app or side.app, command, options)
        with self._directory() as directory:
            process = self._start(side, deployment, words, directory)
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            try:
                status = process.wait(10 * self._patience_s)
            except subprocess.TimeoutExpired as err:
                raise Failed(f"{' '.join(words[:4])} did not end") from err
            finally:
                process.kill()
                process.wait()
            printed = (directory / "output.log").read_text(errors="replace")
            if status != 0:
                raise Failed(f"{' '.join(words[:4])} ended with {status}\n{printed[-1500:]}")
            answer: Mapping[str, float] = json.loads(printed.splitlines()[-1])
            return answer

    @contextlib.contextmanager
    def _directory(self) -> Generator[Path, None, None]:
        with tempfile.TemporaryDirectory(prefix="jobd-bench-") as name:
            for folder in ("counts", "waits"):
                (Path(name) / folder).mkdir()
            yield Path(name)

    def _start(
        self, side: Side, deployment: Deployment, command: list[str], directory: Path
    ) -> subprocess.Popen[bytes]:
        env = {
            **os.environ,
            **dict.fromkeys(("BENCH_REDIS_URL", "REDIS_URL", "RQ_REDIS_URL"), self.server.url()),
            "BENCH_DIRECTORY": str(directory),
            "BENCH_QUEUES": str(deployment.queues),
            "PYTHONPATH": os.pathsep.join(map(str, _import_path(side))),
            **side.env,
        }
        with (directory / "output.log").open("ab") as output:
            return leash.start(command, cwd=directory, env=env, output=output)


def _import_path(side: Side) -> list[Path]:
    return [APPS] if side.section else [APPS, REPOSITORY]


def _client_command(
    programs: Path, app: str, command: str, options: Mapping[str, Any]
) -> list[str]:
    if app == "sidekiq":
        return ["ruby", str(APPS / "sidekiq_client.rb"), command, json.dumps(options)]
    python = str(programs / "python")
    return [python, str(APPS / "bench_client.py"), app, command, json.dumps(options)]


def _number(fd: int) -> int:
    raw = os.pread(fd, 8, 0)
    return struct.unpack("q", raw)[0] if len(raw) == 8 else 0
