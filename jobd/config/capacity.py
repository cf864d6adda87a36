"""How many workers a machine, or a container on it, has room for: ``concurrency: auto``.

One for each CPU that this process may use: those of its affinity (taskset, cpuset), or fewer where
``cpu.max`` of its cgroup, or of one above, allows less time. Part of a CPU counts as a whole one.
Fewer again where a ``memory.max`` has no room for so many. Jobs that wait more than they compute
want more workers, or threads: no limit tells of that.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst and proc_pid_mountinfo(5). Version 1
of cgroups is not read.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

WORKER_BYTES: Final = 128_000_000
"""What a worker is given where nobody has set ``worker.max_memory``."""


class Room(NamedTuple):
    """How many workers, and why, for the boot log."""

    workers: int
    reason: str


def room(
    worker_bytes: int | None = None, *, root: Path = Path("/"), cpus: int | None = None
) -> Room:
    """Find out for this process.

    Args:
        worker_bytes: what one worker may take.
        root: of the file system, where ``proc`` is.
        cpus: of its affinity, if that is known.
    """
    cpus = cpus or _affinity()
    found = Room(cpus, _plural(cpus, "CPU"))
    groups = list(_groups(root))
    quota = min((_cpu_max(group) for group in groups), default=math.inf)
    if quota <= cpus - 1:
        found = Room(math.ceil(quota), f"cpu.max is {_plural(quota, 'CPU')} of {cpus}")
    memory = min((_memory_max(group) for group in groups), default=math.inf)
    each = worker_bytes or WORKER_BYTES
    if memory < found.workers * each:
        fits = max(1, int(memory // each))
        megabytes = f"{memory / 1e6:.0f} MB for workers of {each / 1e6:.0f} MB"
        found = Room(fits, f"memory.max is {megabytes}")
    return found


def _affinity() -> int:
    # Elsewhere than on Linux it is only for jobctl, which reads the same file.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _groups(root: Path) -> Iterator[Path]:
    """The directories of this process's cgroup and of all above it, as far as they are seen."""
    try:
        path = _own_group(root)
        mounted_from, mount_point = _mount(root)
    except (OSError, LookupError):  # no cgroups here, or of version 1 alone
        return
    top = root / mount_point.lstrip("/")
    # A container may see a part of the tree, at whose top it then is.
    below = path.removeprefix(mounted_from).strip("/") if path.startswith(mounted_from) else ""
    group = top / below
    yield group
    while group != top:
        group = group.parent
        yield group


def _own_group(root: Path) -> str:
    lines = (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        if line.startswith("0::"):
            return line[3:]
    raise LookupError("it is in no cgroup of version 2")


def _mount(root: Path) -> tuple[str, str]:
    """From where in the tree of all cgroups, and to which directory."""
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            mounted_from, mount_point = fields.split()[3:5]
            return mounted_from, mount_point
    raise LookupError("no tree of version 2 is mounted")


def _cpu_max(group: Path) -> float:
    """In CPUs; infinity where none is set."""
    quota, _, period = _read(group / "cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else math.inf


def _memory_max(group: Path) -> float:
    """In bytes; infinity where none is set."""
    limit = _read(group / "memory.max")
    return int(limit) if limit.isdecimal() else math.inf


def _read(file: Path) -> str:
    """The top of the tree has no such file, nor has a group without that controller."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _plural(number: float, noun: str) -> str:
    return f"{number:g} {noun}" if number == 1 else f"{number:g} {noun}s"
