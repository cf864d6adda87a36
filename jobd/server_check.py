"""Whether a Redis is one that jobd can work on, and works on safely."""

import re
from typing import Final

from jobd import log
from jobd.config import RedisSettings
from jobd.connection import Connection
from jobd.errors import ConfigError, RedisRejected

_OLDEST_REDIS: Final = (6, 2)
_OLDEST_VALKEY: Final = (7, 2)
_UNKNOWN: Final = "a server that does not tell its version"


class Inspection:
    """Looks at the server once, as soon as it can be reached, and says what it is.

    Args:
        connection: of this process.
        settings: for its name in messages.
    """

    def __init__(self, connection: Connection, settings: RedisSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._is_done = False

    def __call__(self) -> None:
        """Look, unless it has been done; raises as ``check_server``."""
        if not self._is_done:
            server = check_server(self._connection, self._settings)
            self._is_done = True
            log.event("redis answers", server=server)


def check_server(connection: Connection, settings: RedisSettings) -> str:
    """Look at the server; returns its kind and version in words.

    Raises:
        RedisUnavailable: it cannot be reached.
        ConfigError: it is too old to run the scripts.
    """
    try:
        info = connection.call("INFO").decode(errors="replace")
    except RedisRejected:
        return _UNKNOWN
    kind, version = _version(info)
    if not version:
        return _UNKNOWN
    oldest = _OLDEST_VALKEY if kind == "Valkey" else _OLDEST_REDIS
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < oldest:
        raise ConfigError(
            [
                (
                    f"{settings.masked_url} is {kind} {version}: jobd needs Redis 6.2 or "
                    "Valkey 7.2, or newer"
                )
            ]
        )
    policy = _field(info, "maxmemory_policy")
    if policy not in {"", "noeviction"}:
        log.event(
            "this server may throw jobs away when its memory is full; "
            "set its maxmemory-policy to noeviction",
            level="warning",
            policy=policy,
        )
    return f"{kind} {version}"


def _version(info: str) -> tuple[str, str]:
    if valkey := _field(info, "valkey_version"):
        return "Valkey", valkey
    return "Redis", _field(info, "redis_version")


def _field(info: str, name: str) -> str:
    found = re.search(rf"^{name}:(.*?)\r?$", info, re.MULTILINE)
    return found[1] if found else ""
