"""What these tests build from: holders, capsules, fetchers, a waker, odd payloads."""

import contextlib
import os
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

from jobd.clock import Clock, SystemClock
from jobd.config import Capsule, QueueWeight, RedisSettings
from jobd.connection import Connection
from jobd.keys import Keys
from jobd.store import Claimed, Held, Holder, Store
from jobd.worker.fetch import BasicFetch, Draw, Rest
from jobd.worker.iterations import KeptProgress
from jobd.worker.reliable_fetch import ReliableFetch, Told
from jobd.worker.waiting import Waiter
from tests.support.proxy import Proxy
from tests.support.servers import Raw

KEYS = Keys()
IDENTITY = "host:1:0123456789ab"
TIMEOUT_S = 20.0

ODD = {
    "empty": b"",
    "an empty array": b"[]",
    "an integer above 2^53": b'{"class":"Echo","args":[9007199254740993,[],{}],"x":1e400}',
    "not UTF-8": b"\xff\xfe\x00\r\n\x80",
    "a protocol": b"*1\r\n$4\r\nPING\r\n",
    "non-ASCII": '{"class":"Echo","args":["é😀"]}'.encode(),
    "100 kB": b"x" * 100_000,
}


def scripts() -> dict[str, bytes]:
    """Return the text of every script by its name."""
    folder = resources.files("jobd").joinpath("lua")
    return {
        file.name.removesuffix(".lua"): file.read_bytes()
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    }


def a_payload(number: int = 1) -> bytes:
    return b'{"class":"Echo","args":[%d],"jid":"%024x"}' % (number, number)


def payloads(count: int) -> list[bytes]:
    return [a_payload(number) for number in range(count)]


def a_holder(*queues: str, processor: str = "1.0.1", identity: str = IDENTITY) -> Holder:
    return Holder.of(KEYS, identity, processor, queues or ("default",))


def progress(store: Store) -> KeptProgress:
    """Where a worker with the store's connection would keep the progress of iterable jobs."""
    redis: Any = store.redis
    attention: Any = None  # it is not asked to save
    return KeptProgress(redis, KEYS, attention=attention, clock=SystemClock(), patience_s=TIMEOUT_S)


def a_capsule(*queues: str | tuple[str, int]) -> Capsule:
    weighted = [(queue, 0) if isinstance(queue, str) else queue for queue in queues]
    return Capsule(
        name="default",
        concurrency=1,
        queues=tuple(QueueWeight(name=name, weight=weight) for name, weight in weighted),
    )


class Brought(NamedTuple):
    """A ``Claimed`` with each job by itself."""

    lost: int
    jobs: tuple[Held, ...]
    paused: frozenset[int]
    refused: str


def claim(
    store: Store, holder: Holder, *done: Held, limit: int = 1, in_order: bool = False
) -> Brought:
    """Claim in strict order."""
    order, ended = range(len(holder.queues)), by_queue(holder, done)
    return brought(store.claim(holder, done=ended, order=order, limit=limit, in_order=in_order))


def brought(claimed: Claimed) -> Brought:
    """The jobs of a claim one by one, in their order."""
    jobs = tuple(Held(queue, raw) for queue, raws in claimed.jobs for raw in raws)
    return Brought(claimed.lost, jobs, claimed.paused, claimed.refused)


def by_queue(holder: Holder, jobs: Iterable[Held]) -> list[list[bytes]]:
    """What is done, as a claim takes it."""
    groups: list[list[bytes]] = [[] for _ in holder.queues]
    for queue, raw in jobs:
        groups[queue].append(raw)
    return groups


def raws_of(claimed: Brought) -> list[bytes]:
    return [raw for _, raw in claimed.jobs]


def blocked(raw: Raw) -> int:
    """How many clients wait in a blocking command."""
    return int(raw.info("clients")["blocked_clients"])


def calls(raw: Raw) -> dict[str, int]:
    """How often each command ran on the server, those of scripts included."""
    stats = raw.info("commandstats")
    return {name.removeprefix("cmdstat_"): stats[name]["calls"] for name in stats}


def calls_since(raw: Raw, before: dict[str, int]) -> dict[str, int]:
    """The same, less what ran before, and without the asking itself."""
    deltas = {name: count - before.get(name, 0) for name, count in calls(raw).items()}
    return {name: count for name, count in deltas.items() if count and name != "info"}


@dataclass
class Lossy:
    """A way to a server that can be told to lose things."""

    proxy: Proxy
    raw: Raw  # not by way of the proxy

    @property
    def url(self) -> str:
        return self.proxy.url()

    @property
    def settings(self) -> RedisSettings:
        return RedisSettings(url=self.url, network_timeout=TIMEOUT_S)


class Bell:
    """A waker: readable from `ring` on."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        self.has_rung = False

    def fileno(self) -> int:
        return self._read_fd

    def ring(self) -> None:
        self.has_rung = True
        os.write(self._write_fd, b"!")

    def mute(self) -> None:
        os.read(self._read_fd, 100)

    def close(self) -> None:
        os.close(self._read_fd)
        os.close(self._write_fd)


class Bench:
    """One processor's fetcher, its own thread, and what is needed to end both."""

    def __init__(
        self, settings: RedisSettings, capsule: Capsule, processor: str, seed: int
    ) -> None:
        self.bell = Bell()
        self.connection = Connection(settings)
        self.store = Store(self.connection, KEYS)
        self.holder = a_holder(*(queue.name for queue in capsule.queues), processor=processor)
        self.acknowledgements = 0
        self.long_jobs = 0
        self._settings = settings
        self._rng = random.Random(seed)
        self._capsule = capsule
        self.clock: Clock = SystemClock()
        self._thread = ThreadPoolExecutor(1)

    def reliable(self, batch: int = 1) -> ReliableFetch:
        """Make a fetcher that takes so many jobs at once as if all of them had been short."""
        draw = Draw(self._capsule, self._rng, batch)
        for _ in range(20):
            draw.pace.note(jobs=1, took_s=1e-6)
        return ReliableFetch(
            self.store,
            self.holder,
            draw=draw,
            waiter=Waiter(
                connect=self._a_blocking_connection, wakers=[self.bell], clock=self.clock
            ),
            clock=self.clock,
            told=Told(self._count, lambda: None, job_is_long=self._note_long),
        )

    def basic(self) -> BasicFetch:
        return BasicFetch(
            self.store,
            self._a_blocking_connection(),
            capsule=self._capsule,
            rest=Rest([self.bell], lambda: None),
            rng=self._rng,
            clock=SystemClock(),
        )

    def aside(self, function, *arguments) -> Future:
        """Call in the bench's thread."""
        return self._thread.submit(function, *arguments)

    def close(self) -> None:
        self.bell.ring()
        self._thread.shutdown()
        self.connection.close()
        self.bell.close()

    def _a_blocking_connection(self) -> Connection:
        return Connection(self._settings, timeout_s=6 + TIMEOUT_S)

    def _count(self) -> None:
        self.acknowledgements += 1

    def _note_long(self) -> None:
        self.long_jobs += 1


@contextlib.contextmanager
def a_bench(
    url: str, *queues: str | tuple[str, int], processor: str = "1.0.1", seed: int = 1
) -> Iterator[Bench]:
    settings = RedisSettings(url=url, network_timeout=TIMEOUT_S)
    bench = Bench(settings, a_capsule(*(queues or ("default",))), processor, seed)
    try:
        yield bench
    finally:
        bench.close()
