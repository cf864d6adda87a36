"""``manage.py jobd``: the jobd command for this project, with the same flags.

It becomes a plain jobd; each worker sets Django up for itself, after the fork.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser

from jobd import cli
from jobd.contrib.becoming import become_jobd
from jobd.contrib.django import preferences
from jobd.errors import ConfigError

SERVER = "jobd.contrib.django.server"
_OF_DJANGO = ("--settings", "--pythonpath")


class Command(BaseCommand):
    """Runs background jobs from Redis until told to stop."""

    help = "Runs background jobs from Redis until told to stop (the flags are jobd's)."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own form

    def run_from_argv(self, argv: list[str]) -> None:
        """Become jobd. Django's parser is left out, since -v and --version are jobd's here."""
        self._become_jobd(list(_without_djangos(argv[2:])))

    def print_help(self, *_words: str) -> None:
        """Show jobd's help, for ``manage.py help jobd``."""
        self._become_jobd(["--help"])

    def add_arguments(self, parser: CommandParser) -> None:
        """Only ``call_command("jobd", flags=[...])`` comes here."""
        parser.add_argument("--flags", nargs="*", default=[], help="jobd's flags")

    def handle(self, *_args: Any, **options: Any) -> NoReturn:
        """Become jobd."""
        self._become_jobd(options["flags"])

    def _become_jobd(self, flags: list[str]) -> NoReturn:
        try:
            become_jobd(SERVER, flags, name="manage.py jobd", environ=_environment())
        except ConfigError as error:
            for problem in error.problems:
                self.stderr.write(f"jobd: {problem}")
            sys.exit(cli.EX_CONFIG)


def _without_djangos(words: list[str]) -> Iterator[str]:
    """The flags but ``--settings`` and ``--pythonpath``, which Django has obeyed by now."""
    left = iter(words)
    for word in left:
        if word in _OF_DJANGO:
            next(left, None)
        elif word.partition("=")[0] not in _OF_DJANGO:
            yield word


def _environment() -> dict[str, str]:
    environ = dict(os.environ)  # noqa: TID251 - to be handed on
    url = preferences.redis_url()
    if url is not None:
        environ["REDIS_URL"] = url  # as for clients, for whom the settings are the last word
    inherited = environ.get("PYTHONPATH")
    places = [*_own_path(), *([inherited] if inherited else [])]
    environ["PYTHONPATH"] = os.pathsep.join(places)
    return environ


def _own_path() -> list[str]:
    """The folder of manage.py, and before it what ``--pythonpath`` added."""
    folder = str(Path(sys.argv[0]).resolve().parent)
    known = sys.path.index(folder) if folder in sys.path else 0
    return [str(Path(place).resolve()) for place in sys.path[: known + 1]]
