"""The instances that have a heartbeat, jobd's and Ruby's alike, and remote commands to them.

Ruby's is one process of threads; jobd's a master with its workers, told as one. What only jobd
tells, of each worker, is in `Process.instance`.

Source: Sidekiq's lib/sidekiq/api.rb, ProcessSet and Process; before 8 the concurrency stands in the
info, and there are no capsules before 8.0.9.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, cast

from jobd.api.access import Access, server_ms
from jobd.api.instances import Instance, parse_instance
from jobd.api.replies import document, mapping, moment, number, real, string, strings, text
from jobd.errors import CannotAct
from jobd.fleet import HEARTBEAT_LIFE_S, Fleet
from jobd.link import Command

_FIELDS: Final = ("info", "concurrency", "busy", "beat", "quiet", "rss", "rtt_us")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsule:
    """A group of workers (threads, in Ruby) with queues of their own.

    Attributes:
        mode: ``strict``, ``weighted`` or ``random``; empty if it was not told.
        weights: by queue, in the order in which they are served.
    """

    name: str
    concurrency: int
    mode: str
    weights: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """An instance as its last heartbeat told it.

    Attributes:
        busy: how many jobs it runs.
        beat_age_s: seconds since that heartbeat, by the server's clock.
        revision: of the application, of jobd's only; empty if nothing tells.
        rss_kb: resident memory of all its processes, in kilobytes.
        pss_kb: the same with shared pages counted once; of jobd's only; 0 if not known.
        rtt_us: microseconds that a round trip took it.
        is_quiet: it takes no more jobs.
        is_embedded: it runs inside some other program, and obeys no remote command.
        is_leader: elected by Sidekiq Enterprise.
        is_jobd: jobd's, with an `instance`; else Ruby's.
    """

    identity: str
    hostname: str
    pid: int
    tag: str
    labels: tuple[str, ...]
    version: str
    revision: str
    started_at: datetime | None
    concurrency: int
    busy: int
    beat_at: datetime | None
    beat_age_s: float
    rss_kb: int
    pss_kb: int
    rtt_us: int
    is_quiet: bool
    is_embedded: bool
    is_leader: bool
    is_jobd: bool
    queues: tuple[str, ...]
    capsules: tuple[Capsule, ...]
    access: Access = field(repr=False, compare=False)

    @property
    def weights(self) -> dict[str, int]:
        """The weights of all queues; 0 where none was given."""
        return {queue: weight for each in self.capsules for queue, weight in each.weights.items()}

    @property
    def is_server(self) -> bool:
        """Whether it is a jobd of its own: neither Ruby's, nor embedded."""
        return self.is_jobd and not self.is_embedded

    @property
    def is_stopping(self) -> bool:
        """Sidekiq's word for a process that is quiet."""
        return self.is_quiet

    def as_dict(self) -> dict[str, Any]:
        """What JSON can carry of it; times in ISO 8601."""
        found = {name: getattr(self, name) for name in self.__slots__ if name != "access"}
        return {
            **found,
            "started_at": self.started_at and self.started_at.isoformat(),
            "beat_at": self.beat_at and self.beat_at.isoformat(),
            "capsules": [asdict(capsule) for capsule in self.capsules],
        }

    def instance(self) -> Instance | None:
        """Its workers and what else only jobd tells; None for Ruby's, and for one that has left."""
        told = Fleet(self.access.redis, self.access.keys).instance(self.identity)
        return parse_instance(told) if told else None

    # Remote commands: done at the next heartbeat, within 10 s, one for each heartbeat

    def quiet(self) -> None:
        """Have it take no more jobs.

        Raises:
            CannotAct: it is embedded.
        """
        self._send("TSTP")

    def resume(self) -> None:
        """Have a quiet jobd take jobs again.

        Raises:
            CannotAct: it is embedded, or Ruby's, which stays quiet once it is.
        """
        if not self.is_jobd:
            raise CannotAct(
                f"{self.identity} is a Ruby Sidekiq, which cannot take jobs again once it is "
                "quiet: stop it and start a new one"
            )
        self._send("CONT")

    def stop(self) -> None:
        """Have it leave: running jobs get its timeout, the others go back.

        Raises:
            CannotAct: it is embedded.
        """
        self._send("TERM")

    def dump(self) -> None:
        """Have it write the stacks of its workers to its log.

        Raises:
            CannotAct: it is embedded.
        """
        self._send("TTIN")

    def reload(self) -> None:
        """Have it read its settings anew and replace its workers; `instance` tells the outcome.

        Raises:
            CannotAct: it is Ruby's, or embedded.
        """
        if not self.is_jobd:
            raise CannotAct(
                f"{self.identity} is a Ruby Sidekiq, which cannot reload: stop it and start a new "
                "one"
            )
        self._send("HUP")

    def _send(self, signal: str) -> None:
        if self.is_embedded:
            raise CannotAct(
                f"{self.identity} runs inside another program and obeys no remote command: "
                "steer that program"
            )
        key = self.access.keys.signals(self.identity)
        self.access.atomically(("LPUSH", key, signal), ("EXPIRE", key, HEARTBEAT_LIFE_S))


class ProcessSet:
    """Every instance that has a heartbeat.

    Args:
        access: the current app's, if None.

    Each method is O(n) in the number of instances, and two round trips.
    """

    def __init__(self, *, access: Access | None = None) -> None:
        self._access = Access.of() if access is None else access

    def __iter__(self) -> Iterator[Process]:
        """By identity; one whose heartbeat has run out is not there."""
        return iter(self.all())

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, identity: str) -> Process:
        """The instance of an identity.

        Raises:
            KeyError: it has no heartbeat.
        """
        found = self.find(identity)
        if found is None:
            raise KeyError(f"no process {identity!r} has a heartbeat")
        return found

    def find(self, identity: str) -> Process | None:
        """The instance of an identity; None if it has no heartbeat."""
        return next(iter(self._read([identity])), None)

    def all(self) -> list[Process]:
        """By identity; one whose heartbeat has run out is not there."""
        members = self._access.redis.call("SMEMBERS", self._access.keys.processes)
        return self._read(sorted(map(text, members)))

    @property
    def size(self) -> int:
        """How many are registered, with a heartbeat or without."""
        return number(self._access.redis.call("SCARD", self._access.keys.processes))

    @property
    def total_concurrency(self) -> int:
        """How many jobs all of them can run at once."""
        return sum(process.concurrency for process in self.all())

    @property
    def total_rss_kb(self) -> int:
        """Resident memory of all of them, in kilobytes."""
        return sum(process.rss_kb for process in self.all())

    @property
    def leader(self) -> str | None:
        """Identity of the one that Sidekiq Enterprise elected; None without that."""
        found = self._access.redis.call("GET", self._access.keys.leader)
        return text(found) if found else None

    def cleanup(self) -> int:
        """Strike those without a heartbeat, at most once a minute in all; how many there were."""
        return Fleet(self._access.redis, self._access.keys).sweep()

    def _read(self, identities: Sequence[str]) -> list[Process]:
        keys = self._access.keys
        commands: list[Command] = [("TIME",), ("GET", keys.leader)]
        for identity in identities:
            commands.append(("HMGET", keys.process(identity), *_FIELDS))
            commands.append(("EXISTS", keys.instance(identity)))
            commands.append(("HMGET", keys.instance(identity), "revision", "pss_kb"))
        time, leader, *rest = self._access.redis.pipeline(commands)
        return [
            self._process(identity, [*told, *further], time, is_jobd=bool(known), leader=leader)
            for identity, told, known, further in zip(
                identities, rest[::3], rest[1::3], rest[2::3], strict=True
            )
            if told[0] is not None
        ]

    def _process(
        self,
        identity: str,
        told: Sequence[bytes | None],
        time: Sequence[bytes],
        *,
        is_jobd: bool,
        leader: bytes | None,
    ) -> Process:
        raw, concurrency, busy, beat, quiet, rss, rtt_us, revision, pss = told
        info = mapping(document(raw))
        beat_s = real(beat)
        return Process(
            identity=identity,
            hostname=string(info.get("hostname")),
            pid=number(info.get("pid")),
            tag=string(info.get("tag")),
            labels=strings(info.get("labels")),
            version=string(info.get("version")),
            revision=text(revision or b""),
            started_at=_moment(info.get("started_at")),
            concurrency=number(concurrency) or number(info.get("concurrency")),
            busy=number(busy),
            beat_at=_moment(beat_s),
            beat_age_s=max(0.0, server_ms(time) / 1000 - beat_s) if beat_s else 0.0,
            rss_kb=number(rss),
            pss_kb=number(pss),
            rtt_us=number(rtt_us),
            is_quiet=quiet == b"true",
            is_embedded=info.get("embedded") is True,
            is_leader=leader is not None and text(leader) == identity,
            is_jobd=is_jobd,
            queues=_queues(info),
            capsules=_capsules(info),
            access=self._access,
        )


def _queues(info: dict[str, Any]) -> tuple[str, ...]:
    told = strings(info.get("queues"))
    names = told or [name for each in _capsules(info) for name in each.weights]
    return tuple(dict.fromkeys(names))


def _capsules(info: dict[str, Any]) -> tuple[Capsule, ...]:
    told = mapping(info.get("capsules"))
    if not told:
        return _capsules_before_8(info)
    return tuple(
        Capsule(
            name=name,
            concurrency=number(mapping(each).get("concurrency")),
            mode=string(mapping(each).get("mode")),
            weights=_weights(mapping(each).get("weights")),
        )
        for name, each in told.items()
    )


def _capsules_before_8(info: dict[str, Any]) -> tuple[Capsule, ...]:
    # 6.x has one object for all queues, 7.x a list of one for each capsule.
    told: Any = info.get("weights")
    weights = _merged(cast("list[object]", told)) if isinstance(told, list) else _weights(told)
    weights = weights or dict.fromkeys(strings(info.get("queues")), 0)
    concurrency = number(info.get("concurrency"))
    return (Capsule(name="default", concurrency=concurrency, mode="", weights=weights),)


def _merged(told: list[object]) -> dict[str, int]:
    return {queue: weight for each in told for queue, weight in _weights(each).items()}


def _weights(value: object) -> dict[str, int]:
    return {name: number(weight) for name, weight in mapping(value).items()}


def _moment(seconds: object) -> datetime | None:
    found = real(seconds)
    return moment(found * 1000) if found else None
