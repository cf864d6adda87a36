"""A real server for the tests of one session: started once, empty for each test.

What the fixture ``jobd_server`` does; it stands here since the plugin's own module is loaded into
every pytest of the environment, and imports nothing.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobd import testing
from jobd.app import current_app  # noqa: TID251 - tests are of the app that jobs push with
from jobd.config import RedisSettings
from jobd.embedded import EmbeddedStore
from jobd.pool import Pool


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running Valkey or Redis.

    Attributes:
        url: for ``REDIS_URL`` and the like.
    """

    url: str


@contextmanager
def running(directory: Path) -> Generator[RedisServer]:
    """Start one, and stop it afterwards.

    Args:
        directory: its state is kept there.

    Raises:
        ConfigError: none is installed.
        EmbeddedStoreError: it does not come up.
    """
    store = EmbeddedStore(directory)
    store.start()
    try:
        yield RedisServer(store.url)
    finally:
        store.stop()


@contextmanager
def pushed_to(server: RedisServer) -> Generator[None]:
    """Empty it, and let the pushes of all threads go there meanwhile."""
    settings = RedisSettings(url=server.url)
    pool = Pool(settings)
    try:
        pool.call("FLUSHALL")
    finally:
        pool.close()
    app = current_app()
    before, app.redis = app.redis, settings
    try:
        with testing.use("disabled"):
            yield
    finally:
        app.redis = before
