"""A processor put together as in a worker, but in this process and with the time standing still."""

import contextlib
import functools
import random
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import pytest
import setproctitle

from jobd import results
from jobd.config import Capsule, QueueWeight, RedisSettings
from jobd.connection import Connection
from jobd.hooks import Hooks
from jobd.jobs import Job, Registry, perform
from jobd.keys import Keys
from jobd.middleware import Chain, ServerChain
from jobd.payload import Wire
from jobd.scoreboard import Scoreboard, SlotState
from jobd.server_clock import ServerClock
from jobd.store import Holder, Store
from jobd.tallies import Tallies
from jobd.worker.attention import Attention
from jobd.worker.fetch import BasicFetch, Draw, Fetcher, Rest
from jobd.worker.given import Application, Display, Rules
from jobd.worker.iterations import KeptProgress
from jobd.worker.processor import Processor
from jobd.worker.queue_wait import QueueWait
from jobd.worker.reliable_fetch import ReliableFetch, Told
from jobd.worker.title import Title
from jobd.worker.waiting import Waiter
from tests.support import inboxes, wire as by_hand
from tests.support.clock import FakeClock
from tests.support.servers import Raw
from tests.worker.bench_jobs import BenchAdvised, BenchEcho, BenchFail, BenchFork

IDENTITY = "host:1:0123456789ab"
SLOT, INCARNATION = 3, 7
QUEUES = ("default", "low")

Kind = Literal["reliable", "basic"]


class QuietMaster:
    """A master that lives until it is cut, and says nothing."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self.nudges = 0

    def fileno(self) -> int:
        """Readable once it is cut."""
        return self._ours.fileno()

    def is_cut(self) -> bool:
        """Whether it is gone."""
        return self._theirs.fileno() == -1

    def nudge(self) -> None:
        """Somebody has something to say."""
        self.nudges += 1

    def cut(self) -> None:
        """Die."""
        self._theirs.close()

    def close(self) -> None:
        """After the test."""
        self._ours.close()
        self._theirs.close()


class Bench:
    """One processor and what surrounds it."""

    def __init__(
        self, url: str, raw: Raw, clock: FakeClock, kind: Kind, *, wire: Wire = 8, batch: int = 1
    ) -> None:
        self.batch = batch
        self.raw = raw
        self.clock = clock
        self.registry = Registry()
        self.middleware: ServerChain = Chain()
        self.hooks = Hooks()
        self.board = Scoreboard(clock, slots=4)
        self.tallies = Tallies(SLOT)
        self.master = QuietMaster()
        self.dead_max_jobs = 10_000
        self.wire: Wire = wire
        self.writer = self.board.writer(SLOT)
        self.attention = Attention(self.master, self.writer, timeout_s=25, clock=clock)
        self.title = Title(SLOT)
        self.display = Display(self.writer, self.title, self.tallies.writer(SLOT))
        self.waits = QueueWait(self.display.tally, ServerClock(clock, self.board))
        self.writer.open(1, INCARNATION)
        settings = RedisSettings(url=url)
        self.connection = Connection(settings)
        self._blocking = Connection(settings, timeout_s=6)
        self._progress = Connection(settings)
        self.fetcher = self._make_fetcher(kind, settings)

    def _make_fetcher(self, kind: Kind, settings: RedisSettings) -> Fetcher:
        queues = tuple(QueueWeight(name=name) for name in QUEUES)
        capsule = Capsule(name="default", concurrency=1, queues=queues)
        store, wakers = Store(self.connection, Keys()), self.attention.wakers
        if kind == "basic":
            return BasicFetch(
                store,
                self._blocking,
                capsule=capsule,
                rest=Rest(wakers, self.attention.will_wait),
                rng=random.Random(1),
                clock=self.clock,
                claimed=self.waits.sample,
            )
        return ReliableFetch(
            store,
            Holder.of(store.keys, IDENTITY, f"{SLOT}.0.{INCARNATION}", QUEUES),
            draw=Draw(capsule, random.Random(1), self.batch),
            waiter=Waiter(
                connect=lambda: Connection(settings, timeout_s=6), wakers=wakers, clock=self.clock
            ),
            clock=self.clock,
            told=Told(
                acknowledged=self.writer.acknowledged,
                will_wait=self.attention.will_wait,
                job_is_long=self.title.show_job,
                claimed=self.waits.sample,
            ),
        )

    def knows(self, *kinds: type[Job]) -> "Bench":
        """Make jobs known to the worker."""
        for kind in kinds:
            self.registry.add(kind)
        return self

    def push(self, name: str, *args: Any, **fields: Any) -> dict[str, Any]:
        """Queue a job and return its payload."""
        payload = by_hand.a_payload(name, *args, **{"created_at": 5, "enqueued_at": 6, **fields})
        payload = {key: value for key, value in payload.items() if value is not ...}
        self.raw.lpush(f"queue:{payload['queue']}", by_hand.encode(payload))
        return payload

    def step(self) -> bool:
        """Let the processor take one job and see it through."""
        return self.make_processor().step()

    def make_processor(self) -> Processor:
        """The processor, with what was added to the bench so far."""
        rules = Rules(25, self.dead_max_jobs, 15_552_000, self.wire)
        self.attention.progress = KeptProgress(
            self._progress, Keys(), attention=self.attention, clock=self.clock, patience_s=25
        )
        return Processor(
            self.fetcher,
            app=Application(
                self.registry,
                self.middleware.fold(perform),
                self.hooks,
                functools.partial(results.keep, Store(self.connection, Keys())),
            ),
            rules=rules,
            attention=self.attention,
            display=self.display,
            clock=ServerClock(self.clock, self.board),
            rng=random.Random(1),
        )

    @property
    def slot(self) -> SlotState:
        """What the processor shows of itself."""
        return self.board.read(SLOT)

    def queued(self, queue: str = "default") -> list[dict[str, Any]]:
        """The jobs of a queue, the one that runs next first."""
        return by_hand.queued(self.raw, queue)

    def entries(self, name: str) -> list[dict[str, Any]]:
        """The jobs of ``retry`` or ``dead``."""
        return by_hand.entries(self.raw, name)

    def only(self, name: str) -> dict[str, Any]:
        """The one job of ``retry`` or ``dead``."""
        (entry,) = self.entries(name)
        return entry

    def held(self) -> int:
        """How many jobs lie in private lists."""
        return sum(self.raw.llen(name) for name in by_hand.privates(self.raw))

    def counts(self) -> Mapping[str, int]:
        """What was counted so far."""
        return {"processed": self.slot.processed, "failed": self.slot.failed}

    def close(self) -> None:
        """After the test."""
        self.fetcher.close()
        for connection in (self.connection, self._blocking, self._progress):
            connection.close()
        self.master.close()
        inboxes.forget(self.attention._inbox)


MakeBench: TypeAlias = Callable[..., Bench]


@pytest.fixture
def make_bench(redis_url: str, raw: Raw, clock: FakeClock) -> Iterator[MakeBench]:
    """A function that makes a bench for ``reliable`` or ``basic``."""
    own_title = setproctitle.getproctitle()
    with contextlib.ExitStack() as ends:

        def make(kind: Kind = "reliable", **options: Any) -> Bench:
            return ends.enter_context(
                contextlib.closing(Bench(redis_url, raw, clock, kind, **options))
            )

        yield make
    setproctitle.setproctitle(own_title)


@pytest.fixture(params=["reliable", "basic"])
def bench(request: pytest.FixtureRequest, make_bench: MakeBench) -> Bench:
    """A bench of either kind in turn."""
    return make_bench(request.param)


@pytest.fixture
def jobs_as_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of ``bench_jobs`` forget what the last test did with them."""
    monkeypatch.setattr(BenchEcho, "ran", [])
    monkeypatch.setattr(BenchFork, "statuses", [])
    monkeypatch.setattr(BenchFail, "error", lambda: ValueError("as told"))
    monkeypatch.setattr(BenchAdvised, "on_retry", lambda count, error, payload: None)
    monkeypatch.setattr(BenchAdvised, "on_exhausted", lambda payload, error: None)


def record_handlers(bench: Bench) -> list[tuple[str, int, int, int]]:
    """Where the job is whenever the app is called: (who, in retry, in dead, held)."""
    seen: list[tuple[str, int, int, int]] = []

    def note(who: str) -> None:
        raw = bench.raw
        seen.append((who, raw.zcard("retry"), raw.zcard("dead"), bench.held()))

    bench.hooks.error_handlers.append(lambda error, context: note("error"))
    bench.hooks.death_handlers.append(lambda payload, error: note("death"))
    BenchAdvised.on_exhausted = lambda payload, error: note("exhausted")
    BenchAdvised.on_retry = lambda count, error, payload: note("retry_in")
    return seen
