"""A TCP proxy between a client and Redis that loses, delays, cuts and counts.

It knows which command each message is and which reply belongs to it, so that a test can lose
exactly one reply. One thread runs an event loop; the methods are called from the test's thread.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Coroutine, Mapping
from typing import Any

from tests.support import resp
from tests.support.servers import free_port

_CHUNK = 65_536
_NONE = ("", 0)
_RST_ON_CLOSE = struct.pack("ii", 1, 0)


class _Cut(Exception):
    """The connection ends here, because a test wants it."""


class _Link:
    """One client's connection and the one to the server behind it."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.from_client, self.to_client = client
        self.from_server, self.to_server = server
        self.unanswered: deque[tuple[str, ...]] = deque()
        self.is_lost = False  # bytes of it went into a black hole: the rest would make no sense

    def cut(self, *, reset: bool = False) -> None:
        for writer in (self.to_client, self.to_server):
            if reset and not writer.is_closing():
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            writer.transport.abort() if reset else writer.close()


class Proxy:
    """Listens on a port of its own, and passes everything on until told otherwise.

    Commands are named in upper case (``LPUSH``, ``CLIENT UNBLOCK``), scripts by the names given.

    Args:
        upstream_port: of the server, on 127.0.0.1.
        scripts: names of scripts by the SHA-1 of their text (see `resp.sha1`).

    Attributes:
        port: where it listens, the same after `refuse` and `heal`.
        seen: how often each command came from clients; dropped ones count too.
        connections: how many clients have connected.
        latency_s: how long each message is held back, in each direction.
        slice_bytes: messages are written in pieces of this size; None for whole ones.
        bytes_per_s: how much passes in each direction of a connection; None for all of it.
    """

    def __init__(self, upstream_port: int, *, scripts: Mapping[str, str] | None = None) -> None:
        self.port = 0
        self.seen: Counter[str] = Counter()
        self.connections = 0
        self.latency_s = 0.0
        self.slice_bytes: int | None = None
        self.bytes_per_s: float | None = None
        self._upstream_port = upstream_port
        self._scripts = dict(scripts or {})
        self._dropped_requests: Counter[str] = Counter()  # guarded by _lock
        self._dropped_replies: Counter[str] = Counter()  # guarded by _lock
        self._dropped_long = _NONE  # guarded by _lock
        self._bytes_left: int | None = None
        self._swallows = False
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._links: set[_Link] = set()
        self._listener: socket.socket | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def start(self) -> None:
        """Listen. Nothing is connected to the server before a client comes."""
        self._thread.start()
        self._flows.set()
        self._call(self._listen())

    def stop(self) -> None:
        """Cut everything and end the thread; a second time does nothing."""
        if self._thread.is_alive():
            self._call(self._shut())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=10)
            self._loop.close()

    def url(self, db: int = 0) -> str:
        """Of the server, by way of this proxy."""
        return f"redis://127.0.0.1:{self.port}/{db}"

    # What it can do to a client

    def drop_reply_once(self, command: str) -> None:
        """Let the server carry out the next such command, lose its reply, cut the connection.

        Replies to earlier commands of the same pipeline still arrive. Called twice, it does so
        to the next two.
        """
        with self._lock:
            self._dropped_replies[command] += 1

    def drop_request_once(self, command: str) -> None:
        """Cut the connection instead of passing on the next such command."""
        with self._lock:
            self._dropped_requests[command] += 1

    def drop_long_reply_once(self, command: str, least_bytes: int) -> None:
        """As `drop_reply_once`, but only a reply that is so long: one that brings something."""
        with self._lock:
            self._dropped_long = (command, least_bytes)

    @property
    def will_drop(self) -> bool:
        """Whether a long reply is still to be dropped."""
        with self._lock:
            return self._dropped_long != _NONE

    def cut_after_bytes(self, size: int) -> None:
        """Pass on so many more bytes of replies, of all clients together, then cut that one."""
        self._bytes_left = size

    def refuse(self) -> None:
        """Cut all connections and listen no more: clients get ECONNREFUSED."""
        self._call(self._close_listener())
        self.cut()

    def cut(self) -> None:
        """Close all connections (FIN); new ones are served."""
        self._call(self._cut_all(reset=False))

    def reset(self) -> None:
        """Reset all connections (RST); new ones are served."""
        self._call(self._cut_all(reset=True))

    def blackhole(self) -> None:
        """Accept connections and bytes and answer nothing, for ever; what comes is lost."""
        self._swallows = True

    def pause(self) -> None:
        """Hold all bytes back until `resume`."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def resume(self) -> None:
        """Let what was held back go."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def lead_to(self, upstream_port: int) -> None:
        """Cut all connections; new ones lead to another server, as after a failover."""
        self._upstream_port = upstream_port
        self.cut()

    def heal(self) -> None:
        """Be a plain proxy again. Connections that lost bytes in a black hole are cut."""
        with self._lock:
            self._dropped_requests.clear()
            self._dropped_replies.clear()
            self._dropped_long = _NONE
        self.latency_s, self._bytes_left, self._swallows = 0.0, None, False
        self.slice_bytes = self.bytes_per_s = None
        self._call(self._cut_all(reset=False, only_lost=True))
        self.resume()
        self._call(self._listen())

    # The rest runs in the loop's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        if self._listener is None:
            # Not any port (0): those are given to clients while this one refuses.
            self.port = self.port or free_port()
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._listener.setblocking(False)
            # Not asyncio's server, which forgets to close who comes while it is closed.
            self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _close_listener(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _shut(self) -> None:
        await self._close_listener()
        while self._serving:
            await self._cut_all(reset=True)
            for pump in self._pumps:
                pump.cancel()
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)  # in which what was cut is closed

    async def _cut_all(self, *, reset: bool, only_lost: bool = False) -> None:
        for link in list(self._links):
            if link.is_lost or not only_lost:
                link.cut(reset=reset)
        await asyncio.sleep(0)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it has gone again
            connection, _ = listener.accept()
            serving = self._loop.create_task(self._serve(connection))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)

    async def _serve(self, connection: socket.socket) -> None:
        self.connections += 1
        client = await asyncio.open_connection(sock=connection, limit=_CHUNK)
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            client[1].close()
            return
        link = _Link(client, upstream)
        if self._listener is None:  # since it came
            link.cut()
        self._links.add(link)
        pumps = [
            self._loop.create_task(self._pump(link, self._pass_requests(link))),
            self._loop.create_task(self._pump(link, self._pass_replies(link))),
        ]
        self._pumps.update(pumps)
        await asyncio.wait(pumps)
        self._pumps.difference_update(pumps)
        self._links.discard(link)

    async def _pump(self, link: _Link, one_way: Coroutine[Any, Any, None]) -> None:
        # Whatever ended this way of the connection ends both; the client sees it end.
        try:
            with contextlib.suppress(OSError, _Cut):
                await one_way
        finally:
            link.cut()

    async def _pass_requests(self, link: _Link) -> None:
        splitter = resp.Splitter()
        while received := await link.from_client.read(_CHUNK):
            for request in splitter.feed(received):
                names = resp.names(request, self._scripts)
                self.seen.update(names)
                if self._take(self._dropped_requests, names):
                    raise _Cut
                link.unanswered.append(names)
                await self._deliver(link, link.to_server, request)

    async def _pass_replies(self, link: _Link) -> None:
        splitter = resp.Splitter()
        while received := await link.from_server.read(_CHUNK):
            for reply in splitter.feed(received):
                if not resp.is_push(reply):
                    names = link.unanswered.popleft()
                    if self._take(self._dropped_replies, names) or self._is_too_long(reply, names):
                        raise _Cut
                await self._deliver(link, link.to_client, self._up_to_the_cut(reply))
                if self._bytes_left == 0:
                    self._bytes_left = None
                    raise _Cut

    async def _deliver(self, link: _Link, writer: asyncio.StreamWriter, message: bytes) -> None:
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        await self._flows.wait()
        link.is_lost = link.is_lost or self._swallows
        if not link.is_lost:
            await self._write(writer, message)

    async def _write(self, writer: asyncio.StreamWriter, message: bytes) -> None:
        size = self.slice_bytes or len(message) or 1
        for start in range(0, len(message), size):
            piece = message[start : start + size]
            writer.write(piece)
            await writer.drain()
            # Back to the loop between two pieces: the kernel shall send each on its own.
            await asyncio.sleep(len(piece) / self.bytes_per_s if self.bytes_per_s else 0)

    def _up_to_the_cut(self, reply: bytes) -> bytes:
        if self._bytes_left is None:
            return reply
        passed = reply[: self._bytes_left]
        self._bytes_left -= len(passed)
        return passed

    def _is_too_long(self, reply: bytes, names: tuple[str, ...]) -> bool:
        with self._lock:
            command, least_bytes = self._dropped_long
            is_it = command in names and len(reply) >= least_bytes
            if is_it:
                self._dropped_long = _NONE
            return is_it

    def _take(self, wanted: Counter[str], names: tuple[str, ...]) -> bool:
        with self._lock:
            for name in names:
                if wanted[name] > 0:
                    wanted[name] -= 1
                    return True
        return False
