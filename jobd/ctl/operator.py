"""What an operator said around the command, and the Redis that follows from it.

The options that every command has, the answer in one of two forms, the question before something
is destroyed, and the end with a status and a sentence.
"""

import json
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NoReturn, TypeVar

import click
import psutil

from jobd.api import SET_NAMES, Access, Audit, JobSet, Queue, set_of
from jobd.config import Config, Flags, load
from jobd.ctl.words import did_you_mean, safe
from jobd.errors import RedisError
from jobd.keys import Keys
from jobd.pool import Pool

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
    wanted: dict[str, str] = field(default_factory=dict[str, str])

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
        """What the objects of `jobd.api` reach it with; the limits of the dead set are a server's.

        Without hooks: whoever kills a job from here has no application whose handlers could hear.
        """
        settings = self.settings
        return Access(
            redis=self.redis,
            keys=self.keys,
            wire=settings.wire,
            dead_limits=(settings.dead_max_jobs, settings.dead_timeout_s),
        )

    def place(self, name: str) -> Queue | JobSet:
        """A set by its name, else the queue of that name, also where it is called ``queue:NAME``.

        Ends the command if there is no such queue.
        """
        if name in SET_NAMES:
            return set_of(name, access=self.access)
        queue = Queue(name.removeprefix("queue:"), access=self.access)
        if not queue.is_known:
            end(EX_FAILED, self.no_queue(queue.name, SET_NAMES))
        return queue

    def no_queue(self, name: str, others: Sequence[str] = ()) -> str:
        """The sentence for a queue that nobody knows.

        Args:
            name: as it was typed.
            others: what else might have been meant.
        """
        known = [queue.name for queue in Queue.all(access=self.access)]
        hint = did_you_mean(name, [*known, *others])
        return f"there is no queue {safe(name)}{hint or '; jobctl queues lists them'}"

    def note(self, what: str, target: str, count: int, **detail: Any) -> None:
        """Write what was done into the audit log, as the dashboard does.

        Args:
            what: a verb such as ``retry`` or ``clear``.
            target: a set, ``queue NAME``, a jid or an identity.
            count: for how many jobs or processes; nothing is noted for none.
            detail: anything that JSON can carry.
        """
        if not count:
            return
        user = psutil.Process().username()
        who = f"{user}@{socket.gethostname()} (jobctl)"
        try:
            Audit(access=self.access).record(who, what, target=target, count=count, detail=detail)
        except RedisError as error:
            # It is done all the same, and so is not to end as if it were not.
            click.echo(f"jobctl: it is not in the audit log: {error}", err=True)

    def show(self, answer: object, text: str) -> None:
        """Print the answer for a program, or the text for a person."""
        click.echo(json.dumps(answer, indent=2) if self.as_json else text)


def target_of(place: Queue | JobSet) -> str:
    """What the audit log calls a place."""
    return f"queue {place.name}" if isinstance(place, Queue) else place.name


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


def seconds(
    flag: str, name: str, default: float, *, help_: str, at_least: float = 0
) -> Callable[[Command], Command]:
    """An option that is a number of seconds, or a part of one; the help tells the default."""
    return click.option(
        flag,
        name,
        metavar="SECONDS",
        type=click.FloatRange(min=at_least),
        default=default,
        help=f"{help_} ({default:g}).",
    )


def agree(question: str) -> None:
    """Go on only if a person at a terminal says yes.

    Args:
        question: ends with its question mark, or with what there is to know.
    """
    mind_terminal(question)
    if not click.confirm(question, err=True):
        end(EX_FAILED, "nothing was done")


def mind_terminal(question: str) -> None:
    """Refuse a question that nobody would hear, before what leads to it takes its time.

    Raises:
        click.UsageError: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is nobody to ask here: give --yes")


def end(status: int, *sentences: str) -> NoReturn:
    """Leave with this status, after these sentences on stderr."""
    for sentence in sentences:
        click.echo(f"jobctl: {sentence}", err=True)
    raise SystemExit(status)
