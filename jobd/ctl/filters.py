"""The options that say which jobs are meant, where there are too many to name each."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import click

from jobd.api import Filter
from jobd.ctl.operator import Operator
from jobd.ctl.typed import moment

Command = TypeVar("Command", bound=Callable[..., Any])


def filtered(command: Command) -> Command:
    """Add the options; `filter_of` has what was said."""
    option = partial(click.option, expose_value=False, callback=_remember)
    for each in (
        option("--after", metavar="TIME", help="Due, dead or queued at this time or later."),
        option("--before", metavar="TIME", help="Due, dead or queued before this time."),
        option("--text", metavar="TEXT", help="Anywhere in the job: arguments, error, options."),
        option("--error", metavar="TEXT", help="In its last error, as CLASS: MESSAGE."),
        option("--tag", metavar="TAG", help="With this tag."),
        option("--queue", metavar="QUEUE", help="Of, or for, this queue."),
        option("--match", "class_name", metavar="CLASS", help="Of this class; * for any letters."),
    ):
        command = each(command)
    return command


def filter_of(operator: Operator) -> Filter:
    """The filter that the options make; without any it matches every job."""
    wanted: dict[str, Any] = dict(operator.wanted)
    for name in ("before", "after"):
        if name in wanted:
            when = moment(wanted[name], f"--{name}")
            wanted[name] = when if isinstance(when, datetime) else _of_epoch(when, name)
    return Filter(**wanted)


def filter_words(operator: Operator) -> str:
    """The options as they were typed, for questions and answers: `` with --match Echo``."""
    names = {"class_name": "match"}
    said = " ".join(f"--{names.get(name, name)} {text}" for name, text in operator.wanted.items())
    return f" with {said}" if said else ""


def _of_epoch(seconds: float, name: str) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise click.UsageError(f"--{name} {seconds:g}: no calendar has this time") from error


def _remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Operator).wanted[str(parameter.name)] = value
