"""What people type as text and mean as a value: arguments of a job, a point in time."""

import json
import math
from datetime import datetime
from typing import NoReturn, cast

import click


def arguments(text: str) -> list[object]:
    """The arguments of a job, from a JSON array."""
    try:
        found: object = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 20) : error.pos + 20]
        raise click.UsageError(
            f"ARGS-JSON is not JSON: {error.msg} at character {error.pos + 1}, near {near!r}; "
            """it is an array in quotes of the shell: '["a@b.c", 3]'"""
        ) from error
    if not isinstance(found, list):
        raise click.UsageError(
            f"ARGS-JSON must be an array, one element for each argument: '[{text}]'"
        )
    return cast("list[object]", found)


def _refuse_constant(name: str) -> NoReturn:
    raise click.UsageError(f"ARGS-JSON holds {name}, which is not JSON: use null or a text")


def moment(text: str, option: str) -> datetime | float:
    """A time with its zone, or seconds since the epoch.

    Args:
        text: what was typed.
        option: for which, as it is typed.

    Raises:
        click.UsageError: it is no time, or of no zone.
    """
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if math.isfinite(seconds):
            return seconds
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(
            f"{option} {text}: no time; give 2026-12-24T18:00Z or seconds since the epoch"
        ) from error
    if found.utcoffset() is None:
        raise click.UsageError(f"{option} {text}: has no time zone; add Z for UTC, or +02:00")
    return found
