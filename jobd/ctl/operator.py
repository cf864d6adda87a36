"""What an operator said around the command, and the Redis that follows from it.

The options that every command has, the answer in one of two forms, the question before something
is destroyed, and the end with a status and a sentence.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NoReturn, TypeVar

import click

from jobd.api import SET_NAMES, Access, JobSet, Queue, set_of
from jobd.config import Config, Flags, load
from jobd.connection import Pool
from jobd.keys import Keys

EX_FAILED = 1
EX_USAGE = 64
EX_UNAVAILABLE = 69
EX_CANTCREAT = 73
EX_CONFIG = 78

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Operator:
    """What was said before or after the command, and the Redis that follows from it."""

    config: str | None = None
    environment: str | None = None
    as_json: bool = False

    keys = Keys()

    @cached_property
    def settings(self) -> Config:
        """As the server would read them."""
        return load(Flags(config=self.config, environment=self.environment))

    @cached_property
    def redis(self) -> Pool:
        """The configured store; it connects at the first command."""
        return Pool(self.settings.redis)

    @cached_property
    def access(self) -> Access:
        """The same, with the rules of the settings."""
        settings = self.settings
        return Access(
            redis=self.redis,
            keys=self.keys,
            wire=settings.wire,
            dead_max_jobs=settings.dead_max_jobs,
            dead_timeout_s=settings.dead_timeout_s,
        )

    def jobs(self, place: str) -> Queue | JobSet:
        """A set by its name, else the queue of that name."""
        if place in SET_NAMES:
            return set_of(place, access=self.access)
        return Queue(place, access=self.access)

    def show(self, answer: object, text: str) -> None:
        """Print the answer for a program, or the text for a person."""
        click.echo(json.dumps(answer, indent=2) if self.as_json else text)


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    operator = context.ensure_object(Operator)
    if value:
        setattr(operator, str(parameter.name), value)


def everywhere(command: Command) -> Command:
    """The options that may stand before or after the command."""
    option = partial(click.option, expose_value=False, callback=_remember)
    for each in (
        option("--json", "as_json", is_flag=True, help="Answer in JSON."),
        option("-e", "--environment", metavar="ENV", help="Its section."),
        option("-C", "--config", metavar="FILE", help="The YAML file with the settings."),
    ):
        command = each(command)
    return command


def ask(question: str) -> None:
    """Go on only if a person at a terminal says yes."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is nobody to ask here: give --yes")
    if not click.confirm(question, err=True):
        end(EX_FAILED, "nothing was deleted")


def end(status: int, *sentences: str) -> NoReturn:
    """Leave with this status, after these sentences on stderr."""
    for sentence in sentences:
        click.echo(f"jobctl: {sentence}", err=True)
    raise SystemExit(status)
