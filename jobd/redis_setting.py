"""What an application may set as its Redis, and what is wrong with it if it is no such thing."""

import difflib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from jobd.errors import ConfigError

if TYPE_CHECKING:
    from jobd.config import RedisSettings  # slow to import

_CHECKS: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "url": (lambda value: isinstance(value, str), "a URL, redis://HOST:PORT/0"),
    "sentinels": (
        lambda value: type(value) in {list, tuple} and all(type(node) is str for node in value),
        'a list such as ["10.0.0.1:26379"]',
    ),
    "master": (lambda value: isinstance(value, str), "what the sentinels call the primary"),
    "size": (lambda value: type(value) is int and value >= 1, "a number of connections"),
    "network_timeout": (
        lambda value: type(value) in {int, float} and 0 < value < float("inf"),
        "seconds above 0",
    ),
}


def settings_of(given: object, default: Callable[[], "RedisSettings"]) -> "RedisSettings":
    """The settings that were given: as such, as a URL, or as a dict.

    Args:
        given: see ``Configuration.redis``.
        default: the settings that a dict without ``url`` changes.

    Raises:
        ConfigError: with everything that is wrong.
    """
    from jobd.config import RedisSettings  # noqa: PLC0415 - slow to import

    if isinstance(given, RedisSettings):
        if (problem := _problem("url", given.url)) is not None:
            raise ConfigError([problem])
        return given
    if isinstance(given, str):
        given = {"url": given}
    if not isinstance(given, Mapping):
        raise ConfigError([f'redis: a URL or a dict such as {{"url": ...}}, not {given!r}'])
    chosen = cast("Mapping[str, Any]", given)
    problems = [text for key, value in chosen.items() if (text := _problem(key, value))]
    if problems:
        raise ConfigError(problems)
    if "sentinels" in chosen or "master" in chosen:
        chosen = _with_sentinels(chosen)
    if "url" in chosen:
        return RedisSettings(**chosen)
    return msgspec.structs.replace(default(), **chosen)


def _with_sentinels(chosen: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same with a URL that names them."""
    from jobd.config import sentinel_url, url_fault  # noqa: PLC0415 - slow to import

    rest = dict(chosen)
    nodes, master = rest.pop("sentinels", ()), rest.pop("master", "")
    if "url" in rest or not nodes or not master:
        raise ConfigError(
            ["redis: sentinels and master belong together, and stand for url: name both, or url"]
        )
    url = sentinel_url(nodes, master)
    if fault := url_fault(url):
        raise ConfigError([f"redis.sentinels: {fault}"])
    return {**rest, "url": url}


def _problem(key: str, value: object) -> str | None:
    if key not in _CHECKS:
        near = difflib.get_close_matches(str(key), _CHECKS, 1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        return f'redis: no setting "{key}": there are {", ".join(_CHECKS)}{hint}'
    is_right, expected = _CHECKS[key]
    if not is_right(value):
        return f"redis.{key}: {expected}, not {value!r}"
    if key != "url":
        return None
    from jobd.config import url_fault  # noqa: PLC0415 - slow to import

    fault = url_fault(str(value))
    return fault and f"redis.url: {fault}"
