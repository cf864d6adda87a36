"""A place inside a job's arguments, as a search names it: ``arg.0.user.id:42``.

A part is the position in a list or the name of a field, behind a dot or in brackets; ``*`` is any.
A path that begins with a name may begin in any argument.
"""

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from jobd.api.wrapping import MASK as ENCRYPTED
from jobd.web.redaction import MASK

_PART: Final = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<inside>[^\[\]]+)\]")
_ANY: Final = "*"
_MASKS: Final = frozenset({MASK, ENCRYPTED})
_WILD: Final = re.compile(r"[*?]")


@dataclass(frozen=True, slots=True)
class ArgPath:
    """Where a value stands, and which one is wanted.

    Attributes:
        parts: from the arguments down; the first is a position or ``*``.
        value: as JSON has it, a text without its quotes; in it ``*`` stands for any letters and
            ``?`` for any one.
    """

    parts: tuple[str, ...]
    value: str

    @property
    def names(self) -> list[str]:
        """The parts that can only be names of fields."""
        return [part for part in self.parts if part != _ANY and not part.isdecimal()]

    def leads_to(self, args: Sequence[Any]) -> bool:
        """Whether the wanted value stands there."""
        found: list[Any] = [args]
        for part in self.parts:
            found = [inner for each in found for inner in _inside(each, part)]
        return any(_is_wanted(each, self.value) for each in found)


def read_path(text: str, value: str) -> ArgPath | None:
    """The path behind ``arg``: ``.0.user.id`` or ``[0][user][id]``; None if it cannot be read."""
    parts: list[str] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            return None
        parts.append(match["name"] or match["inside"])
        at = match.end()
    if not parts:
        return None
    begins_anywhere = parts[0] != _ANY and not parts[0].isdecimal()
    return ArgPath((_ANY, *parts) if begins_anywhere else tuple(parts), value)


def _inside(value: object, part: str) -> Iterator[object]:
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        if part == _ANY:
            yield from fields.values()
        elif part in fields:
            yield fields[part]
    elif isinstance(value, list):
        items = cast("list[object]", value)
        if part == _ANY:
            yield from items
        elif part.isdecimal() and len(part) < 10 and int(part) < len(items):
            yield items[int(part)]


def _is_wanted(value: object, wanted: str) -> bool:
    match value:
        case str():
            # What is masked is not to be found by its mask either.
            return value not in _MASKS and _fits(value, wanted)
        case bool() | None:
            return wanted == msgspec.json.encode(value).decode()
        case int() | float():
            return _number(wanted) == value or _fits(str(value), wanted)
        case _:
            return False


def _fits(text: str, wanted: str) -> bool:
    if not _WILD.search(wanted):
        return text == wanted
    return fnmatch.fnmatchcase(text, wanted.replace("[", "[[]"))


def _number(text: str) -> int | float | None:
    """42 is 42.0, and integers of any length are compared exactly."""
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None
