"""What each test here begins with: no mode, no middleware, nothing that ran."""

from collections.abc import Iterator

import pytest

from jobd.app import App, current_app  # noqa: TID251 - put back after each test
from tests.testing.jobs import RAN

NOW_S = 1_900_000_000


@pytest.fixture(autouse=True)
def app() -> Iterator[App]:
    """The default app; put back afterwards."""
    app = current_app()
    before = (app.redis, app.open_store, app.wire, list(app.server_setup))
    RAN.clear()
    yield app
    app.redis, app.open_store, app.wire, app.server_setup = before
    app.client_middleware.clear()
    app.server_middleware.clear()
    app.default_job_options.clear()


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Wall time, in seconds, as freezegun and time-machine stop it; the one item may be changed."""
    now = [NOW_S]
    monkeypatch.setattr("time.time_ns", lambda: now[0] * 1_000_000_000)
    return now
