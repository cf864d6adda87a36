"""Which servers jobd works on, and what it says of the others."""

from typing import Any, cast

import pytest

from jobd.config import RedisSettings
from jobd.connection import Connection
from jobd.errors import ConfigError, RedisRejected
from jobd.server_check import Inspection, check_server
from tests.support.servers import Raw

SETTINGS = RedisSettings(url="redis://:secret@db:6379/0")


class Told:
    """A connection whose server answers INFO with this."""

    def __init__(self, *lines: str) -> None:
        self._info = "\r\n".join(("# Server", *lines, "")).encode()

    def call(self, *_command: Any) -> bytes:
        """Answer."""
        return self._info


class Refusing:
    """A connection whose server does not know INFO."""

    def call(self, *_command: Any) -> bytes:
        """Refuse."""
        raise RedisRejected("unknown command")


def checked(connection: Told | Refusing) -> str:
    return check_server(cast("Connection", connection), SETTINGS)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["redis_version:6.2.0"], "Redis 6.2.0"),
        (["redis_version:7.0.15"], "Redis 7.0.15"),
        (["redis_version:10.0.1"], "Redis 10.0.1"),
        (["redis_version:7.2.4", "valkey_version:7.2.5"], "Valkey 7.2.5"),
        (["redis_version:7.2.4", "valkey_version:9.0.0-rc1"], "Valkey 9.0.0-rc1"),
        (["uptime:5"], "a server that does not tell its version"),
    ],
)
def test_a_server_that_will_do_is_named(lines: list[str], words: str) -> None:
    assert checked(Told(*lines)) == words


@pytest.mark.parametrize("version", ["6.0.16", "5.0", "2.8.24", "6.1.9"])
def test_D20_an_old_server_is_refused_by_name_without_its_password(version: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        checked(Told(f"redis_version:{version}"))
    text = str(refusal.value)
    assert f"is Redis {version}: jobd needs Redis 6.2" in text
    assert "redis://:***@db:6379/0" in text
    assert "secret" not in text


def test_a_server_without_info_is_taken_as_it_is() -> None:
    assert checked(Refusing()) == "a server that does not tell its version"


@pytest.mark.parametrize(
    ("policy", "is_warned"), [("noeviction", False), ("", False), ("allkeys-lru", True)]
)
def test_D13_a_server_that_may_throw_jobs_away_is_warned_of(
    policy: str, is_warned: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    checked(Told("redis_version:7.0.0", f"maxmemory_policy:{policy}"))
    assert ("maxmemory-policy" in capfd.readouterr().out) is is_warned


def test_the_tests_own_servers_will_do(store_url: str, store_raw: Raw) -> None:
    connection = Connection(RedisSettings(url=store_url))
    kind, version = check_server(connection, RedisSettings(url=store_url)).split()
    connection.close()
    key = "valkey_version" if kind == "Valkey" else "redis_version"
    assert store_raw.info()[key] == version


def test_an_inspection_is_made_once_and_tells_what_it_found(
    capfd: pytest.CaptureFixture[str],
) -> None:
    told = cast("Connection", Told("redis_version:7.0.15", "maxmemory_policy:allkeys-lru"))
    inspect = Inspection(told, SETTINGS)
    inspect()
    inspect()
    out = capfd.readouterr().out
    assert out.count("Redis 7.0.15") == 1
    assert out.count("noeviction") == 1
