"""Where a child leaves the stacks of its threads: memory of its own, which the master reads.

Python's faulthandler writes them from C, so they come also from a job that keeps the GIL, or that
ended in a segmentation fault. It writes them in small pieces: on the log itself the pieces of
several children, and other lines, would mingle.

Source: faulthandler of the standard library; memfd_create(2).
"""

import contextlib
import faulthandler
import fcntl
import os
import signal
from typing import Final

_LONGEST_BYTES: Final = 1_000_000


class Stacks:
    """What one child has left; made before its fork."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("jobd-stacks", os.MFD_CLOEXEC)
        # Both sides share one offset, and the master empties the file.
        fcntl.fcntl(self._fd, fcntl.F_SETFL, os.O_APPEND)
        self._size = 0

    def fileno(self) -> int:
        """Of the file, for a child that somebody else forks."""
        return self._fd

    def offer(self) -> None:
        """In the child: write all stacks here on TTIN, and when the process crashes."""
        faulthandler.register(signal.SIGTTIN, file=self._fd, all_threads=True, chain=False)
        faulthandler.enable(file=self._fd, all_threads=True)

    def take(self, *, is_complete: bool = False) -> str:
        """In the master: what has been written, and no longer grows.

        Args:
            is_complete: the child is dead.
        """
        size = os.fstat(self._fd).st_size
        is_growing, self._size = size != self._size, size
        if size == 0 or (is_growing and not is_complete):
            return ""
        text = os.pread(self._fd, _LONGEST_BYTES, 0).decode(errors="replace").rstrip()
        os.ftruncate(self._fd, 0)
        self._size = 0
        return text

    def close(self) -> None:
        """Let go of it; twice is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)
