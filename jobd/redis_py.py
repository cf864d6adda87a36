"""Connecting by redis-py: TLS, sentinels, and addresses with options in their query.

The only importer of the redis package. ``connection`` loads it for such an address only, since that
takes longer than importing all of jobd. Commands and replies pass redis-py by.
"""

import contextlib
from typing import Any, Final

import redis
from redis import connection as _redis_connection, exceptions, sentinel as _redis_sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobd.config import RedisSettings, Sentinels, sentinels_of
from jobd.link import ErrorReply, Link

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


class ByRedisPy:
    """Connects as redis-py does.

    Args:
        settings: where the server is.
        reply_s: the longest that it may wait for a reply.
        name: shown by ``CLIENT LIST``.

    Raises:
        ValueError: the address cannot be read.
    """

    def __init__(self, settings: RedisSettings, *, reply_s: float, name: str) -> None:
        self._reply_s = reply_s
        self._raw: Any = _make(settings, name)

    def dial(self) -> Link:
        """Connect and log in; raises as ``Dialer.dial``."""
        with contextlib.suppress(OSError):
            self._raw.disconnect()
        try:
            self._raw.connect()
        # From None: redis-py's own chain is three tracebacks long, and ours quotes its end.
        except exceptions.AuthenticationError as error:
            raise ErrorReply(f"WRONGPASS {error}") from None  # it takes the code off
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise ConnectionError(str(error)) from None
        except redis.RedisError as error:
            raise ErrorReply(str(error)) from None
        return Link(self._raw._sock, self._reply_s)  # noqa: SLF001 - redis-py shows no socket


def _arguments(settings: RedisSettings, name: str) -> dict[str, Any]:
    parsed = _parse(settings)
    for option in ("connection_class", "max_connections", "timeout"):
        parsed.pop(option, None)  # of redis-py's own pool, not of a connection
    return {
        **parsed,
        # For logging in, whatever the URL says.
        "socket_timeout": settings.network_timeout,
        "socket_connect_timeout": settings.network_timeout,
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "client_name": name,
        **_DRIVER,
    }


def _make(settings: RedisSettings, name: str) -> Any:
    kind: Any = _parse(settings).get("connection_class", redis.Connection)
    arguments = _arguments(settings, name)
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


def _parse(settings: RedisSettings) -> dict[str, Any]:
    sentinels = sentinels_of(settings.url)
    return dict(_SOCKETS.parse_url(settings.url if sentinels is None else sentinels.url))


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
