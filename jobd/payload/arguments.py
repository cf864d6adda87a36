"""Whether JSON carries a value exactly, and what to do about it where it does not.

Exactly str, int, float, bool, None, list, and dict with str keys pass: a subclass would arrive as
something else. Depth is limited to what Ruby's parser reads.

Source: Sidekiq's lib/sidekiq/job_util.rb (verify_json).
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from jobd.errors import InvalidArguments

MAX_NESTING: Final = 100
"""Deepest JSON that Ruby parses; the payload's object and its args are the first two levels."""


def check_arguments(args: list[Any]) -> None:
    """Refuse what JSON would change on its way, and what Ruby would not read.

    Raises:
        InvalidArguments: naming the path (``args[0]["when"]``), the type, and the conversion.
    """
    offence = _inspect(args, MAX_NESTING - 1)
    if offence is not None:
        raise InvalidArguments(offence.sentence("args"))


def check_values(payload: Mapping[str, Any]) -> None:
    """Check every value of a payload as ``check_arguments`` does its arguments."""
    for key, value in payload.items():
        if type(value) in _PLAIN:
            continue
        offence = _inspect(value, MAX_NESTING - 1)
        if offence is not None:
            raise InvalidArguments(offence.sentence(key))


def loosen(args: list[Any]) -> list[Any]:
    """Arguments as the json module would send them: tuples become lists, keys strings.

    Raises:
        InvalidArguments: what even that cannot write.
    """
    try:
        loose: list[Any] = json.loads(json.dumps(args, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as err:
        raise InvalidArguments(f"args cannot be written as JSON: {err}") from err
    return loose


class _Offence:
    """What is wrong with one value; the path to it is collected on the way out."""

    __slots__ = ("path", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.path: list[int | str] = []  # innermost first

    def sentence(self, root: str) -> str:
        steps = [_step(part) for part in reversed(self.path)]
        if len(steps) > 8:
            steps[4:-2] = ["..."]
        return f"{root}{''.join(steps)} {self.text}"


def _step(part: int | str) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    quoted = json.dumps(part, ensure_ascii=not _is_utf8(part))
    return f"[{quoted}]" if len(quoted) <= 60 else f'[{quoted[:50]}..."]'


_PLAIN: Final = frozenset({int, bool, type(None)})


def _inspect(value: object, room: int) -> _Offence | None:
    if type(value) in _PLAIN:
        return None
    check = _INSPECTORS.get(type(value))
    return _Offence(_unfit(value)) if check is None else check(value, room)


def _inspect_text(value: str, _room: int) -> _Offence | None:
    return None if _is_utf8(value) else _Offence(_SURROGATE)


def _inspect_float(value: float, _room: int) -> _Offence | None:
    if math.isfinite(value):
        return None
    return _Offence(f"is {value!r}, which JSON does not have; pass None or a string instead")


def _inspect_list(value: list[Any], room: int) -> _Offence | None:
    if not room:
        return _Offence(_TOO_DEEP)
    for index, element in enumerate(value):
        offence = _inspect(element, room - 1)
        if offence is not None:
            offence.path.append(index)
            return offence
    return None


def _inspect_dict(value: dict[Any, Any], room: int) -> _Offence | None:
    if not room:
        return _Offence(_TOO_DEEP)
    for key, element in value.items():
        offence = _inspect_key(key)
        if offence is not None:
            return offence
        offence = _inspect(element, room - 1)
        if offence is not None:
            offence.path.append(key)
            return offence
    return None


def _inspect_key(key: object) -> _Offence | None:
    if type(key) is not str:
        return _Offence(
            f"has the key {key!r} of type {type_name(key)}; JSON has string keys only, "
            "so pass str(key) and convert it back in perform"
        )
    return None if _is_utf8(key) else _Offence(f"has a key that {_SURROGATE}")


_INSPECTORS: Final[dict[type, Callable[[Any, int], _Offence | None]]] = {
    str: _inspect_text,
    float: _inspect_float,
    list: _inspect_list,
    dict: _inspect_dict,
}

_SURROGATE: Final = (
    "holds half of a surrogate pair, which UTF-8 cannot carry; "
    'clean it with text.encode("utf-8", "replace").decode()'
)
_TOO_DEEP: Final = (
    f"is nested too deeply: a payload has at most {MAX_NESTING} levels, "
    f"which leaves {MAX_NESTING - 2} inside args"
)

# By name, so that no module is imported only to recognise its types. First match wins: an
# enum that is also a str must not be told to pass str(value).
_CONVERSIONS: Final = {
    "enum.Enum": "pass value.value",
    "datetime.timedelta": "pass value.total_seconds()",
    "datetime.date": "pass value.isoformat()",
    "datetime.time": "pass value.isoformat()",
    "decimal.Decimal": "pass str(value)",
    "fractions.Fraction": "pass str(value)",
    "uuid.UUID": "pass str(value)",
    "pathlib.PurePath": "pass str(value)",
    "pathlib._local.PurePath": "pass str(value)",
    "numpy.generic": "pass value.item()",
    "numpy.ndarray": "pass value.tolist()",
    "builtins.str": "pass str(value)",
    "builtins.int": "pass int(value)",
    "builtins.float": "pass float(value)",
    "builtins.list": "pass list(value)",
    "builtins.tuple": "pass list(value)",
    "builtins.set": "pass list(value)",
    "builtins.frozenset": "pass list(value)",
    "builtins.range": "pass list(value)",
    "builtins.generator": "pass list(value)",
    "builtins.dict": "pass dict(value)",
    "builtins.bytes": "pass value.decode() or base64.b64encode(value).decode()",
    "builtins.bytearray": "pass value.decode() or base64.b64encode(value).decode()",
}


def _unfit(value: object) -> str:
    names = {f"{base.__module__}.{base.__qualname__}" for base in type(value).__mro__}
    way_out = next((text for name, text in _CONVERSIONS.items() if name in names), None)
    if way_out is None:
        is_dataclass = hasattr(type(value), "__dataclass_fields__")
        way_out = (
            "pass dataclasses.asdict(value)"
            if is_dataclass
            else "pass its id, or a dict of plain values"
        )
    return f"is a {type_name(value)}, which JSON cannot carry exactly; {way_out}"


def type_name(value: object) -> str:
    """A value's type as its user would write it."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
