"""What an instance tells of itself with a heartbeat, and what the server answers.

Source: Sidekiq's lib/sidekiq/launcher.rb for the counters of jobs and days.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from jobd.keys import Keys
from jobd.metrics import Counts, Wire, additions

_DAY_COUNTER_LIFE_S: Final = 157_680_000  # five years, as Sidekiq


class Beat(NamedTuple):
    """The server's answer to a heartbeat.

    Attributes:
        refused: why something could not be counted (a key of the wrong type), or an empty string.
    """

    known: bool
    command: str | None
    now_s: float
    refused: str = ""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance counted since its last heartbeat.

    Attributes:
        tallies: by the name of the class.
        queues: the same by the name of the queue.
        waits: how long jobs waited there before they were claimed.
        host: where all that happened.
        wire: 8 or 7, how the keys of metrics are called.
    """

    processed: int = 0
    failed: int = 0
    tallies: Mapping[str, Counts] = msgspec.field(default_factory=dict[str, Counts])
    queues: Mapping[str, Counts] = msgspec.field(default_factory=dict[str, Counts])
    waits: Mapping[str, Counts] = msgspec.field(default_factory=dict[str, Counts])
    host: str = ""
    wire: Wire = 8


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """What a heartbeat tells: the fields of three hashes, and what was counted since the last.

    Attributes:
        number: tells this heartbeat from all others of the instance. Sent again with the same one,
            it counts nothing twice.
        at_s: epoch seconds; what was counted is added to this minute and this UTC day.
    """

    work: Mapping[str, bytes]
    process: Mapping[str, str | bytes | int | float]
    instance: Mapping[str, str | bytes | int | float]
    counted: Counted
    number: str
    at_s: float

    def further(
        self, keys: Keys, identity: str, life_s: int
    ) -> Sequence[tuple[str | bytes | int, ...]]:
        """What else belongs to this beat and is done once; each command names its key first.

        Args:
            keys: the names of the keys.
            identity: of the instance.
            life_s: of its heartbeat.
        """
        return [*self._counting(keys), *self._work_of_sidekiq_6(keys.workers(identity), life_s)]

    def _work_of_sidekiq_6(self, key: str, life_s: int) -> Sequence[tuple[str | bytes | int, ...]]:
        if self.counted.wire == 8:
            return []
        fields = [part for pair in self.work.items() for part in pair]
        fill = [("HSET", key, *fields), ("EXPIRE", key, life_s)] if fields else []
        return [("DEL", key), *fill]

    def _counting(self, keys: Keys) -> Sequence[tuple[str | int, ...]]:
        counted, day = self.counted, time.strftime("%Y-%m-%d", time.gmtime(self.at_s))
        commands: list[tuple[str | int, ...]] = []
        for name, number in (("processed", counted.processed), ("failed", counted.failed)):
            if number:
                of_day = keys.stat(name, day)
                commands += [("INCRBY", key, number) for key in (keys.stat(name), of_day)]
                commands.append(("EXPIRE", of_day, _DAY_COUNTER_LIFE_S))
        commands += additions(keys, counted.tallies, self.at_s, counted.wire)
        commands += additions(keys.metrics_by("queue"), counted.queues, self.at_s, 8)
        commands += additions(keys.metrics_by("wait"), counted.waits, self.at_s, 8)
        return commands + additions(keys.metrics_by("host"), self._of_host(), self.at_s, 8)

    def _of_host(self) -> Mapping[str, Counts]:
        counted = self.counted.queues.values()
        return {self.counted.host: sum(counted, start=Counts())} if counted else {}
