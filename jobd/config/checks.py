"""How the value of a setting is checked.

A check takes the name for messages and what was written, and returns the value that is meant or
raises ``ConfigError`` with everything that is wrong with it. Which setting has which check is in
``settings``.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

from jobd.config.located import Value
from jobd.config.model import Capsule, QueueWeight, mask_url
from jobd.config.sentinels import sentinels_of
from jobd.errors import ConfigError
from jobd.slot_state import MOST_PLACES, MOST_THREADS

T = TypeVar("T")
Check: TypeAlias = Callable[[str, Value], T]

EMBEDDED: Final = "embedded"

_NEEDED_KEYS: Final = frozenset({"concurrency", "queues"})
_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]+")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,9})?")
_SIZE: Final = re.compile(r"([0-9]{1,15})([KMGkmg]?)")
_UNITS: Final = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_MOST_WEIGHT: Final = 1000
_ESCAPES: Final = "/ ? # @ in a password are written %2F %3F %23 %40"


def refused(name: str, value: Value, sentence: str) -> ConfigError:
    """The error for one value; flags and variables are their own name and pass an empty one."""
    named = f"{name}: {sentence}" if name else sentence
    return ConfigError([f"{value.where}: {named}"])


def unknown_key(where: str, key: str, known: Iterable[str]) -> str:
    """The sentence for a key that is no setting, with the nearest one that is."""
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.6)
    remedy = f'did you mean "{near[0]}"?' if near else "docs/configuration.md lists all"
    return f'{where}: unknown key "{key}"; {remedy}'


def whole(at_least: int, at_most: int | None = None, *, else_: str = "") -> Check[int]:
    """A whole number; ``5_000`` and ``"5"`` are fine, ``010`` is ten and ``1:30`` is none.

    Args:
        at_least: the smallest that will do.
        at_most: the largest, if there is one.
        else_: what the message says would do, too.
    """
    span = f"from {at_least}" if at_most is None else f"from {at_least} to {at_most}"

    def check(name: str, value: Value) -> int:
        written = (_scalar(value) or "").replace("_", "")
        is_number = _NUMBER.fullmatch(written) and "." not in written
        if not is_number or not at_least <= int(written) <= (at_most or int(written)):
            sentence = f"must be a whole number {span}{else_}, not {value.shown()}"
            raise refused(name, value, sentence)
        return int(written)

    return check


def seconds(name: str, value: Value) -> float:
    """A time above 0."""
    written = (_scalar(value) or "").replace("_", "")
    number = float(written) if _NUMBER.fullmatch(written) else math.nan
    if not number > 0:
        raise refused(name, value, f"must be a number of seconds above 0, not {value.shown()}")
    return number


def patience(name: str, value: Value) -> float:
    """A time above 0, or ``unlimited``, which is infinity."""
    if _scalar(value) == "unlimited":
        return math.inf
    try:
        return seconds(name, value)
    except ConfigError:
        rule = f"must be a number of seconds above 0, or unlimited, not {value.shown()}"
        raise refused(name, value, rule) from None


def size_bytes(name: str, value: Value) -> int:
    """A number of bytes, or one with K, M or G behind it: ``200M`` is 200 x 1,000,000 bytes."""
    found = _SIZE.fullmatch(_scalar(value) or "")
    if not found or not int(found[1]):
        raise refused(name, value, f"must be a size such as 200M, 2G or bytes, not {value.shown()}")
    return int(found[1]) * _UNITS[found[2].upper()]


def one_of(choices: Mapping[str, T]) -> Check[T]:
    """One of a few words, each standing for a value."""

    def check(name: str, value: Value) -> T:
        written = _scalar(value)
        if written is None or written not in choices:
            raise refused(name, value, f"must be {' or '.join(choices)}, not {value.shown()}")
        return choices[written]

    return check


def boolean(name: str, value: Value) -> bool:
    """YAML's true or false, yes or no, on or off."""
    if not isinstance(value.content, bool):
        raise refused(name, value, f"must be true or false, not {value.shown()}")
    return value.content


def text(name: str, value: Value) -> str:
    """One printable line."""
    written = _scalar(value)
    if not written or not written.isprintable():
        raise refused(name, value, f"must be one line of text, not {value.shown()}")
    return written


def address(name: str, value: Value) -> str:
    """``HOST:PORT``, ``[::1]:PORT``, or the path of a Unix socket, which has a ``/``."""
    written = text(name, value)
    host, _, port = written.rpartition(":")
    is_port = port.isdecimal() and 0 < int(port) < 65_536
    if "/" not in written and not (host and is_port):
        sentence = f"must be HOST:PORT, such as 127.0.0.1:7433, or a path, not {value.shown()}"
        raise refused(name, value, sentence)
    return written.removeprefix("unix://")


def texts(name: str, value: Value) -> tuple[str, ...]:
    """A list of lines; one alone is a list of one."""
    return _each(text, [(name, item) for item in _items(value)])


def auto_or_whole(name: str, value: Value) -> Literal["auto"] | int:
    """``auto`` or a number of jobs or processes."""
    return "auto" if _scalar(value) == "auto" else whole(1, else_=" or auto")(name, value)


def queues(name: str, value: Value) -> tuple[QueueWeight, ...]:
    """``[[critical, 6], "default,3", low]``; one name alone is a list of one."""
    if isinstance(value.content, Mapping):
        sentence = "must be a list such as [[critical, 6], default], not a mapping"
        raise refused(name, value, sentence)
    found = _each(_queue, [(name, item) for item in _items(value)])
    names = [queue.name for queue in found]
    twice = next((queue for queue in names if names.count(queue) > 1), None)
    if twice is not None:
        sentence = f'queue "{twice}" is listed twice; give it a weight to serve it more often'
        raise refused(name, value, sentence)
    if not found:
        raise refused(name, value, "the list is empty; name a queue or remove the line")
    return found


def capsules(name: str, value: Value) -> tuple[Capsule, ...]:
    """Groups of workers by name."""
    if not isinstance(value.content, Mapping):
        sentence = "must be a mapping such as {slow: {concurrency: 1, queues: [reports]}}"
        raise refused(name, value, f"{sentence}, not {value.shown()}")
    entries = value.content.items()
    return _each(_capsule, [(f"{name}.{key}", entry.at_key()) for key, entry in entries])


def redis_url(name: str, value: Value) -> str:
    """The URL of a server, or ``embedded``."""
    url = _scalar(value)
    if not url:
        sentence = f"must be a URL, embedded or {{url, size, network_timeout}}, not {value.shown()}"
        raise refused(name, value, sentence)
    fault = None if url == EMBEDDED else url_fault(url)
    if fault:
        raise refused(name, value, fault)
    return url


def url_fault(url: str) -> str | None:
    """What is wrong with the URL of a server, without its password; None if nothing is."""
    fault = _fault_of(url)
    return fault and f'"{mask_url(url)}": {fault}; write one such as redis://localhost:6379/0'


def _scalar(value: Value) -> str | None:
    """The text of a value as it was written, None if it is not one word or line."""
    return value.text if isinstance(value.content, str | bool) else None


def _items(value: Value) -> tuple[Value, ...]:
    return value.content if isinstance(value.content, tuple) else (value,)


def _each(check: Check[T], named: Iterable[tuple[str, Value]]) -> tuple[T, ...]:
    """Check all values, so that the problems of all are known at once."""
    problems: list[str] = []
    values = [_attempt(check, name, value, problems=problems) for name, value in named]
    if problems:
        raise ConfigError(problems)
    return tuple(value for value in values if value is not None)


def _attempt(check: Check[T], name: str, value: Value, *, problems: list[str]) -> T | None:
    try:
        return check(name, value)
    except ConfigError as err:
        problems += err.problems
        return None


def _queue(name: str, item: Value) -> QueueWeight:
    if isinstance(item.content, Mapping):
        raise refused(name, item, "a queue with a weight is written [critical, 6] or critical,6")
    is_pair = isinstance(item.content, tuple) and item.content
    written = [_scalar(part) for part in _items(item)] if is_pair else _split(item)
    queue, *weights = [(part or "").strip() for part in written]
    if not _NAME.fullmatch(queue):
        shown = f'queue "{queue}"' if queue else f"queue {item.shown()}"
        place = f" (set in {name})" if name else ""
        rule = f"a queue name may hold letters, digits and _ . : -{place}"
        raise refused(shown, item, rule)
    if len(weights) > 1:
        raise refused(f'queue "{queue}"', item, "takes one weight; write [NAME, WEIGHT]")
    return QueueWeight(name=queue, weight=_weight(queue, item, weights[0]) if weights else 0)


def _split(item: Value) -> list[str]:
    return (_scalar(item) or "").split(",")


def _weight(queue: str, item: Value, written: str) -> int:
    is_number = _NUMBER.fullmatch(written) and "." not in written
    if not is_number or not 0 <= int(written) <= _MOST_WEIGHT:
        rule = f'its weight must be a whole number up to {_MOST_WEIGHT}, not "{written}"'
        raise refused(f'queue "{queue}"', item, rule)
    return int(written)


_COUNTS: Final = {"threads": whole(1, MOST_THREADS), "async_concurrency": whole(0, MOST_PLACES)}


def _capsule(name: str, value: Value) -> Capsule:
    entries = value.content
    own_name = name.partition(".")[2]
    if not _NAME.fullmatch(own_name):
        rule = "a capsule's name may hold letters, digits and _ . : -"
        raise refused(f'capsule "{own_name}"', value, rule)
    if not isinstance(entries, Mapping) or not entries.keys() >= _NEEDED_KEYS:
        sentence = "needs both, such as {concurrency: 1, queues: [mailers]}"
        raise refused(name, value, sentence)
    problems = [
        unknown_key(entry.where, key, (*_NEEDED_KEYS, *_COUNTS))
        for key, entry in entries.items()
        if key not in {*_NEEDED_KEYS, *_COUNTS}
    ]
    count, named = entries["concurrency"].at_key(), entries["queues"].at_key()
    concurrency = _attempt(whole(1), f"{name}.concurrency", count, problems=problems)
    weights = _attempt(queues, f"{name}.queues", named, problems=problems)
    counts: dict[str, int] = {}
    for key, check in _COUNTS.items():
        if key in entries:
            at = entries[key].at_key()
            counts[key] = _attempt(check, f"{name}.{key}", at, problems=problems) or 0
    if concurrency is None or weights is None or problems:
        raise ConfigError(problems)
    return Capsule(name=own_name, concurrency=concurrency, queues=weights, **counts)


def _fault_of(url: str) -> str | None:
    try:
        sentinels = sentinels_of(url)
    except ValueError as error:
        return str(error)
    url = url if sentinels is None else sentinels.url
    try:
        parts = urlsplit(url)
        has_port = parts.port is not None
    except ValueError:
        return f"its host or port cannot be read ({_ESCAPES})"
    if parts.scheme not in {"redis", "rediss", "unix"} or "://" not in url:
        return "a Redis URL begins with redis://, rediss://, unix:// or redis+sentinel://"
    if parts.fragment:
        return f"what follows the # would be left out ({_ESCAPES})"
    if parts.scheme == "unix":
        return None if parts.path.strip("/") and not has_port else "it names no socket"
    database = parts.path.strip("/")
    # Not shown: it may be the tail of a password with a slash in it.
    return "what follows the host is no database number" if not _is_database(database) else None


def _is_database(path: str) -> bool:
    return not path or (path.isdecimal() and len(path) < 6)
