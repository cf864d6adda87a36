"""How the main thread of a worker learns that one of its other threads has ended."""

import contextlib
import os


class Departures:
    """Readable when a thread has ended since the last `take`."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """To wait on."""
        return self._fd

    def add(self) -> None:
        """One has."""
        os.eventfd_write(self._fd, 1)

    def take(self) -> None:
        """It is seen."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)
