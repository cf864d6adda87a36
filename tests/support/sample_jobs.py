"""The jobs of a jobd under test, which write down what they did in ``ran.jsonl``.

A file and not Redis, so that they can be watched when Redis is the thing that is broken. Read
it with ``JobdProcess.ran()``.
"""

import ctypes
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from jobd import Job, job

# The directory of the instance, though a job may go to another.
RECORD = Path("ran.jsonl").absolute()
_POLL_S = 0.005


def record(event: str, name: str, jid: str | None, args: list[Any]) -> None:
    """Append one line in one write(2), so that the lines of many processes stay whole."""
    line = {
        "event": event,
        "class": name,
        "jid": jid,
        "args": args,
        "pid": os.getpid(),
        "at_ms": time.time_ns() // 1_000_000,
    }
    fd = os.open(RECORD, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, json.dumps(line).encode() + b"\n")
    os.close(fd)


class Echo(Job):
    """Writes its arguments down."""

    def perform(self, *args: Any) -> None:
        record("done", "Echo", self.jid, list(args))


class Nap(Job):
    """Takes a while."""

    def perform(self, seconds: float) -> None:
        record("start", "Nap", self.jid, [seconds])
        time.sleep(seconds)
        record("done", "Nap", self.jid, [seconds])


class Hold(Job):
    """Runs until the test says ``JobdProcess.release(name)``."""

    def perform(self, name: str) -> None:
        record("start", "Hold", self.jid, [name])
        while not Path(f"released-{name}").exists():
            time.sleep(_POLL_S)
        record("done", "Hold", self.jid, [name])


class Spin(Job):
    """Holds the interpreter busy until released, without a system call that waits."""

    def perform(self, name: str) -> None:
        record("start", "Spin", self.jid, [name])
        while not Path(f"released-{name}").exists():
            sum(range(1_000))
        record("done", "Spin", self.jid, [name])


class Fail(Job):
    """Raises RuntimeError with the message."""

    def perform(self, message: str = "as told") -> None:
        record("start", "Fail", self.jid, [message])
        raise RuntimeError(message)


class Die(Job):
    """Takes its worker with it: ``exit``, ``kill`` or ``segfault``."""

    def perform(self, how: str) -> None:
        record("start", "Die", self.jid, [how])
        if how == "exit":
            os._exit(3)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        ctypes.string_at(0)


class Print(Job):
    """Prints."""

    def perform(self, text: str) -> None:
        print(text)  # noqa: T201 - what this job is for


@job(queue="low")
def add(x: int, y: int) -> None:
    """Write the sum down."""
    record("done", "add", None, [x + y])
