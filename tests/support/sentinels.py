"""A primary, a replica, and three sentinels that watch them, all of one kind."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support import leash, servers
from tests.support.eventually import eventually
from tests.support.servers import Kind, Raw, Server

NAME = "jobs"
PASSWORD = "s3cret/data"
_OWN_PASSWORD = "s3cret:own"
_DOWN_AFTER_MS = 500


class Watched:
    """The data nodes and their sentinels.

    Args:
        kind: of all of them.
        password: of the data nodes.
        settings: of the data nodes.

    Attributes:
        url: of the primary, as the sentinels know it.
    """

    def __init__(
        self, kind: Kind, *, password: str = PASSWORD, settings: tuple[str, ...] = ()
    ) -> None:
        self._password = password
        settings = ("--repl-diskless-sync-delay", "0", *settings)
        self.nodes = [Server(kind, aof=True, settings=settings) for _ in range(2)]
        self.directory = Path(tempfile.mkdtemp(prefix="jobd-test-sentinel-"))
        self.ports = [servers.free_port() for _ in range(3)]
        self._kind: Kind = kind
        self._processes: list[subprocess.Popen[bytes]] = []
        places = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        user = f":{password.replace('/', '%2F')}@" if password else ""
        own = _OWN_PASSWORD.replace(":", "%3A")
        self.url = f"redis+sentinel://{user}{places}/{NAME}/0?sentinel_password={own}"

    def start(self) -> None:
        """Start all; returns when the sentinels agree."""
        for node in self.nodes:
            node.start()
            with contextlib.closing(servers.connect(node.unix_url())) as raw:
                raw.config_set("masterauth", self._password)
                raw.config_set("requirepass", self._password)
        with self.connect(1) as replica:
            replica.replicaof("127.0.0.1", self.nodes[0].port)
            eventually(lambda: replica.info("replication")["master_link_status"] == "up")
        for port in self.ports:
            self._processes.append(self._watch(port))
        eventually(self._agree)

    def connect(self, node: int) -> contextlib.closing[Raw]:
        """A client of one of the nodes."""
        url, password = self.nodes[node].unix_url(), self._password or None
        return contextlib.closing(servers.connect(url, password=password))

    def primary(self) -> Server:
        """The node that the sentinels name now."""
        with self._sentinel(self.ports[0]) as sentinel:
            port = int(sentinel.sentinel_get_master_addr_by_name(NAME)[1])
        return next(node for node in self.nodes if node.port == port)

    def fail_over(self) -> Server:
        """Kill the primary, and wait until the sentinels name the other; returns the dead one."""
        dead = self.primary()
        dead.kill9()
        eventually(lambda: self.primary() is not dead, timeout=60)
        return dead

    def rejoin(self, node: Server) -> None:
        """Start a dead node as the replica of the other."""
        node.start()
        with contextlib.closing(servers.connect(node.unix_url())) as replica:
            replica.replicaof("127.0.0.1", self.primary().port)
            eventually(lambda: replica.info("replication")["master_link_status"] == "up", 60)

    def replicated(self) -> None:
        """Wait until the replica has what the primary has."""
        with self.connect(0) as primary:
            assert primary.execute_command("WAIT", 1, 10_000) == 1

    def close(self) -> None:
        """End all."""
        for process in self._processes:
            process.kill()
            process.wait()
        for node in self.nodes:
            node.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _watch(self, port: int) -> subprocess.Popen[bytes]:
        path = self.directory / f"{port}.conf"
        path.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self.directory}\n"
            f'requirepass "{_OWN_PASSWORD}"\n'
            f'logfile "{self.directory / str(port)}.log"\n'
            f"sentinel monitor {NAME} 127.0.0.1 {self.nodes[0].port} 2\n"
            + (f'sentinel auth-pass {NAME} "{self._password}"\n' if self._password else "")
            + f"sentinel down-after-milliseconds {NAME} {_DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {NAME} 3000\n"
        )
        command = [servers.binary(self._kind), str(path), "--sentinel"]
        return leash.start(command, cwd=self.directory)

    def _agree(self) -> bool:
        for port in self.ports:
            with self._sentinel(port) as sentinel:
                seen = sentinel.sentinel_master(NAME)
                if (seen["num-slaves"], seen["num-other-sentinels"]) != (1, 2):
                    return False
        return True

    def _sentinel(self, port: int) -> contextlib.closing[Raw]:
        url = f"redis://127.0.0.1:{port}"
        return contextlib.closing(servers.connect(url, password=_OWN_PASSWORD))


@contextlib.contextmanager
def watched(kind: Kind) -> Iterator[Watched]:
    """Two nodes and three sentinels for a test."""
    made = Watched(kind)
    try:
        made.start()
        yield made
    finally:
        made.close()
