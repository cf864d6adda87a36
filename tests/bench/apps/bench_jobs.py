"""The jobs that every Python side runs, and how they are counted.

Each process counts the jobs that it has finished in eight bytes of a file of its own, mapped into
memory: no system call and no traffic, about 60 ns a job, and the same for every side. The
benchmark adds the files up. This module runs inside the peers' environments, so it may import the
standard library only; what it imports beyond its needs stands in for a small application.
"""

import asyncio
import decimal  # noqa: F401
import email.message  # noqa: F401
import http.client  # noqa: F401
import logging  # noqa: F401
import mmap
import os
import sqlite3  # noqa: F401
import time
import uuid  # noqa: F401
import xml.dom.minidom  # noqa: F401
from pathlib import Path

URL = os.environ["BENCH_REDIS_URL"]
DIRECTORY = Path(os.environ["BENCH_DIRECTORY"])
QUEUES = [f"q{number}" for number in range(int(os.environ["BENCH_QUEUES"]))]
MILLISECOND_S = 0.001

_counter: memoryview | None = None


def _opened() -> memoryview:
    # Never "w": threads that begin together would truncate what the other has mapped (SIGBUS).
    with (DIRECTORY / "counts" / str(os.getpid())).open("a+b") as file:
        file.truncate(8)
        return memoryview(mmap.mmap(file.fileno(), 8)).cast("q")


def _forget() -> None:
    global _counter  # noqa: PLW0603
    _counter = None


# A forked worker must not count into its parent's file.
os.register_at_fork(after_in_child=_forget)


def tally() -> None:
    """Count one finished job.

    Threads of one process need no lock: CPython does not switch inside this statement.
    """
    global _counter  # noqa: PLW0603
    if _counter is None:
        _counter = _opened()
    _counter[0] += 1


def noop(number: int) -> None:
    """Do nothing."""
    tally()


def spin(number: int) -> None:
    """Use 1 ms of CPU, by the thread's own clock."""
    end = time.thread_time() + MILLISECOND_S
    while time.thread_time() < end:
        pass
    tally()


def nap(number: int) -> None:
    """Wait for 1 ms."""
    time.sleep(MILLISECOND_S)
    tally()


async def async_nap(number: int) -> None:
    """Wait for 1 ms and let other jobs run meanwhile."""
    await asyncio.sleep(MILLISECOND_S)
    tally()


def text(value: str) -> None:
    """Take a long argument."""
    tally()


def stamp(sent_s: float) -> None:
    """Write down how long ago this job was sent, in seconds of the monotonic clock."""
    waited_s = time.monotonic() - sent_s
    with (DIRECTORY / "waits" / str(os.getpid())).open("a") as file:
        file.write(f"{waited_s!r}\n")
    tally()


# Capitals, since Sidekiq takes the names for those of classes.
JOBS = {"Noop": noop, "Spin": spin, "Nap": nap, "Text": text, "Stamp": stamp}
ASYNC_JOBS = {**JOBS, "Nap": async_nap}
