"""How a framework's own command becomes jobd, by exec(3) and with its pid.

The master must not hold what the framework has opened and started by then, and each worker loads
the application for itself, after the fork.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

import click

from jobd import cli
from jobd.config import Flags, load


def become_jobd(
    server: str, flags: Sequence[str], *, name: str, environ: Mapping[str, str]
) -> NoReturn:
    """Run jobd in the place of this process.

    Args:
        server: the module that loads the application; required before all others.
        flags: jobd's, as typed.
        name: of the command, for its help.
        environ: what it finds in its environment.

    Raises:
        ConfigError: of the configuration file.
        SystemExit: help or version were asked for, and shown.
    """
    words = [word for module in _required(server, flags, name) for word in ("-r", module)]
    sys.stdout.flush()
    command = [sys.executable, "-m", "jobd", *words, *flags]
    os.execve(sys.executable, command, environ)  # noqa: S606 - our own words


def _required(server: str, flags: Sequence[str], name: str) -> Iterator[str]:
    """What has to be required before what the flags say."""
    try:
        said = cli.jobd.make_context(name, list(flags)).params
    except click.exceptions.Exit as done:  # it has shown its help or its version
        sys.exit(done.exit_code)
    except click.UsageError:
        return  # jobd itself complains, in its own words
    yield server
    if not said["require"]:
        # A flag replaces what the file requires, so that is said again.
        found = load(Flags(config=said["config"], environment=said["environment"])).require
        yield from (module for module in found if module != server)
