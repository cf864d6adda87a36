"""What is different between two configurations, and what has to happen for it.

Some settings are the master's or the poller's alone: they are taken over while the workers go on.
Some belong to the instance as a whole, which would have to be another one. All others are what a
worker began with: a new value needs new workers.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from jobd.config.model import Config

# In which log file, on which server, under which name: what children, locks and others know it by.
_RESTART: Final = (
    "environment",
    "redis.url",
    "redis.embedded",
    "pidfile",
    "log.file",
    "tag",
    "health",
)
_LIVE: Final = ("concurrency", "boot_timeout", "labels", "worker", "web")
_COUNTS: Final = ("concurrency", "threads", "async_concurrency")  # which each capsule has
_UNTOLD: Final = ("source", "notes", "concurrency_is")


class Changes(msgspec.Struct, frozen=True):
    """Settings by name, with their values where these are short.

    Attributes:
        restart: cannot be changed while it runs.
        live: no worker is touched for them.
        roll: the workers have to be replaced.
    """

    restart: tuple[str, ...]
    live: tuple[str, ...]
    roll: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of them, for a log line; empty if there are none."""
        return ", ".join((*self.restart, *self.roll, *self.live))


def compare(old: Config, new: Config) -> Changes:
    """Sort out what is different."""
    before, after = _flat(old), _flat(new)
    changed = [name for name in after if before[name] != after[name]]
    told = [name for name in changed if name not in _UNTOLD]

    def those(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(_shown(name, before[name], after[name]) for name in told if name in names)

    rest = set(after) - {*_RESTART, *_LIVE, *_UNTOLD}
    return Changes(those(_RESTART), those(_LIVE), those(rest))


def encode(config: Config) -> bytes:
    """One configuration as bytes, for the process that forked the one that read it."""
    return msgspec.msgpack.encode(config, enc_hook=str)


def decode(raw: bytes) -> Config:
    """The configuration of those bytes."""
    return msgspec.msgpack.decode(raw, type=Config, dec_hook=_path)


def _path(kind: type, written: Any) -> Any:
    return Path(written) if kind is Path else written


def _flat(config: Config) -> dict[str, object]:
    """Its settings by name; what each capsule has many of are settings of their own."""
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(config):
        value = getattr(config, field.name)
        if field.name in {"redis", "log"}:
            parts = {part.name: getattr(value, part.name) for part in msgspec.structs.fields(value)}
            found |= {f"{field.name}.{name}": part for name, part in parts.items()}
        else:
            found[field.name] = value
    for name in _COUNTS:
        found[name] = {capsule.name: getattr(capsule, name) for capsule in config.capsules}
    none = dict.fromkeys(_COUNTS, 0)
    found["capsules"] = {
        capsule.name: msgspec.structs.replace(capsule, **none) for capsule in config.capsules
    }
    return found


def _shown(name: str, before: object, after: object) -> str:
    if name in _COUNTS:
        before, after = _counts(before), _counts(after)
    if isinstance(before, str | int | float) and isinstance(after, str | int | float):
        return name if name == "redis.url" else f"{name} {before} to {after}"
    return name


def _counts(counts: Any) -> str:
    return " ".join(
        str(count) if name == "default" else f"{name} {count}" for name, count in counts.items()
    )
