"""The job that every Python system runs here; the peers' interpreters have no other module."""

import ctypes
import os
import time

URL = os.environ["FAULTS_REDIS_URL"]
RECORD = os.environ["FAULTS_RECORD"]


def note(letter: str, token: str) -> None:
    """One line, in one write(2), in a file that no fault touches."""
    fd = os.open(RECORD, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{letter} {token} {os.getpid()} {time.monotonic_ns()}\n".encode())
    os.close(fd)


def work(token: str, seconds: float, how: str) -> None:
    """Begin, take a while, and end; or crash."""
    note("S", token)
    if how == "segfault":
        ctypes.string_at(0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    note("F", token)
