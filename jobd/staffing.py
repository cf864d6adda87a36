"""Putting a worker together: its processor, or those of its threads, and what they share."""

import functools
import os
import random
from collections.abc import Sequence
from typing import Final

import msgspec

from jobd import results
from jobd.app import App
from jobd.cancelling import Cancelled
from jobd.clock import Clock
from jobd.config import Capsule, Config
from jobd.connection import Backoff, Connection
from jobd.hooks import Hooks
from jobd.jobs import perform, registry
from jobd.keys import Keys
from jobd.scoreboard import Scoreboard, SlotWriter
from jobd.server_clock import ServerClock
from jobd.store import Holder, Store
from jobd.supervisor.child import Seat
from jobd.tallies import Tallies
from jobd.worker.attention import Attention
from jobd.worker.company import Company
from jobd.worker.crew import Crew, Member, SharedTally
from jobd.worker.fetch import BasicFetch, Draw, Fetcher, Rest
from jobd.worker.heeding import Heeding
from jobd.worker.iterations import KeptProgress
from jobd.worker.processor import Application, Display, Processor, Rules
from jobd.worker.reliable_fetch import ReliableFetch, Told
from jobd.worker.thread_attention import ThreadAttention
from jobd.worker.title import Title
from jobd.worker.waiting import Waiter
from jobd.worker.worker import CancelWatch, Chore, PollerWatch, Pulse, Worker

_BLOCKED_S: Final = 11.0
"""The longest that a blocking command waits on the server, and a second."""


def capsule_of(config: Config, seat: Seat) -> Capsule:
    """The capsule that a seat works for."""
    return next(capsule for capsule in config.capsules if capsule.name == seat.group)


def threads_of(config: Config, seat: Seat) -> int:
    """How many threads of the worker in a seat run jobs; 0 if its main thread does."""
    threads = capsule_of(config, seat).threads
    return threads if threads > 1 else 0


class _Post(msgspec.Struct, frozen=True):
    """Where one processor stands.

    Attributes:
        thread: its number; 0 is the main thread.
        store: over a connection of its own.
        waiter: shared with the other threads.
    """

    seat: Seat
    thread: int
    attention: Heeding
    display: Display
    store: Store
    rest: Rest
    waiter: Waiter


class Staffing:
    """Makes the workers of one configuration.

    Args:
        config: says what they are like.
        scoreboard: where they show what they do.
        tallies: where they count.
        clock: theirs.
        is_embedded: they run in threads of somebody else's process.
    """

    def __init__(
        self,
        config: Config,
        scoreboard: Scoreboard,
        tallies: Tallies,
        *,
        clock: Clock,
        is_embedded: bool,
    ) -> None:
        self._config = config
        self._scoreboard = scoreboard
        self._tallies = tallies
        self._clock = clock
        self._keeps_title = is_embedded

    def worker(self, seat: Seat, attention: Attention, slot: SlotWriter, app: App) -> Worker | Crew:
        """A worker that is fit to run, as its capsule says."""
        threads = threads_of(self._config, seat)
        if threads:
            return self._crew(seat, attention, slot, app, threads)
        store = self._store(seat)
        attention.progress = self._progress(attention)
        title = Title(seat.slot, _keep_title) if self._keeps_title else Title(seat.slot)

        def will_wait() -> None:
            attention.will_wait()
            title.show("idle")

        display = Display(slot, title, self._tallies.writer(seat.slot))
        rest = Rest(attention.wakers, will_wait)
        post = _Post(seat, 0, attention, display, store, rest, self._waiter(rest))
        chores = self._chores(seat, attention, app, store)
        return self._loop(post, app, chores=chores, hooks=app.hooks)

    def _crew(
        self, seat: Seat, attention: Attention, slot: SlotWriter, app: App, threads: int
    ) -> Crew:
        company = Company(lambda: attention.is_stopping or attention.is_quiet)
        rest = Rest((company,), _nothing, company)
        waiter = self._waiter(rest)
        tally = SharedTally(self._tallies.writer(seat.slot))

        def member(number: int) -> Member:
            page = self._scoreboard.writer(seat.slot, number)
            page.open(os.getpid(), seat.incarnation)
            own = ThreadAttention(attention, page, company, self._clock)
            own.progress = self._progress(own)
            display = Display(page, Title(seat.slot, _keep_title), tally)
            post = _Post(seat, number, own, display, self._store(seat), rest, waiter)
            # Its chores and the app's events are the main thread's.
            return Member(number, self._loop(post, app, chores=(), hooks=Hooks()), own, page)

        return Crew(
            [member(number) for number in range(1, threads + 1)],
            company=company,
            attention=attention,
            display=Display(slot, Title(seat.slot), tally),
            chores=self._chores(seat, attention, app),
            hooks=app.hooks,
            close=waiter.close,
        )

    def _loop(self, post: _Post, app: App, *, chores: Sequence[Chore], hooks: Hooks) -> Worker:
        rng = random.Random()  # noqa: S311 - jitter and weights
        fetcher = self._fetcher(post, rng)
        return Worker(
            processor=Processor(
                fetcher,
                app=Application(
                    registry,
                    app.server_middleware.fold(perform),
                    app.hooks,
                    functools.partial(results.keep, post.store),
                ),
                rules=_rules(self._config),
                attention=post.attention,
                display=post.display,
                clock=ServerClock(self._clock, self._scoreboard),
                rng=rng,
            ),
            fetcher=fetcher,
            attention=post.attention,
            display=post.display,
            chores=chores,
            hooks=hooks,
            backoff=Backoff(rng),
        )

    def _fetcher(self, post: _Post, rng: random.Random) -> Fetcher:
        config, seat, store = self._config, post.seat, post.store
        capsule = capsule_of(config, seat)
        if config.fetch == "basic":
            return BasicFetch(
                store,
                Connection(config.redis, timeout_s=_BLOCKED_S),
                capsule=capsule,
                rest=post.rest,
                rng=rng,
                clock=self._clock,
            )
        processor = f"{seat.slot}.{post.thread}.{seat.incarnation}"
        names = [queue.name for queue in capsule.queues]
        slot, title = post.display.slot, post.display.title
        return ReliableFetch(
            store,
            Holder.of(store.keys, seat.identity, processor, names),
            # A batch would wait behind one job while other threads have nothing to do.
            draw=Draw(capsule, rng, 1 if post.thread else config.batch),
            waiter=post.waiter,
            clock=self._clock,
            told=Told(slot.acknowledged, post.rest.will_wait, job_is_long=title.show_job),
        )

    def _waiter(self, rest: Rest) -> Waiter:
        return Waiter(
            connect=self._connect, wakers=rest.wakers, clock=self._clock, company=rest.company
        )

    def _chores(
        self, seat: Seat, attention: Attention, app: App, store: Store | None = None
    ) -> tuple[Chore, ...]:
        """What a worker sees to; over a store of its loop, if that is one."""
        # Beside threads, which ask who is cancelled, each has its own; the second seldom connects.
        return (
            Pulse(app.hooks, self._clock),
            CancelWatch(Cancelled(store or self._store(seat)), self._scoreboard, attention),
            PollerWatch(store or self._store(seat), seat.identity, self._scoreboard, self._clock),
        )

    def _progress(self, attention: Heeding) -> KeptProgress:
        return KeptProgress(
            Connection(self._config.redis, name="jobd-progress"),
            Keys(),
            attention=attention,
            clock=self._clock,
            patience_s=self._config.timeout,
        )

    def _store(self, seat: Seat) -> Store:
        return Store(Connection(self._config.redis, name=f"jobd-worker-{seat.slot}"), Keys())

    def _connect(self) -> Connection:
        timeout_s = _BLOCKED_S + self._config.redis.network_timeout
        return Connection(self._config.redis, timeout_s=timeout_s)


def _rules(config: Config) -> Rules:
    return Rules(config.max_retries, config.dead_max_jobs, config.dead_timeout_s, config.wire)


def _keep_title(_title: str) -> None:
    """The process is not ours, or shows more than one job."""


def _nothing() -> None:
    pass
