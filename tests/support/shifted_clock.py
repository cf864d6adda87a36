"""A server whose clock on the wall can be set, while ours and all that is monotonic go on."""

import contextlib
import struct
import subprocess
from collections.abc import Generator
from pathlib import Path

from tests.support import leash
from tests.support.servers import Kind, Server

_SOURCE = Path(__file__).with_name("shifted_clock.c")


class ShiftedServer(Server):
    """A server with `set_clock`.

    Args:
        kind: which implementation.
        directory: for the library that is preloaded, and how far the clock is ahead.
    """

    def __init__(self, kind: Kind, directory: Path) -> None:
        library, self._shift = directory / "shifted_clock.so", directory / "shift"
        compiler = leash.needs("cc", "gcc")
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE)]
        subprocess.run(command, check=True)
        self.set_clock(0)
        env = {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(self._shift)}
        super().__init__(kind, aof=True, env=env)

    def set_clock(self, ahead_s: int) -> None:
        """Have its clock be so many seconds ahead of ours from now on."""
        # Not write_bytes(): a file that is truncated for a moment would kill who has mapped it.
        self._shift.touch()
        with self._shift.open("r+b") as file:
            file.write(struct.pack("q", ahead_s))


@contextlib.contextmanager
def running(kind: Kind, directory: Path) -> Generator[ShiftedServer]:
    """Such a server for a test."""
    server = ShiftedServer(kind, directory)
    try:
        server.start()
        yield server
    finally:
        server.close()
