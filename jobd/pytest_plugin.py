"""Fixtures for tests of code that pushes jobs. pytest finds them by itself.

    jobd_fake     pushes are kept (jobd.testing); the fixture is ``jobd.testing.queues``
    jobd_inline   a push runs the job
    jobd_server   pushes go to a real server, which is this test session's own and empty

Nothing is imported, started or changed for a test that uses none of them.

Source: the fixtures' names are as Celery's, ``celery_app`` and the like.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jobd.testing import Queues
    from jobd.testing.server import RedisServer

# Imports stand in the fixtures: this module is loaded into every pytest of the environment.
# ruff: noqa: PLC0415


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
def jobd_server(_jobd_server: "RedisServer") -> "Generator[RedisServer]":
    """Push to a real server, in all threads; it is empty when the test begins.

    It is started by the first test that asks for it. Each worker of pytest-xdist has one of its
    own, so that none sees another's jobs.
    """
    from jobd.testing import server

    with server.pushed_to(_jobd_server):
        yield _jobd_server


@pytest.fixture(scope="session")
def _jobd_server(tmp_path_factory: pytest.TempPathFactory) -> "Generator[RedisServer]":
    from jobd.embedded import EmbeddedStoreError
    from jobd.errors import ConfigError
    from jobd.testing import server

    try:
        with server.running(tmp_path_factory.mktemp("jobd-server")) as found:
            yield found
    except (ConfigError, EmbeddedStoreError) as error:
        pytest.fail(f"jobd_server: {error}", pytrace=False)
