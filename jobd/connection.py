"""The one door to Redis: sockets, a pool for clients, and library errors made ours.

No other module imports the redis package, and no method here repeats a command that may have
arrived: redis-py 6 and newer resend by default, and a push whose reply was lost then stands in the
queue twice. What may be sent again is decided by who knows what it means: the store.

Replies are bytes and are never decoded here.
"""

import contextlib
import random
from collections.abc import Generator, Sequence
from typing import Any, Final, TypeAlias

import redis
from redis import connection as _redis_connection, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobd.config import RedisSettings
from jobd.errors import ConfigError, RedisError, RedisFull, RedisRejected, RedisUnavailable

Reply: TypeAlias = Any
"""What the server answers: bytes, int, None, or a list of replies."""

Argument: TypeAlias = str | bytes | int | float
Command: TypeAlias = Sequence[Argument]

# redis-py types these only in part.
_SOCKETS: Final[Any] = _redis_connection
_BLOCKING_POOL: Final[Any] = redis.BlockingConnectionPool

# What CLIENT LIST shows. By default redis-py looks its version up in the file system, for each
# connection, and loads the parser of e-mails for that.
_DRIVER: Final[dict[str, Any]] = (
    {"driver_info": redis.DriverInfo(lib_version=redis.__version__)}
    if hasattr(redis, "DriverInfo")
    else {"lib_version": redis.__version__}
)

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

_SEE_THE_SERVER: Final = (
    "see that the server runs and that the address is right (redis.url or REDIS_URL)"
)
_START_JOBD: Final = (
    "that is the private store of the project there, which runs while jobd does: start jobd in "
    "that directory, or name another Redis (redis.url or REDIS_URL)"
)


class Backoff:
    """How long to wait before the server is tried again: 0.1 s at first, 5 s at the most.

    With full jitter, so that a fleet does not come back all at once.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._longest_s = _FIRST_S

    def next_s(self) -> float:
        """Seconds to wait now."""
        longest_s, self._longest_s = self._longest_s, min(2 * self._longest_s, _LONGEST_S)
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
        self._settings = settings
        self._raw: Any = _make(settings, timeout_s or settings.network_timeout, name)
        self._client_id: int | None = None

    def call(self, *command: Argument) -> Reply:
        """Send one command and return its reply.

        Raises:
            RedisUnavailable: no connection, or none any more. The command may have been executed.
            RedisFull: the server has no room for it; it was not executed.
            RedisRejected: any other error reply; it was not executed.
        """
        try:
            self._raw.send_command(*command)
            return self._raw.read_response()
        except redis.RedisError as error:
            raise self._failed(error) from error

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
        try:
            self._raw.send_packed_command(self._raw.pack_commands(commands))
        except redis.RedisError as error:
            raise self._failed(error) from error

    def read(self) -> Reply:
        """Return the reply to the oldest unanswered command."""
        try:
            return self._raw.read_response()
        except redis.RedisError as error:
            raise self._failed(error) from error

    def open(self) -> None:
        """Connect now, so that ``fileno`` and ``client_id`` can be asked for."""
        if self._raw._sock is None:  # noqa: SLF001 - redis-py has no public "is connected"
            self._client_id = int(self.call("CLIENT", "ID"))

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
        self._client_id = None
        with contextlib.suppress(OSError):
            self._raw.disconnect()

    def _failed(self, error: redis.RedisError) -> RedisError:
        ours = _translate(error, self._settings)
        if isinstance(ours, RedisUnavailable):
            # Replies that are still on their way belong to commands nobody waits for.
            self.close()
        return ours


class Pool:
    """Connections that threads share; never more than ``settings.size`` are open.

    A thread that finds none free waits ``settings.network_timeout``. After a fork the child starts
    with an empty pool and never touches its parent's sockets.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        template = _make(settings, settings.network_timeout, "jobd-client")
        self._pool: Any = _BLOCKING_POOL(
            max_connections=settings.size,
            timeout=settings.network_timeout,
            connection_class=type(template),
            **_arguments(settings, settings.network_timeout, "jobd-client"),
        )

    def call(self, *command: Argument) -> Reply:
        """Send one command and return its reply; raises as ``Connection.call``."""
        with self._borrowed() as connection:
            connection.send_command(*command)
            return connection.read_response()

    def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send several commands in one go; not atomic. Raises the first command's error."""
        replies: list[Reply] = []
        failure: redis.ResponseError | None = None
        with self._borrowed() as connection:
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except redis.ResponseError as error:
                    failure = failure or error
            if failure is not None:
                raise failure
        return replies

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._pool.disconnect()

    @contextlib.contextmanager
    def _borrowed(self) -> Generator[Any]:
        # get_connection() connects, and reconnects once where the server closed an idle socket:
        # nothing has been sent by then, so nothing can be done twice.
        try:
            connection: Any = self._pool.get_connection()
        except redis.RedisError as error:
            # From None: redis-py's own chain is three tracebacks long, and ours quotes its end.
            raise self._no_connection(error) from None
        try:
            yield connection
        except redis.RedisError as error:
            ours = _translate(error, self._settings)
            if isinstance(ours, RedisUnavailable):
                connection.disconnect()
            raise ours from error
        except BaseException:
            # A signal's exception in the middle of a reply: the rest of it must not be read as
            # the answer to somebody else's command.
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)

    def _no_connection(self, error: redis.RedisError) -> RedisError:
        if str(error).startswith("No connection available"):
            return RedisUnavailable(
                f"all {self._settings.size} connections to {self._settings.masked_url} were busy "
                f"for {self._settings.network_timeout:g} s; raise redis.size, or push from fewer "
                "threads at once"
            )
        return _translate(error, self._settings)


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
    return kind(**_arguments(settings, timeout_s, name))


def _parse(settings: RedisSettings) -> dict[str, Any]:
    try:
        return dict(_SOCKETS.parse_url(settings.url))
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
    if isinstance(error, exceptions.AuthenticationError):
        return RedisUnavailable(
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
