"""The wire format of a job: build, check, encode, decode.

Nothing here reads a clock or touches Redis. Who may be pushed, and where to, is the client's
business; what a failure adds to a payload is the worker's.

Source: Sidekiq's lib/sidekiq/{client,job_util}.rb. JSON is msgspec's: it keeps integers beyond
2^64 exactly, in both directions.
"""

import difflib
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, TypeGuard, cast

import msgspec

from jobd.errors import InvalidArguments, InvalidJob, MalformedPayload
from jobd.payload.arguments import (
    MAX_NESTING,
    check_arguments,
    check_values,
    loosen,
    type_name,
)

__all__ = [
    "MAX_NESTING",
    "Payload",
    "Strict",
    "When",
    "Wire",
    "build",
    "check_arguments",
    "check_fields",
    "check_options",
    "check_values",
    "decode",
    "encode",
    "loosen",
    "name_inside",
    "new_jid",
    "resolve_at",
    "timestamp",
    "to_ms",
]

Payload: TypeAlias = dict[str, Any]
"""A job as it stands in Redis. A plain dict, since any further key is carried untouched.

    class         str, required          name of the job
    args          list, required         positional arguments
    jid           str                    24 hex digits, or what the caller supplied
    queue         str                    name without a prefix
    retry         bool | int             always written: a Ruby reader drops a job without it
    retry_for     int                    seconds; replaces the count of ``retry``
    retry_queue   str
    backtrace     bool | int             store all of it, or the first N lines
    dead          bool                   False: never enters the dead set
    tags          list[str]
    result_ttl    int                    seconds for which its result is kept; jobd's own
    time_limit, kill_after    float      seconds; only if set for this push
    created_at    int ms (float s: wire 7), set once
    enqueued_at   the same, set at each push to a queue; absent while scheduled
    failed_at, retried_at                the same
    retry_count   int                    0 after the first failure
    error_message, error_class, error_backtrace    str
"""

Wire: TypeAlias = Literal[7, 8]
Strict: TypeAlias = Literal["raise", "warn", "off"]
When: TypeAlias = int | float | timedelta | datetime

_RELATIVE_BELOW_S: Final = 1_000_000_000
_LATEST_S: Final = 253_402_300_800  # the year 10000, out of reach of every date library
_QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]+")
_encoder = msgspec.json.Encoder()
_decode = msgspec.json.Decoder().decode


def new_jid() -> str:
    """Return 24 random hex digits."""
    return os.urandom(12).hex()


def timestamp(now_ms: int, wire: Wire) -> int | float:
    """A time as the wire has it: integer milliseconds (8), or float seconds (7)."""
    return now_ms if wire == 8 else now_ms / 1000


def to_ms(value: object) -> int | None:
    """Milliseconds of a time read from a payload, or None if it is none.

    The JSON type decides, never the size: a float is seconds, an integer milliseconds.
    """
    if isinstance(value, float):
        return round(value * 1000) if math.isfinite(value * 1000) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def resolve_at(when: When, now_ms: int) -> float | None:
    """When a job is due, in epoch seconds; None if that is now or past.

    Args:
        when: a timedelta from now, an aware datetime, or seconds: below 1,000,000,000 from now,
            else since the epoch, as Sidekiq reads them.
        now_ms: milliseconds since the epoch.

    Raises:
        InvalidJob: a naive datetime, NaN, infinity, a time beyond the year 9999.
    """
    at_s = _epoch_s(when, now_ms)
    if at_s >= _LATEST_S:
        raise InvalidJob(
            f"a job cannot be scheduled at {when!r}, after the year 9999; "
            "times are seconds, not milliseconds"
        )
    return at_s if at_s * 1000 > now_ms else None


def _epoch_s(when: object, now_ms: int) -> float:
    if isinstance(when, datetime):
        if when.utcoffset() is None:
            raise InvalidJob(
                f"{when!r} has no time zone, so the moment it means is not known; "
                "pass when.astimezone(), or datetime.now(UTC) and the like"
            )
        return when.timestamp()
    if isinstance(when, timedelta):
        return now_ms / 1000 + _finite(when.total_seconds(), when)
    if isinstance(when, bool) or not isinstance(when, int | float):
        raise InvalidJob(
            f"{when!r} ({type_name(when)}) is no time: "
            "pass seconds, a timedelta or an aware datetime"
        )
    seconds = _finite(when, when)
    return now_ms / 1000 + seconds if seconds < _RELATIVE_BELOW_S else min(seconds, _LATEST_S)


def _finite(seconds: float, given: object) -> float:
    if not -math.inf < seconds < math.inf:  # NaN fails too
        raise InvalidJob(
            f"a job cannot be delayed by {given!r}: pass seconds from now, or an epoch"
        )
    return seconds


def build(item: Mapping[str, Any], *, now_ms: int, wire: Wire) -> Payload:
    """Make a payload of what the caller gave: defaults filled in, every known field checked.

    ``at`` and ``enqueued_at`` are left out: the first becomes a score, the second is written when
    the job enters a queue. ``check_values`` is separate, since middleware comes in between.

    Args:
        item: at least ``class`` and ``args``; keys that are not known are kept.
        now_ms: becomes ``created_at``, unless the item has one.
        wire: how times are written.

    Raises:
        InvalidJob: naming the field, the value seen, and what it may be.
    """
    if not isinstance(cast("object", item), Mapping):
        raise InvalidJob(f'a job is a dict such as {{"class": "Echo", "args": [1]}}, not {item!r}')
    for key in ("class", "args"):
        if key not in item:
            raise InvalidJob(f'a job needs "{key}", which is missing from {sorted(map(str, item))}')
    payload: Payload = {"retry": True, "queue": "default", **item}
    payload.pop("at", None)
    payload.pop("enqueued_at", None)
    if "jid" not in payload:
        payload["jid"] = new_jid()
    if "created_at" not in payload:
        payload["created_at"] = timestamp(now_ms, wire)
    check_fields(payload)
    return payload


def check_fields(fields: Payload) -> None:
    """Check the known fields that are there, and bring them into the form of the wire.

    Raises:
        InvalidJob: for the first field that is wrong.
    """
    for key, value in fields.items():
        check = _FIELDS.get(key)
        if check is not None:
            fields[key] = check(key, value)
        elif not isinstance(cast("object", key), str):
            raise InvalidJob(f"the keys of a job are strings, not {key!r}")


def check_options(options: Mapping[str, Any]) -> Payload:
    """Check what a job's class, ``set`` or the defaults say about its payloads.

    Returns:
        The options in the form of the wire; further keys are kept.

    Raises:
        InvalidJob: a wrong value, a field that is not theirs to set, or a likely misspelling.
    """
    for key in options:
        if key in _NOT_OPTIONS:
            raise InvalidJob(f"{key} is no option of a job; {_NOT_OPTIONS[key]}")
        near = [] if key in _OPTIONS else difflib.get_close_matches(str(key), _OPTIONS, 1, 0.75)
        if near:
            raise InvalidJob(f"no option {key}; did you mean {near[0]}?")
    checked = dict(options)
    check_fields(checked)
    return checked


_OPTIONS: Final = (
    "queue",
    "retry",
    "retry_for",
    "retry_queue",
    "backtrace",
    "dead",
    "tags",
    "time_limit",
    "kill_after",
    "result_ttl",
    "wait",
    "wait_until",
)
_NOT_OPTIONS: Final = {
    "class": "name a job with name=",
    "args": "pass them to perform_async",
    "at": "use perform_at, or set(wait_until=)",
    "created_at": "it is written at the push",
    "enqueued_at": "it is written at the push",
}


def _wrong(key: str, value: object, expected: str) -> InvalidJob:
    return InvalidJob(f"{key}: {expected}, not {value!r} ({type_name(value)})")


def _job_name(key: str, value: object) -> str:
    if isinstance(value, type):
        raise _wrong(
            key, value, f'the name of a job ("{value.__name__}"; or call its perform_async)'
        )
    if type(value) is not str or not value:
        raise _wrong(key, value, "the name of a job, such as 'MoodSenderJob'")
    return value


def _array(key: str, value: object) -> list[Any]:
    if type(value) is list:
        return value  # pyright: ignore[reportUnknownVariableType] - of anything
    raise _wrong(key, value, "a list of the positional arguments")


def _jid(key: str, value: object) -> str:
    if type(value) is not str or not value:
        raise _wrong(key, value, "a string that is not empty")
    return value


def _queue(key: str, value: object) -> str:
    if type(value) is not str or not _QUEUE_NAME.fullmatch(value):
        raise _wrong(key, value, "a queue name holds letters, digits and _ . : -, at least one")
    return value


def _retry(key: str, value: object) -> bool | int:
    if type(value) is bool or (type(value) is int and value >= 0):
        return value
    raise _wrong(
        key,
        value,
        "True (25 retries), a number of retries, 0 (straight to the dead set) "
        "or False (no retry and no dead set)",
    )


def _retry_for(key: str, value: object) -> int:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        if 0 < seconds <= _RELATIVE_BELOW_S:
            return math.ceil(seconds)
        if seconds > _RELATIVE_BELOW_S:
            raise _wrong(key, value, "seconds, at most 1,000,000,000")
    raise _wrong(key, value, "seconds above 0, or a timedelta")


def _backtrace(key: str, value: object) -> bool | int:
    if type(value) is bool or (type(value) is int and value >= 0):
        return value
    raise _wrong(key, value, "True, False or a number of lines")


def _dead(key: str, value: object) -> bool:
    if type(value) is not bool:
        raise _wrong(key, value, "True or False")
    return value


def _is_array(value: object) -> TypeGuard[Sequence[Any]]:
    return type(value) in {list, tuple}


def _tags(key: str, value: object) -> list[str]:
    if _is_array(value) and all(type(tag) is str for tag in value):
        return list(value)
    raise _wrong(key, value, "a list of strings")


def _time_limit(key: str, value: object) -> float | None:
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if type(seconds) in {int, float} and 0 < cast("float", seconds) < math.inf:
        return cast("float", seconds)
    raise _wrong(key, value, "seconds above 0, a timedelta, or None")


def _created_at(key: str, value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(key, value, "integer milliseconds or float seconds")
    return value


_FIELDS: Final[dict[str, Callable[[str, object], object]]] = {
    "class": _job_name,
    "args": _array,
    "jid": _jid,
    "queue": _queue,
    "retry": _retry,
    "retry_for": _retry_for,
    "retry_queue": _queue,
    "backtrace": _backtrace,
    "dead": _dead,
    "tags": _tags,
    "time_limit": _time_limit,
    "kill_after": _time_limit,
    "result_ttl": _retry_for,
    "created_at": _created_at,
}


def encode(payload: Payload) -> bytes:
    """Write a payload as compact UTF-8 JSON; ``check_values`` must have passed it.

    Raises:
        InvalidArguments: what slips through the check: an integer of more digits than Python
            prints (``sys.get_int_max_str_digits()``).
    """
    try:
        return _encoder.encode(payload)
    except (TypeError, ValueError, RecursionError) as err:
        raise InvalidArguments(
            f"{payload.get('class')} cannot be written as JSON: {err}; "
            "pass such a value as a string, or as a reference to where it is stored"
        ) from err


def decode(raw: bytes) -> Payload:
    """Read what was taken from Redis. Any JSON object with ``class`` and ``args`` is a job.

    Raises:
        MalformedPayload: everything that Ruby's parser would refuse, and what is no job.
    """
    try:
        payload: Any = _decode(raw)
    except (ValueError, RecursionError, MemoryError) as err:
        raise MalformedPayload(f"not JSON: {err}") from err
    try:
        name, args = payload["class"], payload["args"]
    except (TypeError, LookupError):
        raise MalformedPayload(_what_is_missing(payload)) from None
    if type(name) is not str or not name or type(args) is not list:
        raise MalformedPayload(_what_is_missing(payload))
    if len(raw) > _SHALLOW_BYTES and _may_be_deep(raw) and _depth(payload) > MAX_NESTING:
        raise MalformedPayload(f"nested deeper than {MAX_NESTING} levels")
    job: Payload = payload
    return job


def name_inside(payload: Payload) -> str:
    """The name of the job that a payload carries: of one that is wrapped, as ActiveJob does."""
    wrapped = payload.get("wrapped")
    name: str = wrapped if isinstance(wrapped, str) else payload["class"]
    return name


def _what_is_missing(payload: object) -> str:
    if not isinstance(payload, dict):
        return f"not a JSON object but a {type(payload).__name__}"
    job = cast("Payload", payload)
    name = job.get("class")
    if not isinstance(name, str) or not name:
        return 'no "class", which names the job'
    return 'no "args", a list of the arguments'


def _may_be_deep(raw: bytes) -> bool:
    # Counting brackets is 50 times as fast as walking, and enough for nearly every payload.
    return raw.count(b"[") + raw.count(b"{") > MAX_NESTING


_SHALLOW_BYTES: Final = 2 * MAX_NESTING
"""What is shorter has no room for more levels: each opens with a byte and closes with one."""


def _depth(payload: Payload) -> int:
    depth = 0
    level: list[Any] = [payload]
    while level:
        depth += 1
        level = [child for node in level for child in _children(node)]
    return depth


def _children(node: dict[str, Any] | list[Any]) -> list[Any]:
    values: Iterable[Any] = node.values() if isinstance(node, dict) else node
    return [value for value in values if isinstance(value, dict | list)]
