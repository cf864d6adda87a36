"""What a configuration is once it has been read: frozen values, already checked.

How they are read, and from where, is not known here.
"""

import math
import re
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote

import msgspec

Fetch: TypeAlias = Literal["reliable", "basic"]
LogFormat: TypeAlias = Literal["auto", "pretty", "logfmt", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
Mode: TypeAlias = Literal["strict", "weighted", "random"]
Wire: TypeAlias = Literal[7, 8]

_SECRET: Final = re.compile(r"pass|secret|token", re.IGNORECASE)
_HOST_ONLY: Final = re.compile(r"([^:@/]+|\[[^\]@/]*\])(:\d+)?(/\d*)?")


class QueueWeight(msgspec.Struct, frozen=True, kw_only=True):
    """A queue that a capsule works on; weight 0 means that none was given."""

    name: str
    weight: int = 0


class Capsule(msgspec.Struct, frozen=True, kw_only=True):
    """A group of worker processes with queues of their own.

    Attributes:
        concurrency: processes.
        threads: jobs side by side in each.
        async_concurrency: jobs at once in the loop of each, besides.
    """

    name: str
    concurrency: int
    queues: tuple[QueueWeight, ...]
    threads: int = 1
    async_concurrency: int = 100

    def most_jobs(self, *, has_async_jobs: bool = False) -> int:
        """Jobs that it can run at once; those of its loops only where there are async jobs."""
        places = self.async_concurrency if has_async_jobs else 0
        return self.concurrency * (self.threads + places)

    @property
    def mode(self) -> Mode:
        """The order of the queues, told from their weights as Sidekiq does.

        In a weighted capsule a queue without a weight counts as 1.
        """
        weights = {queue.weight for queue in self.queues}
        if weights <= {0}:
            return "strict"
        return "random" if weights == {1} else "weighted"


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Redis.

    Attributes:
        url: of the server; of the private store if ``embedded``, whether it runs or not.
        size: the most connections that one client opens.
        network_timeout: seconds to connect, and to wait for a reply.
        embedded: it is the private store of a directory, which ``jobd`` starts and others find.
    """

    url: str = "redis://localhost:6379/0"
    size: int = 5
    network_timeout: float = 5.0
    embedded: bool = False

    def __repr__(self) -> str:
        return (
            f"RedisSettings(url={self.masked_url!r}, size={self.size!r}, "
            f"network_timeout={self.network_timeout!r}, embedded={self.embedded!r})"
        )

    @property
    def masked_url(self) -> str:
        """The URL fit for logs and messages."""
        return mask_url(self.url)


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where log lines go and how they look; ``auto`` is pretty on a terminal, else logfmt."""

    format: LogFormat = "auto"
    file: str | None = None
    level: LogLevel = "info"


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the dashboard does not show.

    Attributes:
        redact: globs of the names of fields inside arguments, besides those of secrets.
    """

    redact: tuple[str, ...] = ()


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When a worker is replaced; None: never.

    Attributes:
        max_memory: bytes.
        max_age: seconds.
        hung_after: seconds without a sign of life and without a job.
    """

    max_jobs: int | None = None
    max_memory: int | None = None
    max_age: float | None = None
    hung_after: float | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was set, checked; see docs/configuration.md for each setting.

    Attributes:
        concurrency: worker processes of the default capsule, which is ``capsules[0]``.
        concurrency_is: why it is that many, where nobody said how many.
        timeout: seconds that running jobs get when the server stops; infinity: all they need.
        boot_timeout: seconds that a worker may take until it is ready.
        reliable_push: jobs that a client keeps while Redis is away.
        pidfile: an absolute path, as are ``log.file`` and ``health`` if it is a path.
        source: the file that was read, absolute; None if there was none.
        notes: sentences for the boot log about what was read and has no effect.
    """

    environment: str
    concurrency: int
    timeout: float
    capsules: tuple[Capsule, ...]
    redis: RedisSettings
    tag: str
    concurrency_is: str = ""
    fetch: Fetch = "reliable"
    wire: Wire = 8
    require: tuple[str, ...] = ()
    log: LogSettings = msgspec.field(default_factory=LogSettings)
    pidfile: str | None = None
    health: str | None = None
    labels: tuple[str, ...] = ()
    max_retries: int = 25
    dead_max_jobs: int = 10_000
    dead_timeout_s: int = 15_552_000
    boot_timeout: float = 60.0
    threads: int = 1
    async_concurrency: int = 100
    batch: Literal["auto"] | int = "auto"
    preload: bool = True
    reliable_push: int = 0
    web: WebSettings = msgspec.field(default_factory=WebSettings)
    worker: WorkerSettings = msgspec.field(default_factory=WorkerSettings)
    source: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def worker_count(self) -> int:
        """Worker processes of all capsules."""
        return sum(capsule.concurrency for capsule in self.capsules)

    @property
    def published(self) -> dict[str, object]:
        """What others may see of it, by the names of the settings; passwords are masked."""
        shown = msgspec.to_builtins(self, enc_hook=str)
        for name in ("capsules", "labels", "notes", "concurrency_is"):
            del shown[name]  # the heartbeat tells the first two, the boot log the others
        if shown["timeout"] == math.inf:
            shown["timeout"] = "unlimited"
        return {**shown, "redis": {**shown["redis"], "url": self.redis.masked_url}}


def mask_url(url: str) -> str:
    """Hide the passwords of a URL, also of one too broken to be parsed.

    Where it cannot be told what is password and what is host, more is hidden than need be.
    """
    scheme, separator, rest = url.rpartition("://") if "://" not in url else url.partition("://")
    address, _, query = rest.partition("?")
    is_socket = scheme == "unix" and address.startswith("/")
    # An unescaped `?` in a password would move its tail, and the @, into the query.
    if "@" in query and "@" not in address and not is_socket and not _HOST_ONLY.fullmatch(address):
        address, query = rest, ""
    user, at, host = ("", "", address) if is_socket else address.rpartition("@")
    if at:
        name, colon, _ = user.partition(":")
        address = f"{name}:***@{host}" if colon else f"***@{host}"
    masked = f"{scheme}{separator}{address}"
    return f"{masked}?{'&'.join(map(_mask_parameter, query.split('&')))}" if query else masked


def _mask_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}=***" if equals and _SECRET.search(unquote(name)) else parameter
