"""Which arguments may be shown, and how much of them.

The masks are laid on before anything leaves this process: the pages and their JSON twins see only
what is left.
"""

import fnmatch
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from jobd.web.settings import Settings

MASK: Final = "[redacted]"
_DEEPEST: Final = 40
# Of a limited length, so that the time grows with the text and not with its square.
_NAMED: Final = re.compile(r'"((?:[^"\\]|\\.){0,200})"\s*:\s*')
_PLAIN_VALUE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^"\[{,}\]\s]+')


@dataclass(frozen=True, slots=True)
class Shown:
    """Arguments as they may be shown.

    Attributes:
        is_masked: something was left out, so these are not the job's real arguments.
    """

    args: list[Any]
    is_masked: bool


class Masks:
    """The rules of a dashboard.

    Args:
        settings: of its owner.
    """

    def __init__(self, settings: Settings) -> None:
        self._is_secret = _matcher(settings.redact)
        self._redactor = settings.redactor

    def args(self, class_name: str, args: list[Any]) -> Shown:
        """The arguments of a job as they may be shown."""
        shown = [_masked(arg, self._is_secret, 0) for arg in args]
        if self._redactor is not None:
            shown = self._redactor(class_name, shown)
        return Shown(shown, is_masked=shown != args)

    def text(self, text: str) -> str:
        """The bytes of what is no job, as they may be shown: cut where a secret cannot be ended."""
        if self._redactor is not None:
            # It decides by class and arguments, which nobody can tell here.
            return MASK
        shown: list[str] = []
        at = 0
        for match in _NAMED.finditer(text):
            if match.start() < at or not self._is_secret(_unescaped(match[1])):
                continue
            shown += (text[at : match.end()], MASK)
            value = _PLAIN_VALUE.match(text, match.end())
            if value is None:
                return "".join(shown)
            at = value.end()
        return "".join((*shown, text[at:]))

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Other fields of a payload as they may be shown."""
        return cast("dict[str, Any]", _masked(fields, self._is_secret, 0))


def preview(value: Any, longest: int) -> str:
    """JSON of a value, cut as early as possible: a megabyte is not encoded to show a line."""
    text = json.dumps(_shortened(value, [longest]), ensure_ascii=False, default=str)
    return text if len(text) <= longest else f"{text[:longest]}…"


def _unescaped(name: str) -> str:
    try:
        return str(json.loads(f'"{name}"', strict=False))
    except ValueError:
        return name


def _matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    patterns = [fnmatch.translate(glob.lower()) for glob in globs]
    if not patterns:
        return lambda _: False
    found = re.compile("|".join(patterns))
    return lambda name: found.match(name.lower()) is not None


def _masked(value: Any, is_secret: Callable[[str], bool], depth: int) -> Any:
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {
            name: MASK if is_secret(name) else _masked(inner, is_secret, depth + 1)
            for name, inner in fields.items()
        }
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [_masked(inner, is_secret, depth + 1) for inner in items]
    return value


def _shortened(value: Any, room: list[int]) -> Any:
    """The value without what does not fit; ``room`` is what is left for all that follows."""
    if room[0] <= 0:
        return "…"
    if isinstance(value, str):
        kept = value[: room[0]]
        room[0] -= len(kept) + 2
        return kept if len(kept) == len(value) else f"{kept}…"
    if isinstance(value, dict):
        return _shortened_fields(cast("dict[str, Any]", value), room)
    if isinstance(value, list):
        items = cast("list[object]", value)
        return _shortened_items(items, room)
    room[0] -= 4
    return value


def _shortened_fields(fields: dict[str, Any], room: list[int]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, inner in fields.items():
        if room[0] <= 0:
            kept["…"] = "…"
            break
        room[0] -= len(name) + 4
        kept[name[:200]] = _shortened(inner, room)
    return kept


def _shortened_items(items: list[object], room: list[int]) -> list[Any]:
    kept: list[Any] = []
    for inner in items:
        if room[0] <= 0:
            kept.append("…")
            break
        kept.append(_shortened(inner, room))
    return kept
