"""Flask: settings, the app's context around jobs, and ``flask jobd``.

    from jobd.contrib.flask import Jobd

    jobd = Jobd()

    def create_app():
        app = Flask("shop")
        jobd.init_app(app)
        return app

Nothing connects here; web processes, commands and workers do the same.
"""

import os
import sys
from typing import NoReturn

import click
import flask
from flask.cli import ScriptInfo

from jobd import cli
from jobd.app import App, Configuration, current_app  # noqa: TID251 - wiring: hands it to others
from jobd.contrib.becoming import become_jobd
from jobd.errors import ConfigError
from jobd.jobs import Job
from jobd.middleware import ServerCall
from jobd.payload import Payload

SERVER = "jobd.contrib.flask.server"
_SETTINGS = {
    "JOBD_REDIS": "redis",
    "JOBD_DEFAULT_JOB_OPTIONS": "default_job_options",
    "JOBD_STRICT": "strict",
}


class Jobd:
    """The extension.

    Settings in ``app.config``: ``JOBD_REDIS`` (a URL, or a dict as under ``configure_client``),
    ``JOBD_DEFAULT_JOB_OPTIONS``, ``JOBD_STRICT``. A server has its Redis from its own
    configuration, unless it is started by ``flask jobd``.

    Args:
        app: what ``init_app`` would be given.
    """

    def __init__(self, app: flask.Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Set jobs up for an app; of several in one process the last one counts.

        Raises:
            ConfigError: of the settings, with all that is wrong.
        """
        jobs = current_app()
        _apply(app, jobs)
        jobs.server_middleware.remove(AppContext)
        jobs.server_middleware.prepend(AppContext(app))
        app.cli.add_command(_command)
        app.extensions["jobd"] = self


class AppContext:
    """A server middleware that gives each job a context of the app, and its teardown.

    A job that runs inline in a request, or in another job, is in the context of that.

    Args:
        app: whose context.
    """

    def __init__(self, app: flask.Flask) -> None:
        self._app = app

    def __call__(self, job: Job, payload: Payload, proceed: ServerCall) -> None:
        """Run the job in it."""
        if flask.has_app_context() and flask.current_app == self._app:
            proceed(job, payload)
        else:
            with self._app.app_context():
                proceed(job, payload)


def _apply(app: flask.Flask, jobs: App) -> None:
    config, problems = Configuration(jobs), list[str]()
    for key, attribute in _SETTINGS.items():
        if key not in app.config or (jobs.is_server and attribute == "redis"):
            continue
        try:
            setattr(config, attribute, app.config[key])
        except (ConfigError, ValueError) as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise ConfigError(problems)


@click.command("jobd", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def _command(context: click.Context, flags: tuple[str, ...]) -> NoReturn:
    """Run background jobs from Redis until told to stop (the flags are jobd's)."""
    info = context.ensure_object(ScriptInfo)
    environ = dict(os.environ)  # noqa: TID251 - to be handed on
    if info.app_import_path:
        environ["FLASK_APP"] = info.app_import_path
    redis = current_app().redis
    if redis is not None and "JOBD_REDIS" in info.load_app().config:
        environ["REDIS_URL"] = redis.url  # as for clients, for whom the settings are the last word
    try:
        become_jobd(SERVER, flags, name="flask jobd", environ=environ)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"jobd: {problem}", err=True)
        sys.exit(cli.EX_CONFIG)
