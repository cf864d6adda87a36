"""The default app as it was, and a store that remembers what is pushed."""

from collections.abc import Iterator

import pytest

from jobd.app import App, current_app  # noqa: TID251 - put back after each test
from jobd.config import RedisSettings
from jobd.jobs import registry
from tests.jobs.parts import RAN
from tests.support.recording_store import RecordingStore


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """Forget what a test defines and records."""
    before = registry.names()
    RAN.clear()
    yield
    for name in set(registry.names()) - set(before):
        registry.forget(name)


@pytest.fixture
def app() -> Iterator[App]:
    """The default app; its settings are put back afterwards."""
    app = current_app()
    opened, setup = app.open_store, list(app.server_setup)
    yield app
    app.open_store, app.server_setup = opened, setup
    app.is_server = False
    app.redis = None
    app.default_job_options.clear()
    app.client_middleware.clear()
    app.server_middleware.clear()


@pytest.fixture
def store(app: App) -> RecordingStore:
    """Where the default app pushes to."""
    store = RecordingStore()

    def open_store(redis: RedisSettings) -> RecordingStore:
        return store

    app.open_store = open_store
    return store
