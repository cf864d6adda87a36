"""The whole at a glance: the server, the counters, the queues, the days gone by.

Each method is a few round trips, whatever the backlog.

Source: Sidekiq's lib/sidekiq/api.rb, Stats and Stats::History.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, TypeAlias

from jobd.api.access import Access, server_ms
from jobd.api.records import JobRecord
from jobd.api.replies import name as name_of, number, pairs, raw, text
from jobd.keys import Keys
from jobd.link import Command

Counter: TypeAlias = Literal["processed", "failed"]

COUNTERS: Final[tuple[Counter, ...]] = ("processed", "failed")
MOST_DAYS: Final = 1_825


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
class Health:
    """How the server is; what it does not tell is 0, False or empty.

    Attributes:
        rtt_us: microseconds of one round trip from here.
        used_memory: bytes, as are the peak and the limit; a limit of 0 is none.
        policy: what it does at its limit, ``noeviction`` if it must not lose jobs.
        is_aof: it keeps an append-only file.
        is_persisting: its last writes to disk worked.
        evicted: how many keys it has thrown away since it was started.
    """

    kind: str
    version: str
    rtt_us: int
    uptime_s: int
    connected_clients: int
    blocked_clients: int
    used_memory: int
    peak_memory: int
    max_memory: int
    policy: str
    evicted: int
    ops_per_s: int
    is_aof: bool
    is_persisting: bool

    @property
    def may_lose_jobs(self) -> bool:
        """It may throw jobs away when it is full: set its maxmemory-policy to noeviction."""
        return self.policy not in {"", "noeviction"}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSummary:
    """A queue at a glance; the latency is the age of the job that runs next."""

    name: str
    size: int
    latency_s: float
    is_paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counters since ever, and how many jobs are where.

    Attributes:
        busy: how many run, as the last heartbeats told.
    """

    processed: int
    failed: int
    busy: int
    enqueued: int
    scheduled: int
    retries: int
    dead: int
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What was done on a day in UTC."""

    date: date
    processed: int
    failed: int


class Stats:
    """The whole at a glance.

    Args:
        access: the current app's, if None.
    """

    def __init__(self, *, access: Access | None = None) -> None:
        self._access = Access.of() if access is None else access

    @property
    def _keys(self) -> Keys:
        return self._access.keys

    def server(self) -> ServerSummary:
        """Which server answers."""
        info, client = self._access.redis.pipeline([("INFO", "server"), ("CLIENT", "INFO")])
        kind, version = _kind(_facts(info))
        mine = dict(pairs(text(client).split(), "="))
        return ServerSummary(kind=kind, version=version, database=number(mine.get("db")))

    def health(self) -> Health:
        """How the server is; two round trips."""
        clock = self._access.clock
        began_s = clock.monotonic()
        self._access.redis.call("PING")
        rtt_us = int((clock.monotonic() - began_s) * 1e6)
        facts = _facts(self._access.redis.call("INFO"))
        kind, version = _kind(facts)
        writes = ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
        return Health(
            kind=kind,
            version=version,
            rtt_us=rtt_us,
            uptime_s=number(facts.get("uptime_in_seconds")),
            connected_clients=number(facts.get("connected_clients")),
            blocked_clients=number(facts.get("blocked_clients")),
            used_memory=number(facts.get("used_memory")),
            peak_memory=number(facts.get("used_memory_peak")),
            max_memory=number(facts.get("maxmemory")),
            policy=facts.get("maxmemory_policy", ""),
            evicted=number(facts.get("evicted_keys")),
            ops_per_s=number(facts.get("instantaneous_ops_per_sec")),
            is_aof=facts.get("aof_enabled") == "1",
            is_persisting=all(facts.get(name) == "ok" for name in writes),
        )

    def totals(self) -> Totals:
        """Counters and sizes; two round trips, O(n) in the number of queues and processes."""
        keys = self._keys
        first = self._access.redis.pipeline(
            [
                ("GET", keys.stat("processed")),
                ("GET", keys.stat("failed")),
                ("ZCARD", keys.schedule),
                ("ZCARD", keys.retry),
                ("ZCARD", keys.dead),
                ("SMEMBERS", keys.queues),
                ("SMEMBERS", keys.processes),
            ]
        )
        queues, processes = (sorted(map(name_of, members)) for members in first[5:])
        second = self._access.redis.pipeline(
            [
                *(("LLEN", raw(keys.queue(name))) for name in queues),
                *(("HGET", keys.process(name), "busy") for name in processes),
            ]
        )
        sizes, busy = second[: len(queues)], second[len(queues) :]
        processed, failed, scheduled, retries, dead = map(number, first[:5])
        return Totals(
            processed=processed,
            failed=failed,
            busy=sum(map(number, busy)),
            enqueued=sum(map(number, sizes)),
            scheduled=scheduled,
            retries=retries,
            dead=dead,
            processes=sum(each is not None for each in busy),
        )

    def queues(self) -> list[QueueSummary]:
        """Every queue that was ever pushed to and not cleared, by name."""
        members, paused, time = self._access.redis.pipeline(
            [("SMEMBERS", self._keys.queues), ("SMEMBERS", self._keys.paused), ("TIME",)]
        )
        names = sorted(map(name_of, members))
        commands: list[Command] = []
        for name in names:
            key = raw(self._keys.queue(name))
            commands += [("LLEN", key), ("LINDEX", key, -1)]
        replies = self._access.redis.pipeline(commands)
        now_ms = server_ms(time)
        stopped = set(map(name_of, paused))
        return [
            QueueSummary(
                name=name,
                size=number(size),
                latency_s=0.0 if last is None else JobRecord(last).latency_s(now_ms),
                is_paused=name in stopped,
            )
            for name, size, last in zip(names, replies[::2], replies[1::2], strict=True)
        ]

    def history(self, days: int = 30, until: date | None = None) -> list[Day]:
        """What was done on each of these days, the earliest first.

        Args:
            days: 1 to 1,825.
            until: the last of them; by default today in UTC, by the server's clock.

        Raises:
            ValueError: too few or too many days.
        """
        if not 1 <= days <= MOST_DAYS:
            raise ValueError(f"days: 1 to {MOST_DAYS:,}, not {days}: no longer history is kept")
        if until is None:
            until = datetime.fromtimestamp(self._access.now_ms() / 1000, UTC).date()
        dates = [until - timedelta(days=ago) for ago in reversed(range(days))]
        names = [self._keys.stat(name, each.isoformat()) for name in COUNTERS for each in dates]
        counts = [number(count) for count in self._access.redis.call("MGET", *names)]
        return [
            Day(date=each, processed=processed, failed=failed)
            for each, processed, failed in zip(dates, counts[:days], counts[days:], strict=True)
        ]

    def reset(self, *which: Counter) -> None:
        """Set the counters since ever to 0, both or those named; the days stay.

        Raises:
            ValueError: there is no such counter.
        """
        for name in which:
            if name not in COUNTERS:
                raise ValueError(f'no counter "{name}": there are {" and ".join(COUNTERS)}')
        pairs = [part for name in which or COUNTERS for part in (self._keys.stat(name), 0)]
        self._access.redis.call("MSET", *pairs)


def _facts(info: bytes) -> dict[str, str]:
    return dict(pairs(text(info).splitlines(), ":"))


def _kind(facts: dict[str, str]) -> tuple[str, str]:
    kind = facts.get("server_name", "redis")
    return kind, facts.get(f"{kind}_version", facts.get("redis_version", "unknown"))
