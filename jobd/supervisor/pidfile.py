"""The pid file, which is also the lock: held by the master for as long as it lives.

Whether a file is stale is not a question here: the lock is free, or it is not. The pid inside is
for people and for ``kill $(cat jobd.pid)``; jobd itself never signals a pid that it read.

``lockf`` and not ``flock``: an orphaned worker that inherited the descriptor keeps a flock, but
not a lockf, which belongs to one process. Its trap: closing *any* descriptor of that file gives the
lock away, so the file is opened once.

Source: fcntl_locking(2), and the symlink races of pid files (CWE-59).
"""

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path

from jobd.errors import JobdError


class CannotLock(JobdError):
    """Another master runs, or the file cannot be made; exit status 73."""


class PidFile:
    """A file that one process at a time can hold.

    Args:
        path: of the file; its directory must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Lock the file and write our pid into it.

        Raises:
            CannotLock: naming the file, and the pid of the process that holds it.
        """
        try:
            while self._fd is None:
                self._fd = self._open_locked()
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            problem = f"pid file {self.path}: {error.strerror}; give another one with -P"
            raise CannotLock(problem) from error

    def release(self) -> None:
        """Remove the file and let go of the lock; twice is fine, as is a file already gone."""
        if self._fd is None:
            return
        # Removed while it is locked: afterwards it could be somebody else's.
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.forget()

    def forget(self) -> None:
        """Close our copy. In a forked child the lock stays with the master."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open_locked(self) -> int | None:
        """The descriptor; None if the file was removed while we took the lock."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self.path, flags, 0o644)
        try:
            opened = os.fstat(fd)
            self._refuse_device(opened)
            self._lock(fd)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(opened, self.path.lstat()):
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def _refuse_device(self, opened: os.stat_result) -> None:
        if not stat.S_ISREG(opened.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")

    def _lock(self, fd: int) -> None:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            pid = os.pread(fd, 20, 0).decode(errors="replace").strip() or "unknown"
            raise CannotLock(
                f"pid file {self.path}: another jobd runs already, with pid {pid}; "
                "stop it first, or give another file with -P"
            ) from error
