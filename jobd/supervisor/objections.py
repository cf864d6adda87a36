"""What a process holds that a fork would break: threads, and connections to others.

A fork copies only the thread that asks for it; the locks that other threads hold stay locked in the
copy for ever. A connection would be shared, and two processes read each other's answers.

Source: fork(2), proc(5).
"""

import contextlib
import os
import socket
import stat
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_TASKS: Final = Path("/proc/self/task")
_FDS: Final = Path("/proc/self/fd")
# What a thread that was joined needs to be gone for the kernel, too, on a busy machine.
_ENDS_WITHIN_S: Final = 0.3


def open_fds() -> frozenset[int]:
    """The descriptors of this process."""
    listed = [int(entry) for entry in os.listdir(_FDS)]  # noqa: PTH208 - only the names
    return frozenset(filter(_is_open, listed))  # but for the one that the list was read from


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def objections(known: frozenset[int]) -> list[str]:
    """Why this process should not be forked; nothing if it may be.

    Args:
        known: descriptors that were open before, and are no objection.
    """
    return [*_threads(), *_connections(open_fds() - known)]


def _threads() -> list[str]:
    others = _other_tasks()
    if others and threading.active_count() == 1:
        # Libraries that know of forks (OpenBLAS below numpy) end their threads before one, and
        # start them again when they are needed: so the threads that count are those left after it.
        _fork_once()
        others = _other_tasks()
    given_up_at = time.monotonic() + _ENDS_WITHIN_S
    while _has_nameless(others) and time.monotonic() < given_up_at:
        time.sleep(0.001)
        others = _other_tasks()
    named = {thread.native_id: thread.name for thread in threading.enumerate()}
    return [
        f"the thread {named[task]}" if task in named else "a thread of a library in C"
        for task in others
    ]


def _has_nameless(tasks: Sequence[int]) -> bool:
    """Whether there is one that Python does not know, or knows no longer: it has been joined."""
    return not set(tasks) <= {thread.native_id for thread in threading.enumerate()}


def _other_tasks() -> list[int]:
    return sorted({int(entry.name) for entry in _TASKS.iterdir()} - {threading.get_native_id()})


def _fork_once() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _connections(fds: frozenset[int]) -> list[str]:
    found = [_peer(fd) for fd in sorted(fds)]
    return [f"the connection to {peer}" for peer in found if peer]


def _peer(fd: int) -> str:
    """Whom a stream socket is connected to; empty if it is none.

    Datagrams have no order that two senders could break, and an unnamed end is a pair's.
    """
    with contextlib.suppress(OSError):  # closed meanwhile, or not connected
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return ""
        with socket.socket(fileno=os.dup(fd)) as copy:
            if copy.type == socket.SOCK_STREAM:
                peer: tuple[object, ...] | str | bytes = copy.getpeername()
                return _name(peer)
    return ""


def _name(peer: tuple[object, ...] | str | bytes) -> str:
    if isinstance(peer, tuple):
        return f"{peer[0]}:{peer[1]}"
    return peer if isinstance(peer, str) else peer.decode(errors="replace")
