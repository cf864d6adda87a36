"""Control groups of our own, where the kernel lets us make some."""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.eventually import eventually

MEMORY = Path("/sys/fs/cgroup/memory")
PIDS = Path("/sys/fs/cgroup/pids")


@contextlib.contextmanager
def group(controller: Path, **limits: int) -> Generator[Path]:
    """A control group of our own with these limits; skips where none may be made."""
    folder = controller / f"jobd-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"needs a control group of its own: {error}")
    try:
        for name, limit in limits.items():
            (folder / name.replace("__", ".")).write_text(str(limit))
        yield folder
    finally:
        eventually(lambda: folder.rmdir() or True)
