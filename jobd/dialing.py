"""Connecting to Redis: a socket that is logged in and named, with nothing on its way.

The usual addresses only, over TCP and Unix sockets. TLS, sentinels and addresses with options are
left to redis-py (``redis_py``), which takes longer to import than all of jobd.
"""

import re
import socket
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from jobd.link import Command, ErrorReply, Link

_PORT: Final = 6379
_DATABASE: Final = re.compile(r"/?(\d*)/?")
_OPTION: Final = re.compile(r"(?:db=(\d+))?")
# A connection that idles notices within a minute that the other side is gone: seconds until it is
# asked, between two questions, and how many. As redis-py does; not every system has them.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


class Dialer(Protocol):
    """A way to connect to one server, again and again."""

    def dial(self) -> Link:
        """A new connection, logged in.

        Raises:
            OSError: the server is not there, or does not answer.
            ErrorReply: it does not let us in.
            hiredis.HiredisError: that was no Redis.
        """
        ...


class Address(msgspec.Struct, frozen=True):
    """Where a server is, and who we are there.

    Attributes:
        path: of a Unix socket; None over TCP.
        login: user and password, or a password, or nothing.
    """

    host: str
    port: int
    path: str | None
    login: tuple[str, ...]
    database: int


def address_of(url: str) -> Address | None:
    """Read a URL; None if it asks for more than is done here.

    Raises:
        ValueError: it is none of Redis.
    """
    parts = urlsplit(url)
    option = _OPTION.fullmatch(parts.query)
    if parts.scheme not in {"redis", "unix"} or option is None:
        return None
    path = unquote(parts.path)
    in_path = _DATABASE.fullmatch(path) if parts.scheme == "redis" else None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Address(
        unquote(parts.hostname or "localhost"),
        parts.port or _PORT,
        path if parts.scheme == "unix" else None,
        (user, password) if user else (password,) if password else (),
        int(option[1] or (in_path and in_path[1]) or 0),
    )


class Plain:
    """Connects over TCP or a Unix socket.

    Args:
        address: of the server.
        connect_s: the longest that connecting may take, and logging in.
        reply_s: the longest that it may wait for a reply then.
        name: shown by ``CLIENT LIST``.
    """

    def __init__(self, address: Address, *, connect_s: float, reply_s: float, name: str) -> None:
        self._address = address
        self._connect_s = connect_s
        self._reply_s = reply_s
        self._name = name

    def dial(self) -> Link:
        """Connect, and say who we are in one round trip; raises as ``Dialer.dial``."""
        link = Link(self._connected(), self._connect_s)
        try:
            self._introduce(link)
            link.wait_for(self._reply_s)
        except BaseException:
            link.close()
            raise
        return link

    def _introduce(self, link: Link) -> None:
        commands: list[Command] = [("CLIENT", "SETNAME", self._name)]
        if self._address.login:
            commands.insert(0, ("AUTH", *self._address.login))
        if self._address.database:
            commands.append(("SELECT", self._address.database))
        link.send_all(commands)
        for _ in commands:
            reply = link.read()
            if isinstance(reply, ErrorReply):
                raise reply

    def _connected(self) -> socket.socket:
        address = self._address
        if address.path is None:
            # As bytes: to encode a str, Python loads tables of 1.6 MB, in each process anew.
            host: Any = address.host.encode() if address.host.isascii() else address.host
            sock = socket.create_connection((host, address.port), self._connect_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE.items():
                if hasattr(socket, option):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
            return sock
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self._connect_s)
        try:
            sock.connect(address.path)
        except OSError:
            sock.close()
            raise
        return sock
