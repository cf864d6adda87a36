"""Each server in turn, an access to it, and a plain client of it."""

import contextlib
from collections.abc import Iterator

import pytest

from jobd.api import Access
from jobd.config import RedisSettings
from jobd.hooks import Hooks
from jobd.pool import Pool
from tests.conftest import Servers, again
from tests.support import servers
from tests.support.servers import Raw, Server


@pytest.fixture(params=["valkey", again("redis")])
def server(request: pytest.FixtureRequest, started_servers: Servers) -> Server:
    """Valkey 9 and Redis 7.0 in turn, emptied."""
    found = started_servers(request.param)
    found.reset()
    return found


@pytest.fixture
def redis_url(server: Server) -> str:
    return server.url()


@pytest.fixture
def raw(redis_url: str) -> Iterator[Raw]:
    with contextlib.closing(servers.connect(redis_url)) as client:
        yield client


@pytest.fixture
def access(redis_url: str) -> Iterator[Access]:
    pool = Pool(RedisSettings(url=redis_url))
    with contextlib.closing(pool):
        yield Access(redis=pool, hooks=Hooks(), dead_limits=(10_000, 15_552_000))
