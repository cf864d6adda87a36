"""What a server of a Flask app requires: importing it makes the app, as ``flask`` itself would.

``flask jobd`` names it by itself; elsewhere it stands first in ``require``, or is given with
``-r jobd.contrib.flask.server``, and ``FLASK_APP`` says where the app is. It is imported after the
fork, so the app's connections are not inherited.
"""

import os

import click
from flask.cli import ScriptInfo

from jobd.errors import ConfigError


def _load() -> None:
    try:
        app = ScriptInfo(os.environ.get("FLASK_APP")).load_app()  # noqa: TID251 - Flask's own
    except click.ClickException as error:
        # One that no other try would pass, so the boot is not tried again.
        raise ConfigError([error.format_message()]) from error
    if "jobd" not in app.extensions:
        raise ConfigError([f"{app.name}: call jobd.contrib.flask.Jobd(app) where it is made"])


_load()
