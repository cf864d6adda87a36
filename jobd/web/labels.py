"""Labels of axes, of the values that charts are made of."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Protocol

from jobd.web.formats import span


class Timed(Protocol):
    """What happened at a time."""

    @property
    def at(self) -> datetime:
        """When it began."""
        ...


class Dated(Protocol):
    """What happened on a day."""

    @property
    def date(self) -> date:
        """Which."""
        ...


def minutes(steps: Sequence[Timed]) -> list[str]:
    """``13:05``; in UTC, as the minutes are counted."""
    return [f"{step.at.astimezone(UTC):%H:%M}" for step in steps]


def days(steps: Sequence[Dated]) -> list[str]:
    """``22 Nov``."""
    return [f"{step.date:%d %b}".lstrip("0") for step in steps]


def columns(steps: Sequence[Timed], count: int) -> list[str]:
    """The labels of as many columns as the steps were summed up to."""
    apart = -(-len(steps) // max(count, 1)) or 1
    return minutes(steps[::apart])


def bounds(bounds_ms: Sequence[int]) -> list[str]:
    """Of classes of durations: ``<45 ms``, ``<2.5 s``; the open one is the longest."""
    return [f"<{span(bound / 1000)}" if bound else "longer" for bound in bounds_ms]
