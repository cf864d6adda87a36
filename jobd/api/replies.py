"""Reading what Redis and other programs say, however broken it is: nothing here raises.

What is no number is 0, what is no JSON object is an empty one, what is no UTF-8 is shown escaped.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec

from jobd.errors import MalformedPayload
from jobd.payload import decode

_DECODER: Final = msgspec.json.Decoder()


def text(value: Any) -> str:
    """A reply as text."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def name(value: bytes) -> str:
    """The name of a queue as text from which its bytes can be had again, whatever they are."""
    return value.decode("utf-8", "surrogateescape")


def raw(name: str) -> bytes:
    """The bytes of a name, or of a key with a name in it."""
    return name.encode("utf-8", "surrogateescape")


def number(value: Any) -> int:
    """A reply or a JSON value as an integer; 0 if it is none."""
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else 0
    try:
        return int(value or 0)
    except (TypeError, ValueError):
        return 0


def real(value: Any) -> float:
    """A reply or a JSON value as a finite float; 0.0 if it is none."""
    try:
        found = float(value or 0)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return found if math.isfinite(found) else 0.0


def string(value: Any) -> str:
    """A JSON string; anything else is empty."""
    return value if isinstance(value, str) else ""


def strings(value: Any) -> tuple[str, ...]:
    """The strings of a JSON array; whatever else is in it is left out."""
    found = cast("list[object]", value) if isinstance(value, list) else []
    return tuple(each for each in found if isinstance(each, str))


def document(raw: bytes | None) -> Any:
    """What some JSON says; None if it is none. Bytes in it that are no UTF-8 are replaced."""
    try:
        return _DECODER.decode((raw or b"null").decode("utf-8", "replace"))
    except (ValueError, RecursionError, MemoryError):
        return None


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object; anything else is an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def fields(raw: bytes) -> dict[str, Any]:
    """The fields of a payload; empty if it is no job."""
    try:
        return decode(raw)
    except MalformedPayload:
        return {}


def pairs(lines: Sequence[str], separator: str) -> Iterator[tuple[str, str]]:
    """Lines such as ``name:value``; others are passed over."""
    for line in lines:
        name, found, value = line.partition(separator)
        if found:
            yield name, value


def flat(reply: Sequence[bytes]) -> dict[str, bytes]:
    """The fields of a hash as HGETALL gives them."""
    return dict(zip(map(text, reply[::2]), reply[1::2], strict=True))


def moment(ms: float | None) -> datetime | None:
    """A time of milliseconds since the epoch, aware; None if no calendar has it."""
    if ms is None:
        return None
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
