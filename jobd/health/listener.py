"""A small HTTP server: one thread, no blocking call, bounded in everything.

A visitor that is slow, silent or hostile takes a connection from another visitor at the most: each
has five seconds and 8 kB, and the oldest goes when there are too many. The thread shares only the
interpreter with the poller's own work, and does a bounded piece at a time.

Source: RFC 9112. One request a connection, GET and HEAD, nothing else.
"""

import contextlib
import os
import selectors
import signal
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from jobd import log, signals
from jobd.clock import Clock
from jobd.errors import JobdError

MOST_VISITORS: Final = 64
_LARGEST_BYTES: Final = 8_192
_PATIENCE_S: Final = 5.0
_BACKLOG: Final = 128
_PIECE: Final = 65_536
_PLAIN: Final = "text/plain; charset=utf-8"
_SOCKET_MODE: Final = 0o660


class Answer(msgspec.Struct, frozen=True):
    """One answer."""

    status: str
    text: str
    content_type: str = _PLAIN


class CannotListen(JobdError):
    """The address is taken or not ours; exit status 73."""


def listen(address: str) -> socket.socket:
    """A listening socket, made before any fork so that every poller of the instance has the same.

    Args:
        address: ``HOST:PORT``, ``[::1]:PORT``, or the path of a Unix socket.

    Raises:
        CannotListen: naming the address and the reason.
    """
    try:
        return _listen_at_path(Path(address)) if "/" in address else _listen_at_port(address)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CannotListen(
            f"health {address}: {reason}; another jobd may have it: give another address"
        ) from error


def _listen_at_port(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    where = (host.strip("[]"), int(port))
    listener = socket.create_server(where, family=family, backlog=_BACKLOG)
    listener.settimeout(0)
    return listener


def _listen_at_path(path: Path) -> socket.socket:
    # A socket that nobody listens at is left of one that was killed.
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode) and not _is_answered(path):
            path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(_SOCKET_MODE)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.settimeout(0)
        try:
            visitor.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # its backlog is full
            return True
    return True


class _Visitor(msgspec.Struct, eq=False):
    """One connection: what has come, then what has still to go."""

    socket: socket.socket
    until: float
    request: bytearray = msgspec.field(default_factory=bytearray)
    reply: memoryview | None = None


class Listener:
    """Serves what `listen` opened, in a thread of its own.

    Args:
        listener: accepted from here.
        answer: to a path; bounded in time.
        tick: called once a second or more often.
        clock: monotonic.
    """

    def __init__(
        self,
        listener: socket.socket,
        answer: Callable[[str], Answer],
        *,
        tick: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._listener = listener
        self._answer = answer
        self._tick = tick
        self._monotonic = clock.monotonic
        self._selector = selectors.DefaultSelector()
        self._visitors: dict[_Visitor, None] = {}  # in the order in which they came

    @property
    def visitors(self) -> int:
        """How many are here."""
        return len(self._visitors)

    def open(self) -> None:
        """Listen; `step` serves."""
        self._selector.register(self._listener, selectors.EVENT_READ)

    def start(self) -> None:
        """Serve in a thread. It ends with the process."""
        self.open()
        thread = threading.Thread(target=self._run, name="jobd-health", daemon=True)
        # A signal that came to this thread would not interrupt what the poller waits for.
        with signals.blocked(signal.valid_signals()):
            thread.start()

    def _run(self) -> None:
        while True:
            try:
                self.step()
            except Exception as error:  # noqa: BLE001 - as a service: report, and go on
                log.event("the health listener failed", level="error", error=error)

    def step(self, longest_s: float = 1.0) -> None:
        """Wait for something, and do it."""
        for key, _ in self._selector.select(longest_s):
            if key.data is None:
                self._accept()
            else:
                self._serve(key.data)
        self._tick()
        now = self._monotonic()
        for visitor in [each for each in self._visitors if each.until < now]:
            self._close(visitor)

    def _accept(self) -> None:
        # One a turn: those who are here already are not kept waiting by a storm of others.
        with contextlib.suppress(OSError):  # gone again, or no descriptor is free
            connection, _ = self._listener.accept()
            connection.settimeout(0)
            visitor = _Visitor(connection, self._monotonic() + _PATIENCE_S)
            self._visitors[visitor] = None
            self._selector.register(connection, selectors.EVENT_READ, visitor)
        if len(self._visitors) > MOST_VISITORS:
            self._close(next(iter(self._visitors)))

    def _serve(self, visitor: _Visitor) -> None:
        if visitor not in self._visitors:  # closed earlier in this turn
            return
        try:
            if visitor.reply is None:
                self._read(visitor)
            if visitor.reply is not None:
                self._write(visitor)
        except BlockingIOError:
            return
        except OSError:
            self._close(visitor)

    def _read(self, visitor: _Visitor) -> None:
        piece = visitor.socket.recv(_LARGEST_BYTES)
        visitor.request += piece
        is_whole = b"\r\n\r\n" in visitor.request or b"\n\n" in visitor.request
        if is_whole:
            visitor.reply = memoryview(self._reply(bytes(visitor.request)))
        elif len(visitor.request) > _LARGEST_BYTES:
            answer = Answer("431 Request Header Fields Too Large", "8 kB are the most\n")
            visitor.reply = memoryview(_packed(answer))
        elif not piece:
            raise ConnectionResetError
        if visitor.reply is not None:
            self._selector.modify(visitor.socket, selectors.EVENT_WRITE, visitor)

    def _reply(self, request: bytes) -> bytes:
        words = request.partition(b"\n")[0].decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            return _packed(Answer("400 Bad Request", "this is no HTTP request\n"))
        method, target, _ = words
        if method not in {"GET", "HEAD"}:
            return _packed(Answer("405 Method Not Allowed", "GET and HEAD\n"))
        try:
            answer = self._answer(target.partition("?")[0])
        except Exception as error:  # noqa: BLE001 - as a service: report, and go on
            log.event("a page of health failed", level="error", page=target, error=error)
            answer = Answer("500 Internal Server Error", "see the log\n")
        return _packed(answer, is_head=method == "HEAD")

    def _write(self, visitor: _Visitor) -> None:
        while visitor.reply:
            sent = visitor.socket.send(visitor.reply[:_PIECE], socket.MSG_NOSIGNAL)
            visitor.reply = visitor.reply[sent:]
        self._close(visitor)

    def _close(self, visitor: _Visitor) -> None:
        self._visitors.pop(visitor, None)
        self._selector.unregister(visitor.socket)
        # What he sent and nobody read would turn the end of our answer into a reset.
        with contextlib.suppress(OSError):
            visitor.socket.shutdown(socket.SHUT_WR)
            visitor.socket.recv(_PIECE)
        visitor.socket.close()


def _packed(answer: Answer, *, is_head: bool = False) -> bytes:
    body = answer.text.encode()
    head = (
        f"HTTP/1.1 {answer.status}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if is_head else body)


def remove(address: str) -> None:
    """Take away the Unix socket, at the end; nothing for a port."""
    if "/" in address:
        with contextlib.suppress(OSError):
            Path(address).unlink()
