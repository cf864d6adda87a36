"""The setting ``JOBD``: what may stand in it, and what it means for the app.

Most of it is for clients, as under ``configure_client``: a server has its own configuration. What
contradicts that is refused at boot, since jobs would be pushed where nobody takes them.
"""

import difflib
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from jobd.app import App, Configuration
from jobd.config import client_redis
from jobd.errors import ConfigError, JobdError

_ATTRIBUTES: Final = {
    "REDIS": "redis",
    "WIRE": "wire",
    "STRICT": "strict",
    "DEFAULT_JOB_OPTIONS": "default_job_options",
}
KEYS: Final = (*_ATTRIBUTES, "ENQUEUE_ON_COMMIT")


def enqueue_on_commit() -> object:
    """``JOBD["ENQUEUE_ON_COMMIT"]``: True, False, or the alias of a database."""
    return _given().get("ENQUEUE_ON_COMMIT", True)


def redis_url() -> str | None:
    """The URL that ``JOBD["REDIS"]`` names, if it does."""
    redis = _given().get("REDIS")
    return redis if redis is None or isinstance(redis, str) else redis.get("url")


def apply(app: App) -> None:
    """Set up the app as ``JOBD`` says.

    Raises:
        ImproperlyConfigured: with everything that is wrong.
    """
    given = _given()
    problems = [_unknown(key) for key in given if key not in KEYS]
    waits = enqueue_on_commit()
    if not isinstance(waits, bool) and waits not in settings.DATABASES:
        problems.append(
            f'JOBD["ENQUEUE_ON_COMMIT"]: True, False or an alias of DATABASES, not {waits!r}'
        )
    config = Configuration(app)
    for key in (key for key in _ATTRIBUTES if key in given):
        try:
            _put(config, key, given[key], is_server=app.is_server)
        except JobdError as error:
            problems.append(f'JOBD["{key}"]: {error}')
    if problems:
        raise ImproperlyConfigured("\n".join(problems))


def _given() -> Mapping[str, Any]:
    given = getattr(settings, "JOBD", {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f'JOBD: a dict such as {{"REDIS": ...}}, not {given!r}')
    return given


def _put(config: Configuration, key: str, value: Any, *, is_server: bool) -> None:
    if key == "REDIS" and isinstance(value, Mapping) and "url" not in value:
        if is_server:
            return  # it has the size and the timeout of its own configuration
        value = {"url": client_redis().url, **value}
    if key == "WIRE" and is_server and value != config.wire:
        raise ConfigError([f"{value!r}, but the server writes {config.wire}: set wire in its file"])
    setattr(config, _ATTRIBUTES[key], value)


def _unknown(key: object) -> str:
    near = difflib.get_close_matches(str(key).upper(), KEYS, 1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return f'JOBD: no setting "{key}": there are {", ".join(KEYS)}{hint}'
