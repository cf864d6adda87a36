"""What an operator sees and does: queues, sets of jobs, processes, the server itself.

Reads and acts of people only, for ``jobctl`` and the dashboard. The server never uses it: what the
server does to a job's state is in ``store``.

Source: Sidekiq's lib/sidekiq/api.rb; the shapes of its keys are in `jobd.keys`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

import msgspec

from jobd.connection import Argument, Command, Reply
from jobd.errors import MalformedPayload
from jobd.keys import Keys
from jobd.payload import decode, to_ms

SetName: TypeAlias = Literal["schedule", "retry", "dead"]
SET_NAMES: Final[tuple[SetName, ...]] = ("schedule", "retry", "dead")


class Redis(Protocol):
    """What is needed of a connection or a pool."""

    def call(self, *command: Argument) -> Reply:
        """One command, one reply."""
        ...

    def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Several in one round trip."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSummary:
    """Which server it is.

    Attributes:
        kind: ``redis`` or ``valkey``.
        database: number of the database in use.
    """

    kind: str
    version: str
    database: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSummary:
    """A queue at a glance; the latency is the age of the job that runs next."""

    name: str
    size: int
    latency_s: float
    is_paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSummary:
    """An instance as its last heartbeat told it, jobd's or Ruby Sidekiq's.

    Attributes:
        beat_age_s: seconds since that heartbeat.
        rss_kb: resident memory of all its processes, in kilobytes.
    """

    identity: str
    hostname: str
    pid: int
    tag: str
    version: str
    concurrency: int
    busy: int
    rss_kb: int
    beat_age_s: float
    is_quiet: bool
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counters since ever, and the sizes of the three sets."""

    processed: int
    failed: int
    scheduled: int
    retries: int
    dead: int


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job where it lies.

    Attributes:
        raw: the payload's bytes, as every command on it needs them.
        fields: what they say; empty if they are no job.
        at_s: its score in a set: when it is due, or when it died; None in a queue.
    """

    raw: bytes
    fields: dict[str, Any]
    at_s: float | None = None

    @property
    def created_ms(self) -> int | None:
        """When it was made; integer milliseconds, whatever the wire had."""
        return to_ms(self.fields.get("created_at"))


class Stats:
    """The whole at a glance; each method is one or two round trips, whatever the backlog."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def server(self) -> ServerSummary:
        """Which server answers."""
        info, client = self._redis.pipeline([("INFO", "server"), ("CLIENT", "INFO")])
        facts = dict(_pairs(_text(info).splitlines(), ":"))
        mine = dict(_pairs(_text(client).split(), "="))
        kind = facts.get("server_name", "redis")
        version = facts.get(f"{kind}_version", facts.get("redis_version", "unknown"))
        return ServerSummary(kind=kind, version=version, database=_number(mine.get("db")))

    def totals(self) -> Totals:
        """Counters and sizes."""
        keys = self._keys
        replies = self._redis.pipeline(
            [
                ("GET", keys.stat("processed")),
                ("GET", keys.stat("failed")),
                ("ZCARD", keys.schedule),
                ("ZCARD", keys.retry),
                ("ZCARD", keys.dead),
            ]
        )
        processed, failed, scheduled, retries, dead = map(_number, replies)
        return Totals(
            processed=processed, failed=failed, scheduled=scheduled, retries=retries, dead=dead
        )

    def queues(self) -> list[QueueSummary]:
        """Every queue that was ever pushed to and not cleared, by name."""
        members, paused, now = self._redis.pipeline(
            [("SMEMBERS", self._keys.queues), ("SMEMBERS", self._keys.paused), ("TIME",)]
        )
        names = sorted(_text(member) for member in members)
        if not names:
            return []
        commands: list[Command] = []
        for name in names:
            key = self._keys.queue(name)
            commands += [("LLEN", key), ("LINDEX", key, -1)]
        replies = self._redis.pipeline(commands)
        now_ms = _server_ms(now)
        stopped = {_text(member) for member in paused}
        return [
            QueueSummary(
                name=name,
                size=size,
                latency_s=_latency_s(last, now_ms),
                is_paused=name in stopped,
            )
            for name, size, last in zip(names, replies[::2], replies[1::2], strict=True)
        ]


class ProcessSet:
    """Every instance that has a heartbeat, jobd's and Ruby Sidekiq's alike."""

    _FIELDS: Final = ("info", "concurrency", "busy", "beat", "quiet", "rss")

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def all(self) -> list[ProcessSummary]:
        """By identity; one whose heartbeat has run out is not there."""
        members, now = self._redis.pipeline([("SMEMBERS", self._keys.processes), ("TIME",)])
        identities = sorted(_text(member) for member in members)
        if not identities:
            return []
        replies = self._redis.pipeline(
            [("HMGET", self._keys.process(name), *self._FIELDS) for name in identities]
        )
        now_s = _server_ms(now) / 1000
        return [
            _process(identity, reply, now_s)
            for identity, reply in zip(identities, replies, strict=True)
            if reply[0] is not None
        ]


class Queue:
    """The jobs that wait in one queue."""

    def __init__(self, redis: Redis, keys: Keys, name: str) -> None:
        self._redis = redis
        self._keys = keys
        self._key = keys.queue(name)
        self.name = name

    @property
    def is_known(self) -> bool:
        """Whether it has jobs, or has ever had since it was last cleared."""
        known, size = self._redis.pipeline(
            [("SISMEMBER", self._keys.queues, self.name), ("LLEN", self._key)]
        )
        return bool(known or size)

    @property
    def size(self) -> int:
        """How many jobs wait."""
        return _number(self._redis.call("LLEN", self._key))

    def page(self, number: int, size: int) -> list[JobEntry]:
        """Jobs in the order in which they will run; pages count from 1.

        Costs O(n) in the distance from the nearer end of the queue.
        """
        last = -1 - (number - 1) * size
        replies = self._redis.call("LRANGE", self._key, last - size + 1, last)
        return [JobEntry(raw, _fields(raw)) for raw in reversed(replies)]

    def clear(self) -> int:
        """Delete the queue with all its jobs; how many there were."""
        size, _, _ = self._redis.pipeline(
            [("LLEN", self._key), ("UNLINK", self._key), ("SREM", self._keys.queues, self.name)]
        )
        return _number(size)


class JobSet:
    """The jobs of ``schedule``, ``retry`` or ``dead``."""

    def __init__(self, redis: Redis, keys: Keys, name: SetName) -> None:
        self._redis = redis
        self._key = {"schedule": keys.schedule, "retry": keys.retry, "dead": keys.dead}[name]
        self.name: SetName = name

    @property
    def size(self) -> int:
        """How many jobs are kept."""
        return _number(self._redis.call("ZCARD", self._key))

    def page(self, number: int, size: int) -> list[JobEntry]:
        """Jobs, those due first at the top, the dead newest first; pages count from 1."""
        first = (number - 1) * size
        command = "ZREVRANGE" if self.name == "dead" else "ZRANGE"
        replies = self._redis.call(command, self._key, first, first + size - 1, "WITHSCORES")
        pairs = zip(replies[::2], replies[1::2], strict=True)
        return [JobEntry(raw, _fields(raw), float(score)) for raw, score in pairs]

    def clear(self) -> int:
        """Delete all its jobs; how many there were."""
        size, _ = self._redis.pipeline([("ZCARD", self._key), ("UNLINK", self._key)])
        return _number(size)


def _process(identity: str, reply: Sequence[bytes | None], now_s: float) -> ProcessSummary:
    info, concurrency, busy, beat, quiet, rss = reply
    said = _object(info)
    return ProcessSummary(
        identity=identity,
        hostname=str(said.get("hostname", "")),
        pid=_number(said.get("pid")),
        tag=str(said.get("tag", "")),
        version=str(said.get("version", "")),
        # Sidekiq before 8 keeps it inside the info.
        concurrency=_number(concurrency or said.get("concurrency")),
        busy=_number(busy),
        rss_kb=_number(rss),
        beat_age_s=max(0.0, now_s - float(beat or 0)),
        is_quiet=quiet == b"true",
        queues=tuple(map(str, said.get("queues", ()))),
    )


def _latency_s(raw: bytes | None, now_ms: int) -> float:
    since_ms = None if raw is None else to_ms(_fields(raw).get("enqueued_at"))
    return 0.0 if since_ms is None else max(0, now_ms - since_ms) / 1000


def _object(raw: bytes | None) -> dict[str, Any]:
    try:
        found: object = msgspec.json.decode(raw or b"{}")
    except msgspec.DecodeError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _fields(raw: bytes) -> dict[str, Any]:
    try:
        return dict(decode(raw))
    except MalformedPayload:
        return {}


def _pairs(lines: Sequence[str], separator: str) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, found, value = line.partition(separator)
        if found:
            yield name, value


def _server_ms(reply: Sequence[bytes]) -> int:
    seconds, micros = map(int, reply)
    return seconds * 1000 + micros // 1000


def _number(value: Any) -> int:
    return int(value or 0)


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
