"""The one door to Redis: connections, and library errors made ours.

No method here repeats a command that may have arrived: a push whose reply was lost would stand in
the queue twice. What may be sent again is decided by who knows what it means: the store.

Replies are bytes and are never decoded here.
"""

import importlib
import random
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import hiredis

from jobd.config import RedisSettings
from jobd.dialing import Dialer, Plain, address_of
from jobd.errors import (
    ConfigError,
    RedisDenied,
    RedisError,
    RedisFull,
    RedisRejected,
    RedisUnavailable,
)
from jobd.link import Argument, Command, ErrorReply, Link

Reply: TypeAlias = Any
"""What the server answers: bytes, int, None, or a list of replies."""

_FIRST_S: Final = 0.1
_LONGEST_S: Final = 5.0
_PASSING: Final = (
    "BUSY ",
    "CLUSTERDOWN ",
    "LOADING ",
    "MASTERDOWN ",
    "NOREPLICAS ",
    "READONLY ",
    "TRYAGAIN ",
    "UNBLOCKED ",
)
"""Error replies that a server gives for a while and that a reconnect may cure."""

_DENIED: Final = ("AUTH ", "NOAUTH ", "WRONGPASS ")
_NO_ROOM: Final = "max number of clients reached"

_SEE_THE_SERVER: Final = (
    "see that the server runs and that the address is right (redis.url or REDIS_URL)"
)
_START_JOBD: Final = (
    "that is the private store of the project there, which runs while jobd does: start jobd in "
    "that directory, or name another Redis (redis.url or REDIS_URL)"
)


class Backoff:
    """How long to wait before the server is tried again: 0.1 s at first.

    With full jitter, so that a fleet does not come back all at once.

    Args:
        rng: for the jitter.
        most_s: 5 s at the most, or so many.
    """

    def __init__(self, rng: random.Random, most_s: float = _LONGEST_S) -> None:
        self._rng = rng
        self._most_s = most_s
        self._longest_s = _FIRST_S

    def next_s(self) -> float:
        """Seconds to wait now."""
        longest_s, self._longest_s = self._longest_s, min(2 * self._longest_s, self._most_s)
        return self._rng.uniform(0.05, longest_s)

    def reset(self) -> None:
        """The server answered."""
        self._longest_s = _FIRST_S


class ScriptMissing(RedisRejected):
    """The server does not know the script: it was restarted, or its scripts were flushed."""


class Connection:
    """One socket, for one thread. It connects at the first command, and again after an error.

    Args:
        settings: where the server is.
        timeout_s: for each reply; ``settings.network_timeout`` if None. A blocking command must
            stay under it.
        name: shown by ``CLIENT LIST``.
    """

    def __init__(
        self, settings: RedisSettings, *, timeout_s: float | None = None, name: str = "jobd"
    ) -> None:
        self._link: Link | None = None
        self._settings = settings
        self._dialer = _dialer(settings, timeout_s or settings.network_timeout, name)
        self._client_id: int | None = None

    def call(self, *command: Argument) -> Reply:
        """Send one command and return its reply.

        Raises:
            RedisUnavailable: no connection, or none any more. The command may have been executed.
            RedisFull: the server has no room for it; it was not executed.
            RedisRejected: any other error reply; it was not executed.
        """
        link = self._link or self._connect()
        try:
            reply = link.ask(command)
        except (OSError, hiredis.HiredisError) as error:
            raise self._failed(error) from error
        if isinstance(reply, ErrorReply):
            raise self._failed(reply) from reply
        return reply

    def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send several commands in one go and return their replies; not atomic.

        Raises:
            RedisError: for the first command that failed, after all replies were read.
        """
        replies: list[Reply] = []
        failure: RedisError | None = None
        self.send(*commands)
        for _ in commands:
            try:
                replies.append(self.read())
            except (RedisFull, RedisRejected) as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return replies

    def send(self, *commands: Command) -> None:
        """Send commands without waiting; each needs one ``read``."""
        link = self._link or self._connect()
        try:
            link.send_all(commands)
        except OSError as error:
            raise self._failed(error) from error

    def read(self) -> Reply:
        """Return the reply to the oldest unanswered command."""
        link = self._link
        if link is None:
            raise self._failed(ConnectionError("the connection was closed"))
        try:
            reply = link.read()
        except (OSError, hiredis.HiredisError) as error:
            raise self._failed(error) from error
        if isinstance(reply, ErrorReply):
            raise self._failed(reply) from reply
        return reply

    def open(self) -> None:
        """Connect now, so that ``fileno`` and ``client_id`` can be asked for."""
        if self._link is None:
            self._client_id = int(self.call("CLIENT", "ID"))

    def renew(self) -> None:
        """Connect now if there is no connection, or one that the server has closed meanwhile.

        Nothing has been sent by then, so nothing can be done twice.
        """
        link = self._link
        if link is not None and link.is_spoiled():
            self.close()
            link = None
        if link is None:
            self._connect()

    def _connect(self) -> Link:
        try:
            self._link = self._dialer.dial()
        except (OSError, ErrorReply, hiredis.HiredisError) as error:
            # From None: where in a library it failed tells nobody anything, and ours quotes it.
            raise self._failed(error) from None
        return self._link

    @property
    def client_id(self) -> int:
        """The server's number for this connection, for ``CLIENT UNBLOCK``; ``open`` first."""
        if self._client_id is None:
            self._client_id = int(self.call("CLIENT", "ID"))
        return self._client_id

    def fileno(self) -> int:
        """The socket's descriptor, -1 without one; ``open`` first."""
        return -1 if self._link is None else self._link.fileno()

    def close(self) -> None:
        """Drop the socket. The next command connects again."""
        link = self._link
        self._client_id = self._link = None
        if link is not None:
            link.close()

    def __del__(self) -> None:
        # A client need not close what it pushed by, and Python would warn of the socket.
        self.close()

    def _failed(self, error: Exception) -> RedisError:
        ours = _translate(error, self._settings)
        if isinstance(ours, RedisUnavailable):
            # Replies that are still on their way belong to commands nobody waits for.
            self.close()
        return ours


def _dialer(settings: RedisSettings, timeout_s: float, name: str) -> Dialer:
    connect_s = settings.network_timeout
    try:
        address = address_of(settings.url)
        if address is not None:
            return Plain(address, connect_s=connect_s, reply_s=timeout_s, name=name)
        # By its name: it imports redis-py, which most have no need of.
        module: Any = importlib.import_module("jobd.redis_py")
        dialer: Dialer = module.ByRedisPy(settings, reply_s=timeout_s, name=name)
    except ValueError:
        problem = (
            f'redis.url: "{settings.masked_url}" cannot be read: write one such as '
            "redis://localhost:6379/0, and / ? # @ in a password as %2F %3F %23 %40"
        )
        # Not from the error, which may quote a part of the password.
        raise ConfigError([problem]) from None
    return dialer


def _reason(error: Exception) -> str:
    if isinstance(error, BlockingIOError | TimeoutError):
        return "Timeout: no answer in time"
    text = error.strerror if isinstance(error, OSError) else None
    return (text or str(error)).removeprefix("ERR ").rstrip(".")


def _translate(error: Exception, settings: RedisSettings) -> RedisError:
    text, masked_url = _reason(error), settings.masked_url
    if _NO_ROOM in text:
        return RedisDenied(
            f"cannot use Redis at {masked_url}: it does not let us in ({text}); raise its "
            "maxclients, or see who has all these connections (CLIENT LIST)"
        )
    if not isinstance(error, ErrorReply) or text.startswith(_PASSING):
        remedy = _START_JOBD if settings.embedded else _SEE_THE_SERVER
        return RedisUnavailable(f"cannot use Redis at {masked_url}: {text}; {remedy}")
    if text.startswith("OOM "):
        return RedisFull(
            f"{masked_url} is at its maxmemory and refuses this write ({text}); "
            "raise maxmemory, or let the workers drain the queues"
        )
    if text.startswith(_DENIED):
        return RedisDenied(
            f"cannot use Redis at {masked_url}: it does not let us in ({text}); set user and "
            "password in the URL, redis://:PASSWORD@HOST:PORT/0 or redis://USER:PASSWORD@HOST:PORT"
            "/0 (redis.url or REDIS_URL)"
        )
    if text.startswith("NOSCRIPT "):
        return ScriptMissing(text)
    return RedisRejected(f"Redis at {masked_url} refused: {text}")
