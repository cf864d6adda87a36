"""Flask: its settings, the app's context around jobs, and ``flask jobd``."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest

from jobd import Job
from jobd.app import current_app  # noqa: TID251 - put back after each test
from jobd.contrib.flask import AppContext, Jobd
from jobd.errors import ConfigError
from jobd.jobs import registry
from tests.support.jobd_process import StartJobd

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "flask_shop.py"
FLASK = (sys.executable, "-m", "flask", "--app", str(EXAMPLE))
ENVIRON = os.environ  # noqa: TID251 - handed on
TOLD = "shop@example.com writes to ada@example.com"


@pytest.fixture(autouse=True)
def jobs_app() -> Iterator[Any]:
    """The default app; its settings are put back afterwards."""
    app = current_app()
    yield app
    app.redis, app.strict = None, "raise"
    app.default_job_options.clear()
    app.server_middleware.clear()
    registry.forget("Where")


def an_app(**settings: Any) -> flask.Flask:
    app = flask.Flask("shop")
    app.config.update(settings)
    Jobd(app)
    return app


def test_settings_are_those_of_the_client(jobs_app: Any) -> None:
    an_app(
        JOBD_REDIS={"url": "redis://example.com", "size": 3},
        JOBD_DEFAULT_JOB_OPTIONS={"retry": 3},
        JOBD_STRICT="warn",
    )
    assert (jobs_app.redis.url, jobs_app.redis.size) == ("redis://example.com", 3)
    assert (jobs_app.default_job_options, jobs_app.strict) == ({"retry": 3}, "warn")


def test_all_that_is_wrong_with_the_settings_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        an_app(
            JOBD_REDIS={"uri": "x"}, JOBD_STRICT="perhaps", JOBD_DEFAULT_JOB_OPTIONS={"retry": "x"}
        )
    redis, options, strict = caught.value.problems
    assert redis.startswith('JOBD_REDIS: redis: no setting "uri"')
    assert options.startswith("JOBD_DEFAULT_JOB_OPTIONS: retry")
    assert strict.startswith("JOBD_STRICT: strict")


def test_a_job_has_the_context_of_the_app_and_its_teardown(
    jobs_app: Any, jobd_inline: None
) -> None:
    seen: list[str] = []

    class Where(Job):
        def perform(self) -> None:
            seen.append(flask.current_app.name)

    app = an_app()
    app.teardown_appcontext(lambda _: seen.append("teardown"))
    Where.perform_async()
    assert seen == ["shop", "teardown"]

    with app.test_request_context():
        Where.perform_async()  # in the context of the request
        assert seen[2:] == ["shop"]


def test_of_two_apps_the_last_one_counts(jobs_app: Any) -> None:
    an_app()
    an_app()
    assert [type(link) for link in jobs_app.server_middleware] == [AppContext]


@pytest.mark.redis
@pytest.mark.process
def test_what_a_request_pushed_is_run_by_flask_jobd(redis_url: str, start_jobd: StartJobd) -> None:
    jobd = start_jobd(command=(*FLASK, "jobd"), args=["-g", "of-flask"])
    environ = {**ENVIRON, "REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)}
    posting = (
        "from examples.flask_shop import create_app\n"
        "client = create_app().test_client()\n"
        'print(client.post("/signup", data={"email": "ada@example.com"}).status_code)'
    )
    command = [sys.executable, "-c", posting]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "202\n"
    jobd.wait_for_log(TOLD)
    jobd.wait_for_log("tag=of-flask")
    assert jobd.stop() == 0


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--help"], 0, "Usage: flask jobd"),
        (["--check", "-r", "nowhere"], 78, 'there is no module "nowhere"'),
        (["-C", "nowhere.yml"], 78, "jobd: nowhere.yml"),
    ],
)
def test_flask_jobd_takes_the_flags_of_jobd(
    words: list[str], status: int, told: str, tmp_path: Path
) -> None:
    environ = {**ENVIRON, "PYTHONPATH": str(ROOT), "REDIS_URL": "redis://127.0.0.1:1"}
    done = subprocess.run(
        [*FLASK, "jobd", *words],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told in done.stdout + done.stderr
    assert done.returncode == status


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1", "Failed to find Flask application"),
        ("import flask; app = flask.Flask('plain')", "plain: call jobd.contrib.flask.Jobd"),
    ],
)
def test_an_app_that_cannot_be_served_is_told_at_boot(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text(text)
    environ = {**ENVIRON, "FLASK_APP": "some", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "jobd", "--check", "-r", "jobd.contrib.flask.server"]
    done = subprocess.run(
        command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 78
    assert told in done.stdout + done.stderr
