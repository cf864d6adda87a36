"""``concurrency: auto``: what the cgroup of a process allows it.

The trees are made by hand, with the files as the kernel writes them: on most machines that run
these tests, CPUs are the business of cgroups of version 1, or of somebody else.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from jobd.config import Flags, load
from jobd.config.capacity import WORKER_BYTES, Room, room
from tests.config.settled import Load

Tree = Callable[..., Path]

MOUNTS = """\
22 1 259:1 / / rw,relatime - ext4 /dev/root rw
29 22 0:26 {mounted_from} {mount_point} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A root with a cgroup in it, and limits by the file they stand in."""

    def make(
        limits: Mapping[str, str],
        *,
        own: str = "0::/",
        mounted_from: str = "/",
        mount_point: str = "/sys/fs/cgroup",
    ) -> Path:
        files = {
            "proc/self/cgroup": f"5:cpu:/\n{own}\n",
            "proc/self/mountinfo": MOUNTS.format(
                mounted_from=mounted_from, mount_point=mount_point
            ),
        } | {f"sys/fs/cgroup/{name}": f"{text}\n" for name, text in limits.items()}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


def test_without_limits_there_is_a_worker_for_each_cpu(tree: Tree, tmp_path: Path):
    assert room(root=tree({"cpu.max": "max 100000", "memory.max": "max"}), cpus=6) == (6, "6 CPUs")
    assert room(root=tmp_path / "nothing", cpus=1) == (1, "1 CPU")


@pytest.mark.parametrize(
    ("cpu_max", "workers", "reason"),
    [
        ("200000 100000", 2, "cpu.max is 2 CPUs of 8"),
        ("50000 100000", 1, "cpu.max is 0.5 CPUs of 8"),
        ("250000 100000", 3, "cpu.max is 2.5 CPUs of 8"),
        ("750000 100000", 8, "8 CPUs"),
        ("nonsense", 8, "8 CPUs"),
    ],
)
def test_cpu_max_counts_and_part_of_a_cpu_as_a_whole_one(
    tree: Tree, cpu_max: str, workers: int, reason: str
):
    assert room(root=tree({"cpu.max": cpu_max}), cpus=8) == Room(workers, reason)


@pytest.mark.parametrize("own", ["0::/jobd.slice/jobd.service", "0::/jobd.slice"])
def test_the_narrowest_limit_of_all_groups_above_holds(tree: Tree, own: str):
    limits = {
        "jobd.slice/cpu.max": "100000 100000",
        "jobd.slice/jobd.service/cpu.max": "400000 100000",
        "other.slice/cpu.max": "1000 100000",
    }
    assert room(root=tree(limits, own=own), cpus=8).workers == 1


def test_a_container_sees_its_own_part_of_the_tree(tree: Tree):
    root = tree({"cpu.max": "300000 100000"}, own="0::/pod/box", mounted_from="/pod/box")
    assert room(root=root, cpus=8).workers == 3
    root = tree({"cpu.max": "300000 100000"}, own="0::/../outside")
    assert room(root=root, cpus=8).workers == 3


@pytest.mark.parametrize(
    ("memory_max", "worker_bytes", "workers"),
    [
        (4 * WORKER_BYTES, None, 4),
        (4 * WORKER_BYTES - 1, None, 3),
        (1_000_000, None, 1),
        (1_000_000_000, 200_000_000, 5),
        (64 * WORKER_BYTES, None, 8),
    ],
)
def test_memory_max_has_to_have_room_for_them(
    tree: Tree, memory_max: int, worker_bytes: int | None, workers: int
):
    found = room(worker_bytes, root=tree({"memory.max": str(memory_max)}), cpus=8)
    assert found.workers == workers
    assert found.reason.startswith("memory.max is " if workers < 8 else "8 CPUs")


def test_cgroups_of_version_1_alone_are_not_read(tree: Tree):
    assert room(root=tree({"cpu.max": "100000 100000"}, own="3:cpu:/a"), cpus=8).workers == 8


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_auto_is_settled_for_this_process_and_its_affinity(settle: Load):
    all_cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_cpus)})
    try:
        config = settle("concurrency: auto")
    finally:
        os.sched_setaffinity(0, all_cpus)
    assert config.concurrency == config.worker_count == 1
    assert config.concurrency_is
    assert load(Flags(concurrency="auto"), {}).concurrency == room().workers
    assert settle("concurrency: 3").concurrency_is == ""
    assert settle("capsules: {default: {concurrency: auto, queues: [a]}}").concurrency_is
