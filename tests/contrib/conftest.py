"""A Django project in this process, and in servers; each test leaves the app as it was."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import django
import pytest
from django.core.management import call_command
from django.db import connections

from jobd.app import App, current_app  # noqa: TID251 - put back after each test
from jobd.client import Client
from jobd.config import RedisSettings
from jobd.contrib.django.apps import JobdConfig
from jobd.jobs import registry
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.recording_store import RecordingStore

SITE = Path(__file__).with_name("shop_site")
MANAGE = (sys.executable, str(SITE / "manage.py"))

_jobs: dict[str, Any] = {}  # of the project, registered for each test that wants it

StartSite: TypeAlias = Callable[..., JobdProcess]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, set up once in this process; returns the folder of its databases."""
    directory = tmp_path_factory.mktemp("shop")
    before = set(registry.names())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SITE))
        patch.setenv("SHOP_DIRECTORY", str(directory))
        patch.setenv("DJANGO_SETTINGS_MODULE", "shop_settings")
        django.setup()
        for alias in ("default", "other"):
            call_command("migrate", run_syncdb=True, verbosity=0, database=alias)
    for name in set(registry.names()) - before:
        _jobs[name] = registry.find(name)
        registry.forget(name)
    return directory


@pytest.fixture
def app(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """The current app, as Django's start made it."""
    monkeypatch.chdir(tmp_path)
    app = current_app()
    before = (app.redis, app.wire, app.strict, dict(app.default_job_options))
    handlers = list(app.hooks.death_handlers)
    for job_class in _jobs.values():
        registry.add(job_class)
    JobdConfig.create("jobd.contrib.django").ready()
    yield app
    connections.close_all()
    for name in _jobs:
        registry.forget(name)
    app.client_class = Client
    app.run_coroutine = None
    app.hooks.death_handlers[:] = handlers
    app.redis, app.wire, app.strict, options = before
    app.default_job_options.clear()
    app.default_job_options.update(options)


@pytest.fixture
def shop(app: App) -> Any:
    """The project's app: its modules jobs, tasks and models; no orders yet."""
    names = ("jobs", "tasks", "models")
    modules = {name: importlib.import_module(f"shop.{name}") for name in names}
    modules["models"].Order.objects.all().delete()
    return SimpleNamespace(**modules)


@pytest.fixture
def store(app: App, monkeypatch: pytest.MonkeyPatch) -> RecordingStore:
    """What the app writes to, instead of Redis."""
    recording = RecordingStore()
    monkeypatch.setattr(app, "open_store", lambda _redis: recording)
    return recording


@pytest.fixture
def start_site(app: App, site: Path, redis_url: str, start_jobd: StartJobd) -> StartSite:
    """A function that starts ``manage.py jobd``; this process pushes to the same Redis."""
    app.redis = RedisSettings(url=redis_url)

    def start(*words: str, **options: Any) -> JobdProcess:
        env = {"SHOP_DIRECTORY": str(site), **options.pop("env", {})}
        config = {"require": [], **options.pop("config", {})}
        return start_jobd(command=(*MANAGE, "jobd"), args=words, env=env, config=config, **options)

    return start
