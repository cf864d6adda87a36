"""A store on each server in turn, and one behind a proxy that loses what it is told to."""

import contextlib
from collections.abc import Iterator

import pytest

from jobd.config import RedisSettings
from jobd.connection import Connection
from jobd.fleet import Fleet
from jobd.store import Store
from tests.conformance.parts import KEYS, TIMEOUT_S, Lossy, scripts
from tests.conftest import Servers
from tests.support import resp, servers
from tests.support.proxy import Proxy


@pytest.fixture
def settings(store_url: str) -> RedisSettings:
    return RedisSettings(url=store_url, network_timeout=TIMEOUT_S)


@pytest.fixture
def connection(settings: RedisSettings) -> Iterator[Connection]:
    with contextlib.closing(Connection(settings)) as connection:
        yield connection


@pytest.fixture
def store(connection: Connection) -> Store:
    return Store(connection, KEYS)


@pytest.fixture
def fleet(connection: Connection) -> Fleet:
    return Fleet(connection, KEYS)


@pytest.fixture(params=["valkey", "redis"])
def lossy(request: pytest.FixtureRequest, started_servers: Servers) -> Iterator[Lossy]:
    """A proxy before each server; it knows the names of the scripts, and the server has them."""
    server = started_servers(request.param)
    server.reset()
    texts = scripts()
    proxy = Proxy(
        server.port,
        # Who is to lose a claim means either script of it.
        scripts={
            resp.sha1(text.decode()): name.removesuffix("_one") for name, text in texts.items()
        },
    )
    with contextlib.closing(servers.connect(server.url())) as raw:
        for text in texts.values():
            raw.script_load(text)
        proxy.start()
        yield Lossy(proxy, raw)
        proxy.stop()
