"""What instances say of themselves in Redis: heartbeats, and who is registered.

Source: Sidekiq's lib/sidekiq/launcher.rb and api.rb; ``jobd:instance:*`` is ours.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from jobd.errors import RedisFull
from jobd.keys import Keys
from jobd.link import Argument, Command
from jobd.pulse import Beat, Pulse
from jobd.scoreboard import SlotState, fingerprint
from jobd.store import Redis, Script, text

HEARTBEAT_LIFE_S: Final = 60

_BEAT = Script("beat")
_RENEW = Script("renew")


class Heard(NamedTuple):
    """What has come for an instance.

    Attributes:
        is_registered: it has a heartbeat; else somebody has emptied the server.
        is_asked: operators want something of the jobs that it runs.
        has_cancelled: jobs are cancelled, here or elsewhere.
    """

    is_registered: bool
    is_asked: bool
    has_cancelled: bool


class Fleet:
    """The instances that are registered.

    Args:
        redis: a connection, or a pool that threads share.
        keys: the names of the keys.

    Every method raises what those of `Store` raise.
    """

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def live(self, identities: Sequence[str]) -> dict[str, bool]:
        """Which of these instances have a heartbeat."""
        names = [("EXISTS", self._keys.instance(identity)) for identity in identities]
        return dict(zip(identities, map(bool, self._redis.pipeline(names)), strict=True))

    def heard_of(self, identity: str) -> Heard:
        """What others want of an instance, in one command that an idle one repeats all day."""
        keys = self._keys
        instance, asks, cancelled = keys.instance(identity), keys.asks(identity), keys.cancelled
        # EXISTS counts a key as often as it is named, so the sum tells which there are.
        names = (instance, *[asks] * 2, *[cancelled] * 4)
        found = int(self._redis.call("EXISTS", *names))
        return Heard(bool(found & 1), bool(found & 2), bool(found & 4))

    def instance(self, identity: str) -> dict[str, str]:
        """What an instance last said of itself; empty if it has no heartbeat."""
        flat = self._redis.call("HGETALL", self._keys.instance(identity))
        texts = [text(part) for part in flat]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    def ping(self) -> None:
        """One round trip, to be timed."""
        self._redis.call("PING")

    def running(self, identity: str, busy: Mapping[str, SlotState]) -> dict[str, str]:
        """The payloads of running jobs by processor, where a private list holds them."""
        names = {
            processor: self._keys.private(identity, processor, state.queue)
            for processor, state in busy.items()
        }
        # Behind the running job lie those of its batch that are done and not acknowledged yet.
        commands = [
            ("LRANGE", name, -1 - len(busy[key].finished), -1) for key, name in names.items()
        ]
        replies = self._redis.pipeline(commands) if commands else []
        return {
            processor: raw.decode(errors="surrogateescape")
            for processor, raws in zip(names, replies, strict=True)
            for raw in raws
            if fingerprint(raw) == busy[processor].running
        }

    def beat(self, identity: str, pulse: Pulse) -> Beat:
        """Say that the instance lives, and what it does; take one remote command.

        May be sent again after an error, with the same number and the same counts.
        """
        keys = self._keys
        names = (
            keys.work(identity),
            keys.process(identity),
            keys.instance(identity),
            keys.processes,
            keys.signals(identity),
        )
        further = pulse.further(keys, identity, HEARTBEAT_LIFE_S)
        others = dict.fromkeys(str(command[1]) for command in further)
        hashes = [_flatten(fields) for fields in (pulse.work, pulse.process, pulse.instance)]
        sizes = [len(fields) for fields in hashes]
        head: Command = (identity, HEARTBEAT_LIFE_S, pulse.number, *sizes)
        tail: Command = [part for command in further for part in (len(command), *command)]
        arguments = (*head, *itertools.chain(*hashes), *tail)
        reply = _BEAT.run(self._redis, len(names) + len(others), *names, *others, *arguments)
        known, command, (seconds, micros), refused = reply
        return Beat(
            bool(known),
            text(command) if command else None,
            int(seconds) + int(micros) / 1e6,
            text(refused) if refused else "",
        )

    def renew(self, identity: str) -> None:
        """Keep the heartbeat of an instance from running out, for a poller that does not beat."""
        keys = (self._keys.process(identity), self._keys.instance(identity), self._keys.processes)
        _RENEW.run(self._redis, len(keys), *keys, identity, HEARTBEAT_LIFE_S)

    def leave(self, identity: str) -> None:
        """The instance ends cleanly. Its IDENTITY hash runs out by itself, as Sidekiq's does."""
        self._redis.pipeline(
            [
                ("SREM", self._keys.processes, identity),
                ("DEL", self._keys.work(identity), self._keys.workers(identity)),
                ("DEL", self._keys.instance(identity), self._keys.signals(identity)),
            ]
        )

    def sweep(self) -> int:
        """Strike instances without a heartbeat from ``processes``; at most once a minute in all.

        Returns:
            How many were struck.
        """
        guard = self._keys.process_cleanup
        try:
            is_ours = self._redis.call("SET", guard, "1", "NX", "EX", 60) is not None
        except RedisFull:
            return 0  # it can wait, and the rest of a sweep must not wait for it
        if not is_ours:
            return 0
        names = [text(name) for name in self._redis.call("SMEMBERS", self._keys.processes)]
        infos = (
            self._redis.pipeline([("HGET", self._keys.process(n), "info") for n in names])
            if names
            else []
        )
        dead = [name for name, info in zip(names, infos, strict=True) if info is None]
        return int(self._redis.call("SREM", self._keys.processes, *dead)) if dead else 0

    def count(self) -> int:
        """How many instances are registered, Ruby's included."""
        return int(self._redis.call("SCARD", self._keys.processes))


def _flatten(fields: Mapping[str, str | bytes | int | float]) -> list[Argument]:
    return [part for pair in fields.items() for part in pair]
