"""An instance as its poller sees it, without processes: the tests play master and workers."""

import contextlib
import os
import random
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from jobd.cancelling import Cancelled
from jobd.config import Capsule, Config, QueueWeight, RedisSettings
from jobd.connection import Backoff, Connection
from jobd.fleet import Fleet
from jobd.keys import Keys
from jobd.last_lines import LastLines
from jobd.poller.cancels import Cancels
from jobd.poller.heartbeat import Heartbeat
from jobd.poller.instance import Instance
from jobd.poller.looks import Looks
from jobd.poller.poller import Place, Poller, Services
from jobd.poller.promotion import Promoter
from jobd.poller.proof import HostWitness
from jobd.poller.recovery import Recovery
from jobd.scoreboard import Scoreboard, SlotWriter, State
from jobd.store import Store
from jobd.tallies import Tallies
from tests.support import inboxes, wire
from tests.support.clock import FakeClock
from tests.support.servers import Raw

IDENTITY = f"here:{os.getpid()}:0123456789ab"
OTHER = "there:42:ba9876543210"


class ScriptedMaster:
    """A master that says what the test says, and keeps what it is told."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self.says: list[Mapping[str, Any]] = []
        self.heard: list[Mapping[str, object]] = []

    def fileno(self) -> int:
        """Readable when it is gone."""
        return self._ours.fileno()

    def is_cut(self) -> bool:
        """Whether it is gone."""
        return self._theirs.fileno() == -1

    def cut(self) -> None:
        """Die."""
        self._theirs.close()

    def send(self, message: Mapping[str, object]) -> None:
        """Hear."""
        self.heard.append(message)

    def receive(self) -> list[Mapping[str, Any]]:
        """What was said, once."""
        says, self.says = self.says, []
        return says

    def close(self) -> None:
        """After the test."""
        self._ours.close()
        self._theirs.close()


class Station:
    """A poller with two worker slots and three queues."""

    def __init__(self, url: str, raw: Raw, clock: FakeClock) -> None:
        self.raw = raw
        self.clock = clock
        self.board = Scoreboard(clock, slots=4)
        self.tallies = Tallies(2)
        self.lines = LastLines(4)
        self.master = ScriptedMaster()
        self.connection = Connection(RedisSettings(url=url))
        self.store = Store(self.connection, Keys())
        self.fleet = Fleet(self.connection, Keys())
        self.config = Config(
            environment="test",
            concurrency=1,
            timeout=25,
            capsules=(
                Capsule(
                    name="default",
                    concurrency=1,
                    queues=(
                        QueueWeight(name="critical", weight=2),
                        QueueWeight(name="default", weight=1),
                    ),
                ),
                Capsule(name="slow", concurrency=1, queues=(QueueWeight(name="low"),)),
            ),
            redis=RedisSettings(url=url),
            tag="daily_mood",
            labels=("blue",),
        )
        self.slot = self.board.writer(0)
        self.slot.open(os.getpid(), 1)
        self.recovery = self.make_recovery()
        self.poller = self.make_poller()

    def connect(self, url: str) -> None:
        """Go another way to the server from now on."""
        self.connection.close()
        self.connection = Connection(RedisSettings(url=url))
        self.store = Store(self.connection, Keys())
        self.fleet = Fleet(self.connection, Keys())

    def make_heartbeat(self, slot: SlotWriter) -> Heartbeat:
        """A heartbeat of a poller in that slot."""
        instance = Instance(IDENTITY, "here", os.getpid(), 1_799_999_000.5)
        return Heartbeat(
            self.fleet,
            instance,
            self.config,
            scoreboard=self.board,
            slot=slot,
            tallies=self.tallies,
            clock=self.clock,
        )

    def make_recovery(self, identity: str = IDENTITY) -> Recovery:
        """The recovery of an instance."""
        return Recovery(
            self.store,
            identity,
            ["critical", "default", "low"],
            scoreboard=self.board,
            witness=HostWitness(self.fleet),
            clock=self.clock,
        )

    def make_poller(self) -> Poller:
        """Put all together; the signals of this process stay as they are."""
        return Poller(
            self.fleet,
            Place(IDENTITY, self.slot, orphan_s=30),
            master=self.master,
            services=Services(
                Promoter(self.store, wire=8, rng=random.Random(1)),
                self.make_heartbeat(self.slot),
                self.recovery,
                Cancels(Cancelled(self.store), self.board, self.clock),
                Looks(self.store, IDENTITY, self.board, self.lines, self.clock),
                self.store.empty_trash,
                lambda: None,
            ),
            scoreboard=self.board,
            clock=self.clock,
            backoff=Backoff(random.Random(1)),
        )

    # What master and workers do

    def seat(self, slot: int, incarnation: int, *, pid: int | None = None) -> SlotWriter:
        """Have a worker sit in a slot, and return its pen. By default it lives: it is us."""
        pid = os.getpid() if pid is None else pid
        self.board.assign(
            slot, state=State.IDLE, pid=pid, incarnation=incarnation, spawned=1_799_999_001.0
        )
        writer = self.board.writer(slot)
        writer.open(pid, incarnation)
        writer.set_state(State.IDLE)
        return writer

    def vacate(self, slot: int, incarnation: int) -> None:
        """Have the master note that the worker is dead."""
        self.board.assign(
            slot, state=State.WAITING, incarnation=incarnation, last_exit="SIGKILL", restarts=1
        )

    def hold(
        self, *payloads: dict[str, Any] | bytes, owner: str = f"{IDENTITY}:1.0.1"
    ) -> list[bytes]:
        """Put jobs into the private list of a processor, the first one claimed first."""
        queue = next((p["queue"] for p in payloads if isinstance(p, dict)), "default")
        name = f"jobd:private:{owner}:{queue}"
        raws = [p if isinstance(p, bytes) else wire.encode(p) for p in payloads]
        self.raw.sadd("jobd:privates", name)
        for raw in raws:
            self.raw.lpush(name, raw)
        return raws

    def queue(self, name: str = "default") -> list[bytes]:
        """The raw jobs of a queue, the one that runs next first."""
        return list(reversed(self.raw.lrange(f"queue:{name}", 0, -1)))

    def held(self) -> int:
        """How many jobs lie in private lists."""
        return sum(self.raw.llen(name) for name in wire.privates(self.raw))

    def close(self) -> None:
        """After the test."""
        self.connection.close()
        self.master.close()
        inboxes.forget(self.poller._inbox)


@pytest.fixture
def station(redis_url: str, raw: Raw, clock: FakeClock) -> Iterator[Station]:
    """A poller's station on an empty database."""
    with contextlib.closing(Station(redis_url, raw, clock)) as made:
        yield made
