"""One connected socket on which commands go out and replies come in, in order.

Not for connecting, and no reply is judged here. redis-py's own way of sending and reading costs
three times as much as the two system calls that a round trip needs.
"""

import _socket
import contextlib
import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import hiredis

# hiredis has types for a part of its arguments only.
_HIREDIS: Final[Any] = hiredis
_READER: Final = _HIREDIS.Reader
_pack: Final[Callable[["Command"], bytes]] = _HIREDIS.pack_command


class Packed:
    """The first arguments of many commands, packed once: that costs as much as a short job.

    Args:
        arguments: of a command, from its name on.
    """

    __slots__ = ("count", "data")

    def __init__(self, *arguments: "Argument") -> None:
        self.count = len(arguments)
        self.data = _without_count(_pack(arguments))


Argument: TypeAlias = str | bytes | int | float | Packed
"""A part of a command; a ``Packed`` may be its first one."""
Command: TypeAlias = Sequence[Argument]

_READ_BYTES: Final = 65_536
_MORE: Final = object()
_SECONDS: Final = struct.Struct("ll")  # timeval


class ErrorReply(Exception):
    """What the server said instead of a reply; the first word is a code."""


class Link:
    """A socket and the replies that it has brought and nobody has read.

    Args:
        sock: connected and free: nothing is on its way.
        timeout_s: for each part of a reply, and for sending.
    """

    __slots__ = ("_closed", "_pid", "_reader", "_sock")

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self._sock = sock
        self._pid = os.getpid()
        self._reader = _READER(replyError=ErrorReply, notEnoughData=_MORE)
        self._closed = select.poll() if hasattr(select, "poll") else None
        if self._closed is not None:
            self._closed.register(sock, select.POLLIN)
        _leave_time_to_the_kernel(sock, timeout_s)

    def wait_for(self, timeout_s: float) -> None:
        """Wait so long from now on for each part of a reply, and for sending."""
        _leave_time_to_the_kernel(self._sock, timeout_s)

    def ask(self, command: Command) -> Any:
        """Send one command and read its reply; raises as ``read``. Nothing else is on its way."""
        head = command[0]
        if type(head) is Packed:
            rest = _pack(command[1:])
            count = head.count + len(command) - 1
            self._sock.sendall(b"*%d\r\n%b%b" % (count, head.data, _without_count(rest)))
        else:
            self._sock.sendall(_pack(command))
        return self.read()

    def send_all(self, commands: Sequence[Command]) -> None:
        """Send several commands in one go, none of which begins with a ``Packed``.

        Raises:
            OSError: the connection is broken.
        """
        self._sock.sendall(b"".join(map(_pack, commands)))

    def read(self) -> Any:
        """The next reply; an error reply is returned, as an ``ErrorReply``.

        Raises:
            OSError: no reply came in time, or none will come.
            hiredis.HiredisError: that was no reply.
        """
        reply = self._reader.gets()
        while reply is _MORE:
            received = self._sock.recv(_READ_BYTES)
            if not received:
                raise ConnectionResetError("Connection closed by server")
            self._reader.feed(received)
            reply = self._reader.gets()
        return reply

    def is_spoiled(self) -> bool:
        """Whether the server has closed it, or sent what nobody asked for."""
        return self._closed is not None and bool(self._closed.poll(0))

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close it; what the server has not answered yet ends there, too."""
        with contextlib.suppress(OSError):
            if self._pid == os.getpid():  # not what belongs to who forked us
                # A process that a job left behind may have the socket open, too.
                self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def _without_count(packed: bytes) -> bytes:
    return packed[packed.index(b"\r") + 2 :]


def _leave_time_to_the_kernel(sock: Any, timeout_s: float) -> None:
    # With a timeout of its own, Python calls poll(2) before each recv(2) and send(2). TLS needs
    # that, and so does a socket of gevent's or its like, which is none of the kernel's.
    is_plain = isinstance(sock, _socket.socket) and not hasattr(sock, "pending")
    if sys.platform == "linux" and is_plain:
        sock.settimeout(None)
        value = _SECONDS.pack(int(timeout_s), int(timeout_s % 1 * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
    else:
        sock.settimeout(timeout_s)
