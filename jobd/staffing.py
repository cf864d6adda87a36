"""Putting a worker together: its processor, or those of its threads, and what they share."""

import functools
import os
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from jobd import results
from jobd.app import App
from jobd.cancelling import Cancelled
from jobd.clock import Clock
from jobd.config import Capsule, Config
from jobd.connection import Backoff, Connection
from jobd.fleet import Fleet
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
from jobd.worker.departures import Departures
from jobd.worker.fetch import BasicFetch, Draw, Fetcher, Rest
from jobd.worker.given import Application, Display, HandsOver, Rules
from jobd.worker.heeding import Heeding
from jobd.worker.iterations import KeptProgress
from jobd.worker.processor import Processor
from jobd.worker.queue_wait import QueueWait
from jobd.worker.reliable_fetch import ReliableFetch, Told
from jobd.worker.thread_attention import ThreadAttention
from jobd.worker.title import Title
from jobd.worker.waiting import Waiter
from jobd.worker.worker import CancelWatch, Chore, PollerWatch, Pulse, Worker

if TYPE_CHECKING:
    from jobd.worker.loop import Loop

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
        to_loop: makes the processor's way there, if there is a loop.
    """

    seat: Seat
    thread: int
    attention: Heeding
    display: Display
    store: Store
    rest: Rest
    waiter: Waiter
    to_loop: Callable[[Processor, Fetcher], HandsOver] | None = None


class _Beside(msgspec.Struct, frozen=True):
    """Who and what a loop is beside, in its worker.

    Attributes:
        threads: that run jobs; 0 if the main thread does.
        slot: the page of the main thread.
    """

    seat: Seat
    threads: int
    attention: Attention
    company: Company
    tally: SharedTally
    slot: SlotWriter


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
        self._scoreboard.set_has_async_jobs(has_any=self._has_async_jobs)
        threads = threads_of(self._config, seat)
        if threads:
            return self._crew(seat, attention, slot, app, threads)
        store = self._store(seat)
        attention.progress = self._progress(attention)
        title = Title(seat.slot, _keep_title) if self._keeps_title else Title(seat.slot)

        def will_wait() -> None:
            attention.will_wait()
            title.show("idle")

        rest = Rest(attention.wakers, will_wait)
        display = Display(slot, title, self._tallies.writer(seat.slot))
        post = _Post(seat, 0, attention, display, store, rest, self._waiter(rest))
        chores = self._chores(seat, attention, app, store)
        if self._has_loop(seat):
            return self._with_loop(post, attention, app, chores)
        return self._loop(post, app, chores=chores, hooks=app.hooks)

    def _with_loop(
        self, post: _Post, attention: Attention, app: App, chores: Sequence[Chore]
    ) -> Worker:
        """A worker whose main thread runs jobs beside a loop."""
        attention.company = Company(lambda: attention.is_stopping or attention.is_quiet)
        departures, shown = Departures(), post.display
        tally = SharedTally(shown.tally)
        beside = _Beside(post.seat, 0, attention, attention.company, tally, shown.slot)

        def has_ended() -> None:
            attention.is_stopping = True  # if it was not, that is a defect of ours
            departures.add()

        loop = self._async_jobs(beside, app, has_ended)
        attention.threads = [loop]

        def will_wait() -> None:
            attention.will_wait()
            shown.title.show(f"{loop.busy} in the loop" if loop.busy else "idle")

        rest = Rest((*attention.wakers, departures), will_wait)
        post = msgspec.structs.replace(
            post,
            display=Display(shown.slot, shown.title, tally),
            rest=rest,
            waiter=self._waiter(rest),
            to_loop=_way_to(loop, attention, attention.company),
        )
        chores = (*chores, *self._place_watch(loop, post.store))
        worker = self._loop(post, app, chores=chores, hooks=app.hooks)
        worker.await_others = lambda: loop.await_end(attention, departures)
        return worker

    def _crew(
        self, seat: Seat, attention: Attention, slot: SlotWriter, app: App, threads: int
    ) -> Crew:
        company = Company(lambda: attention.is_stopping or attention.is_quiet)
        rest = Rest((company,), _nothing, company)
        waiter = self._waiter(rest)
        tally = SharedTally(self._tallies.writer(seat.slot))
        departures, loop = Departures(), None
        if self._has_loop(seat):
            beside = _Beside(seat, threads, attention, company, tally, slot)
            loop = self._async_jobs(beside, app, departures.add)

        def member(number: int) -> Member:
            page = self._scoreboard.writer(seat.slot, number)
            page.open(os.getpid(), seat.incarnation)
            own = ThreadAttention(attention, page, company, self._clock)
            own.progress = self._progress(own)
            display = Display(page, Title(seat.slot, _keep_title), tally)
            way = _way_to(loop, own, company) if loop else None
            post = _Post(seat, number, own, display, self._store(seat), rest, waiter, way)
            # Its chores and the app's events are the main thread's.
            return Member(number, self._loop(post, app, chores=(), hooks=Hooks()), own, page)

        crew = Crew(
            [member(number) for number in range(1, threads + 1)],
            company=company,
            attention=attention,
            display=Display(slot, Title(seat.slot), tally),
            chores=(
                *self._chores(seat, attention, app),
                *(self._place_watch(loop, self._store(seat)) if loop else ()),
            ),
            hooks=app.hooks,
            close=waiter.close,
        )
        crew.loop, crew.departures = loop, departures
        return crew

    @property
    def _has_async_jobs(self) -> bool:
        """Whether there are jobs for a loop; in somebody else's process they run one at a time."""
        kinds = map(registry.find, registry.names())
        return not self._keeps_title and any(kind and kind.__is_async__ for kind in kinds)

    def _has_loop(self, seat: Seat) -> bool:
        return self._has_async_jobs and capsule_of(self._config, seat).async_concurrency > 0

    def _async_jobs(self, beside: _Beside, app: App, has_ended: Callable[[], object]) -> "Loop":
        from jobd.worker.loop import Loop, Place  # noqa: PLC0415 - asyncio and greenlet take long
        from jobd.worker.place_attention import PlaceAttention  # noqa: PLC0415 - likewise
        from jobd.worker.settling import PlaceFetcher, Settler  # noqa: PLC0415 - likewise

        seat = beside.seat
        names = [queue.name for queue in capsule_of(self._config, seat).queues]
        settler = Settler(self._store(seat))
        keep = functools.partial(results.keep, settler.store)

        def place(number: int) -> Place:
            thread = beside.threads + number
            page = self._scoreboard.writer(seat.slot, thread)
            page.open(os.getpid(), seat.incarnation)
            attention = PlaceAttention(beside.attention, page, self._clock)
            processor = f"{seat.slot}.{thread}.{seat.incarnation}"
            holder = Holder.of(settler.store.keys, seat.identity, processor, names)
            fetcher = PlaceFetcher(settler, holder, holds=self._config.fetch != "basic")
            return Place(
                number,
                slot=page,
                attention=attention,
                fetcher=fetcher,
                settler=settler,
                processor=self._processor(
                    fetcher,
                    app,
                    attention,
                    Display(page, Title(seat.slot, _keep_title), beside.tally),
                    lambda payload, record: settler.settle(lambda: keep(payload, record)),
                ),
            )

        def has_places(count: int) -> None:
            beside.slot.show_pages(beside.threads + count, main_too=not beside.threads)

        most = capsule_of(self._config, seat).async_concurrency
        return Loop(
            place, most=most, has_places=has_places, has_ended=has_ended, close=settler.close
        )

    def _loop(self, post: _Post, app: App, *, chores: Sequence[Chore], hooks: Hooks) -> Worker:
        rng = random.Random()  # noqa: S311 - jitter and weights
        fetcher = self._fetcher(post, rng)
        keep = functools.partial(results.keep, post.store)
        processor = self._processor(fetcher, app, post.attention, post.display, keep)
        if post.to_loop is not None:
            processor.handing_over = post.to_loop(processor, fetcher)
        return Worker(
            processor=processor,
            fetcher=fetcher,
            attention=post.attention,
            display=post.display,
            chores=chores,
            hooks=hooks,
            backoff=Backoff(rng),
        )

    def _processor(
        self,
        fetcher: Fetcher,
        app: App,
        attention: Heeding,
        display: Display,
        keep: Callable[[dict[str, Any], dict[str, Any]], bool],
    ) -> Processor:
        call = app.server_middleware.fold(perform)
        return Processor(
            fetcher,
            app=Application(registry, call, app.hooks, keep),
            rules=_rules(self._config),
            attention=attention,
            display=display,
            clock=ServerClock(self._clock, self._scoreboard),
            rng=random.Random(),  # noqa: S311 - jitter
        )

    def _fetcher(self, post: _Post, rng: random.Random) -> Fetcher:
        config, seat, store = self._config, post.seat, post.store
        capsule = capsule_of(config, seat)
        waits = QueueWait(post.display.tally, ServerClock(self._clock, self._scoreboard))
        if config.fetch == "basic":
            return BasicFetch(
                store,
                Connection(config.redis, timeout_s=_BLOCKED_S),
                capsule=capsule,
                rest=post.rest,
                rng=rng,
                clock=self._clock,
                claimed=waits.sample,
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
            told=Told(
                slot.acknowledged,
                post.rest.will_wait,
                job_is_long=title.show_job,
                claimed=waits.sample,
            ),
        )

    def _waiter(self, rest: Rest) -> Waiter:
        return Waiter(
            connect=self._connect, wakers=rest.wakers, clock=self._clock, company=rest.company
        )

    def _chores(
        self, seat: Seat, attention: Attention, app: App, store: Store | None = None
    ) -> tuple[Chore, ...]:
        """What a worker sees to; over a store of its loop, if that is one."""
        fleet = Fleet((store or self._store(seat)).redis, Keys())
        # Beside threads, which ask who is cancelled, each has its own; the second seldom connects.
        return (
            Pulse(app.hooks, self._clock),
            CancelWatch(Cancelled(store or self._store(seat)), self._scoreboard, attention),
            PollerWatch(fleet, seat.identity, self._scoreboard, self._clock),
        )

    def _place_watch(self, loop: "Loop", store: Store) -> tuple[Chore, ...]:
        from jobd.worker.place_watch import PlaceWatch  # noqa: PLC0415 - it imports the loop

        return () if self._config.fetch == "basic" else (PlaceWatch(loop, store, self._clock),)

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


def _way_to(
    loop: "Loop", attention: Heeding, company: Company
) -> Callable[[Processor, Fetcher], HandsOver]:
    from jobd.worker.handing_over import HandingOver  # noqa: PLC0415 - it imports the loop

    def way(processor: Processor, fetcher: Fetcher) -> HandsOver:
        return HandingOver(
            loop,
            registry,
            attention=attention,
            company=company,
            fetcher=fetcher,
            settle=processor.settle,
        )

    return way


def _rules(config: Config) -> Rules:
    return Rules(config.max_retries, config.dead_max_jobs, config.dead_timeout_s, config.wire)


def _keep_title(_title: str) -> None:
    """The process is not ours, or shows more than one job."""


def _nothing() -> None:
    pass
