"""A master with toy children (tests/toy_master.py), started and signalled from outside."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import leash
from tests.support.eventually import PATIENCE_S, eventually

ROOT = Path(__file__).parents[2]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Instance:
    """A master with toy children, started in a directory of its own."""

    def __init__(self, directory: Path, prefix: tuple[str, ...] = (), **options: object) -> None:
        self.directory = directory
        self.log_path = directory / f"{len(list(directory.iterdir()))}.log"
        python = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.toy_master")
        self.command = [*prefix, *python, json.dumps(options)]
        with self.log_path.open("wb") as output:
            self.process = leash.start(self.command, cwd=directory, output=output)
        self.seen: set[int] = {self.process.pid}

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def count(self, text: str) -> int:
        return self.log.count(text)

    def sees(self, text: str, times: int = 1) -> None:
        eventually(lambda: self.count(text) >= times, message=lambda: f"{text!r} in:\n{self.log}")

    def until_ready(self, workers: int = 2) -> "Instance":
        self.sees('msg="toy ready"', workers + 1)
        self.children()
        return self

    def children(self) -> dict[str, int]:
        """Pids by what the children call themselves: ``poller``, ``worker 1``."""
        named: dict[str, int] = {}
        for child in psutil.Process(self.process.pid).children():
            self.seen.add(child.pid)
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                title = child.cmdline()[0]
                if title.startswith("jobd: "):
                    named[title.removeprefix("jobd: ").removesuffix(" [booting]")] = child.pid
        return named

    def title(self) -> str:
        return psutil.Process(self.process.pid).cmdline()[0]

    def kill(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit status; fails if anybody of the family has stayed behind."""
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the master does not leave:\n{self.log}")
        eventually(lambda: not any(map(is_alive, self.seen)), message=self.log)
        return status

    def term(self) -> int:
        self.kill(signal.SIGTERM)
        return self.wait()


Start = Callable[..., Instance]


@contextlib.contextmanager
def starting(directory: Path) -> Iterator[Start]:
    """Starts instances, and ends what a failed test has left of them."""
    started: list[Instance] = []

    def begin(*prefix: str, **options: object) -> Instance:
        started.append(Instance(directory, prefix, **options))
        return started[-1]

    yield begin
    for instance in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(instance.process.pid).children(recursive=True)
            leash.kill([*family, psutil.Process(instance.process.pid)])
        instance.process.wait()
