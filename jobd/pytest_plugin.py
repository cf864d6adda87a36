"""Fixtures for tests of code that pushes jobs. pytest finds them by itself.

    jobd_fake     pushes are kept (jobd.testing); the fixture is ``jobd.testing.queues``
    jobd_inline   a push runs the job
    jobd_server   pushes go to a real server, which is this test session's own and empty

Nothing is imported, started or changed for a test that uses none of them.

Source: the fixtures' names are as Celery's, ``celery_app`` and the like.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jobd.config import RedisSettings
    from jobd.testing import Queues

# Imports stand in the fixtures: this module is loaded into every pytest of the environment.
# ruff: noqa: PLC0415


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running Valkey or Redis.

    Attributes:
        url: for ``REDIS_URL`` and the like.
    """

    url: str


@pytest.fixture
def jobd_fake() -> "Generator[Queues]":
    """Keep pushes, in all threads, until the test ends: ``jobd_fake["mailers"]``."""
    from jobd import testing

    with testing.use("fake"):
        yield testing.queues


@pytest.fixture
def jobd_inline() -> Generator[None]:
    """Run jobs as they are pushed, in all threads, until the test ends."""
    from jobd import testing

    with testing.use("inline"):
        yield


@pytest.fixture
def jobd_server(_jobd_settings: "RedisSettings") -> Generator[RedisServer]:
    """Push to a real server, in all threads; it is empty when the test begins.

    It is started by the first test that asks for it. Each worker of pytest-xdist has one of its
    own, so that none sees another's jobs.
    """
    from jobd import testing
    from jobd.app import current_app  # noqa: TID251 - tests are of the app that jobs push with
    from jobd.connection import Pool

    pool = Pool(_jobd_settings)
    try:
        pool.call("FLUSHALL")
    finally:
        pool.close()
    app = current_app()
    before, app.redis = app.redis, _jobd_settings
    try:
        with testing.use("disabled"):
            yield RedisServer(_jobd_settings.url)
    finally:
        app.redis = before


@pytest.fixture(scope="session")
def _jobd_settings(tmp_path_factory: pytest.TempPathFactory) -> "Generator[RedisSettings]":
    from jobd.config import RedisSettings
    from jobd.embedded import EmbeddedStore, EmbeddedStoreError
    from jobd.errors import ConfigError

    store = EmbeddedStore(tmp_path_factory.mktemp("jobd-server"))
    try:
        store.start()
    except (ConfigError, EmbeddedStoreError) as error:
        pytest.fail(f"jobd_server: {error}", pytrace=False)
    try:
        yield RedisSettings(url=store.url)
    finally:
        store.stop()
