"""Loading the application into a child, or its trial: what is set before, and what a failure means.

The modules themselves are imported by `jobd.application`.
"""

import os
import traceback
from pathlib import Path

from jobd import application, log
from jobd.app import App, current_app  # noqa: TID251 - wiring, as in boot
from jobd.config import Config
from jobd.errors import ConfigError
from jobd.supervisor.child import Child


def load(config: Config, app: App) -> None:
    """Import the application; its configure_server runs meanwhile.

    Raises:
        ConfigError: a module cannot be found, or it wants another Redis than the server's.
    """
    app.is_server = True
    app.wire = config.wire
    app.reliable_push = config.reliable_push
    app.redis = config.redis  # what it pushes while it is imported belongs there too
    application.load(config.require, Path.cwd())
    wanted = app.redis
    if wanted.url != config.redis.url:
        raise ConfigError(
            [
                (
                    f"configure_server wants Redis at {wanted.masked_url}, but the server works "
                    f"on {config.redis.masked_url}: set it with REDIS_URL or redis.url, and take "
                    "it out of configure_server"
                )
            ]
        )
    app.redis = config.redis
    log.capture_logging()


def load_in_child(config: Config, child: Child) -> int:
    """Import the application in a child that runs no job; 0, or what the child leaves with."""
    try:
        load(config, current_app())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the application may raise anything
        return refuse_to_boot(child, error)
    return os.EX_OK


def refuse_to_boot(child: Child, error: BaseException) -> int:
    """Tell the master why this child leaves; returns the exit status."""
    # What another try would meet again, and what may pass: a database that is away, for one.
    final = (
        ImportError,
        SyntaxError,
        NameError,
        AttributeError,
        TypeError,
        ConfigError,
        ValueError,
        SystemExit,  # sys.exit("set DATABASE_URL first") means it
    )
    is_final = isinstance(error, final)
    if isinstance(error, ConfigError):
        text = str(error)
    else:
        text = "".join(traceback.format_exception(error)).rstrip()
    child.boot_failed("config" if is_final else "transient", text)
    return os.EX_CONFIG if is_final else os.EX_TEMPFAIL
