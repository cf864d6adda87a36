"""The one door to Redis: connections, and library errors made ours.

No other module imports the redis package, and no method here repeats a command that may have
arrived: redis-py 6 and newer resend by default, and a push whose reply was lost then stands in the
queue twice. What may be sent again is decided by who knows what it means: the store.

Replies are bytes and are never decoded here.
"""

import contextlib
import random
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import hiredis
import redis
from redis import connection as _redis_connection, exceptions, sentinel as _redis_sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobd.config import RedisSettings, Sentinels, sentinels_of
from jobd.errors import (
    ConfigError,
    RedisDenied,
    RedisError,
    RedisFull,
    RedisRejected,
    RedisUnavailable,
)
from jobd.link import Argument, Command, Link

Reply: TypeAlias = Any
"""What the server answers: bytes, int, None, or a list of replies."""

# redis-py types these only in part.
_SOCKETS: Final[Any] = _redis_connection
_SENTINEL: Final[Any] = _redis_sentinel

# What CLIENT LIST shows. By default redis-py looks its version up in the file system, for each
# connection, and loads the parser of e-mails for that.
_DRIVER: Final[dict[str, Any]] = (
    {"driver_info": redis.DriverInfo(lib_version=redis.__version__)}
    if hasattr(redis, "DriverInfo")
    else {"lib_version": redis.__version__}
)

_SENTINEL_S: Final = 1.0
_FIRST_S: Final = 0.1
_LONGEST_S: Final = 5.0
_PASSING: Final = (
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,  # MASTERDOWN too
    exceptions.TryAgainError,
)
_PASSING_CODES: Final = ("BUSY ", "NOREPLICAS ", "MASTERDOWN ", "UNBLOCKED ")
"""Error replies that a server gives for a while and that a reconnect may cure.

redis-py strips the codes that it has a class for, LOADING among them, which is a ConnectionError.
"""

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

    redis-py connects it and says who we are; after that commands and replies pass it by.

    Args:
        settings: where the server is.
        timeout_s: for each reply; ``settings.network_timeout`` if None. A blocking command must
            stay under it.
        name: shown by ``CLIENT LIST``.
    """

    def __init__(
        self, settings: RedisSettings, *, timeout_s: float | None = None, name: str = "jobd"
    ) -> None:
        self._settings = settings
        self._timeout_s = timeout_s or settings.network_timeout
        self._raw: Any = _make(settings, self._timeout_s, name)
        self._link: Link | None = None
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
            link.send(command)
            reply = link.read()
        except (OSError, hiredis.HiredisError) as error:
            raise self._broken(error) from error
        if isinstance(reply, redis.RedisError):
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
            raise self._broken(error) from error

    def read(self) -> Reply:
        """Return the reply to the oldest unanswered command."""
        link = self._link
        if link is None:
            raise self._failed(redis.ConnectionError("the connection was closed"))
        try:
            reply = link.read()
        except (OSError, hiredis.HiredisError) as error:
            raise self._broken(error) from error
        if isinstance(reply, redis.RedisError):
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
            self._raw.connect()
        except redis.RedisError as error:
            # From None: redis-py's own chain is three tracebacks long, and ours quotes its end.
            raise self._failed(error) from None
        # redis-py shows neither its socket nor how it reads errors.
        link = Link(self._raw._sock, self._timeout_s, self._raw._parser.parse_error)  # noqa: SLF001
        self._link = link
        return link

    @property
    def client_id(self) -> int:
        """The server's number for this connection, for ``CLIENT UNBLOCK``; ``open`` first."""
        if self._client_id is None:
            self._client_id = int(self.call("CLIENT", "ID"))
        return self._client_id

    def fileno(self) -> int:
        """The socket's descriptor; ``open`` first."""
        return int(self._raw._sock.fileno())  # noqa: SLF001 - redis-py shows no descriptor

    def close(self) -> None:
        """Drop the socket. The next command connects again."""
        self._client_id = self._link = None
        with contextlib.suppress(OSError):
            self._raw.disconnect()

    def _broken(self, error: Exception) -> RedisError:
        if isinstance(error, BlockingIOError | TimeoutError):
            return self._failed(redis.TimeoutError("Timeout reading from socket"))
        return self._failed(redis.ConnectionError(str(error)))

    def _failed(self, error: redis.RedisError) -> RedisError:
        ours = _translate(error, self._settings)
        if isinstance(ours, RedisUnavailable):
            # Replies that are still on their way belong to commands nobody waits for.
            self.close()
        return ours


def _arguments(settings: RedisSettings, timeout_s: float, name: str) -> dict[str, Any]:
    parsed = _parse(settings)
    for option in ("connection_class", "max_connections", "timeout"):
        parsed.pop(option, None)  # of redis-py's own pool, not of a connection
    return {
        **parsed,
        # A blocking command needs the time it was given, whatever the URL says.
        "socket_timeout": timeout_s,
        "socket_connect_timeout": settings.network_timeout,
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "client_name": name,
        **_DRIVER,
    }


def _make(settings: RedisSettings, timeout_s: float, name: str) -> Any:
    kind: Any = _parse(settings).get("connection_class", redis.Connection)
    arguments = _arguments(settings, timeout_s, name)
    sentinels = sentinels_of(settings.url)
    if sentinels is not None:
        is_encrypted = issubclass(kind, redis.SSLConnection)
        kind = (
            _SENTINEL.SentinelManagedSSLConnection
            if is_encrypted
            else _SENTINEL.SentinelManagedConnection
        )
        arguments["connection_pool"] = _Primary(sentinels, settings.network_timeout)
    made = kind(**arguments)
    # It would tell the server its name and version, a round trip each, which the start waits for.
    made.driver_info = made.lib_name = made.lib_version = None
    return made


class _Primary:
    """Where the primary is, asked anew for each connection that is made.

    What redis-py's connection asks of its pool of them, of which we have none.

    Attributes:
        is_master: not one of the replicas.
        check_connection: with a PING of its own.
        service_name: for its repr.
    """

    is_master = True
    check_connection = False

    def __init__(self, sentinels: Sentinels, network_timeout_s: float) -> None:
        timeout_s = min(network_timeout_s, _SENTINEL_S)
        self.service_name = sentinels.master
        self._asked = ", ".join(f"{host}:{port}" for host, port in sentinels.nodes)
        self._sentinels: Any = _SENTINEL.Sentinel(
            sentinels.nodes,
            sentinel_kwargs={
                "socket_timeout": timeout_s,
                "socket_connect_timeout": timeout_s,
                "retry": Retry(NoBackoff(), 0),
                **sentinels.login,
            },
        )

    def get_master_address(self) -> tuple[str, int]:
        """Host and port."""
        try:
            address: tuple[str, int] = self._sentinels.discover_master(self.service_name)
        except (_SENTINEL.MasterNotFoundError, exceptions.ResponseError) as error:
            # From None, and without its text, which may show how the sentinels are logged in to.
            why = f" ({error})" if isinstance(error, exceptions.ResponseError) else ""
            raise redis.ConnectionError(
                f"none of the sentinels ({self._asked}) knows a primary called "
                f"{self.service_name} that is up{why}"
            ) from None
        finally:
            for sentinel in self._sentinels.sentinels:
                sentinel.close()  # they are asked once in a while
        return address


def _parse(settings: RedisSettings) -> dict[str, Any]:
    try:
        sentinels = sentinels_of(settings.url)
        url = settings.url if sentinels is None else sentinels.url
        return dict(_SOCKETS.parse_url(url))
    except ValueError:
        problem = (
            f'redis.url: "{settings.masked_url}" cannot be read: write one such as '
            "redis://localhost:6379/0, and / ? # @ in a password as %2F %3F %23 %40"
        )
        # Not from the error, which may quote a part of the password.
        raise ConfigError([problem]) from None


def _translate(error: redis.RedisError, settings: RedisSettings) -> RedisError:
    text, masked_url = str(error).rstrip("."), settings.masked_url
    if isinstance(error, exceptions.OutOfMemoryError) or text.startswith("OOM "):
        return RedisFull(
            f"{masked_url} is at its maxmemory and refuses this write ({text}); "
            "raise maxmemory, or let the workers drain the queues"
        )
    if isinstance(error, exceptions.MaxConnectionsError) or _NO_ROOM in text:
        return RedisDenied(
            f"cannot use Redis at {masked_url}: it does not let us in ({text}); raise its "
            "maxclients, or see who has all these connections (CLIENT LIST)"
        )
    if isinstance(error, exceptions.AuthenticationError):
        return RedisDenied(
            f"cannot use Redis at {masked_url}: it does not let us in ({text}); set user and "
            "password in the URL, redis://:PASSWORD@HOST:PORT/0 or redis://USER:PASSWORD@HOST:PORT"
            "/0 (redis.url or REDIS_URL)"
        )
    is_passing = isinstance(error, _PASSING) or text.startswith(_PASSING_CODES)
    if isinstance(error, redis.ConnectionError | redis.TimeoutError) or is_passing:
        remedy = _START_JOBD if settings.embedded else _SEE_THE_SERVER
        return RedisUnavailable(f"cannot use Redis at {masked_url}: {text}; {remedy}")
    if isinstance(error, exceptions.NoScriptError):
        return ScriptMissing(text)
    return RedisRejected(f"Redis at {masked_url} refused: {text}")
