"""What stands on the axes of charts, of the values that they are made of."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final, NamedTuple, Protocol

from jobd.api import Mark
from jobd.web.formats import iso, span

_MOST_WRITTEN: Final = 7


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


class Tick(NamedTuple):
    """A label.

    Attributes:
        label: in UTC; empty if it is not written.
        iso: the moment, so that a script can write it in the viewer's zone; empty of a whole day.
    """

    label: str
    iso: str = ""


def minutes(steps: Sequence[Timed]) -> list[Tick]:
    """``13:05``; in UTC, as the minutes are counted."""
    return [Tick(f"{step.at.astimezone(UTC):%H:%M}", iso(step.at)) for step in steps]


def days(steps: Sequence[Dated]) -> list[Tick]:
    """``22 Nov``."""
    return [Tick(f"{step.date:%d %b}".lstrip("0")) for step in steps]


def columns(steps: Sequence[Timed], count: int) -> list[Tick]:
    """The labels of as many columns as the steps were summed up to."""
    apart = -(-len(steps) // max(count, 1)) or 1
    return minutes(steps[::apart])


def bounds(bounds_ms: Sequence[int]) -> list[str]:
    """Of classes of durations: ``<45 ms``, ``<2.5 s``; the open one is the longest."""
    return [f"<{span(bound / 1000)}" if bound else "longer" for bound in bounds_ms]


def few(ticks: Sequence[Tick]) -> list[Tick]:
    """The labels with all but a few blanked, so that they do not overlap."""
    apart = max(len(ticks) // _MOST_WRITTEN, 1)
    return [tick if index % apart == 0 else Tick("") for index, tick in enumerate(ticks)]


def deploys(marks: Sequence[Mark], steps: Sequence[Timed]) -> list[tuple[int, str]]:
    """At which of these steps there was a deploy, and its name; the last step has what follows."""
    found: list[tuple[int, str]] = []
    for mark in marks:
        before = sum(step.at <= mark.at for step in steps)
        if before:
            found.append((before - 1, mark.label))
    return found


def shares(marks: Sequence[Mark], begins: datetime, ends: datetime) -> list[float]:
    """How far on the way from one moment to another there was a deploy: 0 to 1."""
    lasts_s = (ends - begins).total_seconds() or 1.0
    found = [(mark.at - begins).total_seconds() / lasts_s for mark in marks]
    return [share for share in found if 0 <= share <= 1]
