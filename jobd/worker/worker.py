"""One worker process from READY to its end: heed, work, rest, leave."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from jobd import log
from jobd.cancelling import Cancelled
from jobd.clock import Clock
from jobd.connection import Backoff
from jobd.errors import RedisError, RedisRejected, RedisUnavailable
from jobd.fleet import Fleet
from jobd.hooks import Hooks
from jobd.scoreboard import Scoreboard, State
from jobd.worker.attention import Attention
from jobd.worker.fetch import Fetcher
from jobd.worker.given import Display
from jobd.worker.heeding import Heeding
from jobd.worker.processor import Processor

_POLLER_SLOT: Final = 0
_POLLER_SILENT_S: Final = 20.0
_WATCH_EVERY_S: Final = 5.0
_PULSE_EVERY_S: Final = 10.0
_REST_S: Final = 1.0


class Chore(Protocol):
    """What a worker sees to between two jobs, a few times a second, and while it has none."""

    def step(self) -> None:
        """Do it if it is due.

        Raises:
            RedisError: it will be tried again.
        """
        ...


class Pulse:
    """The event ``beat`` of the application: at once, then every ten seconds.

    From the worker's loop and never from a thread, so a job that takes longer delays it.

    Args:
        hooks: the app's.
        clock: for the ten seconds.
    """

    def __init__(self, hooks: Hooks, clock: Clock) -> None:
        self._hooks = hooks
        self._clock = clock
        self._fired = float("-inf")

    def step(self) -> None:
        """Fire it if it is time."""
        now = self._clock.monotonic()
        if now - self._fired >= _PULSE_EVERY_S:
            self._fired = now
            self._hooks.fire("beat")


class PollerWatch:
    """Beats in the poller's place when the poller does not, so that this instance stays alive.

    Args:
        fleet: over the worker's connection.
        identity: of the instance.
        scoreboard: where the poller shows its beat.
        clock: the same for all processes of this machine.
    """

    def __init__(self, fleet: Fleet, identity: str, scoreboard: Scoreboard, clock: Clock) -> None:
        self._fleet = fleet
        self._identity = identity
        self._scoreboard = scoreboard
        self._clock = clock
        self._looked = clock.monotonic()

    def step(self) -> None:
        """Look every five seconds; costs nothing in between.

        Raises:
            RedisError: the heartbeat could not be renewed.
        """
        now = self._clock.monotonic()
        if now - self._looked < _WATCH_EVERY_S:
            return
        self._looked = now
        if now - self._scoreboard.read(_POLLER_SLOT).beat > _POLLER_SILENT_S:
            log.event("the poller is silent; beating in its place", level="warning")
            self._fleet.renew(self._identity)


class CancelWatch:
    """Has the processor know of every job that is cancelled, from before the first one on.

    Args:
        cancelled: over the store of the worker.
        scoreboard: where the poller shows that there are new ones.
        attention: the processor's.
    """

    def __init__(self, cancelled: Cancelled, scoreboard: Scoreboard, attention: Attention) -> None:
        self._cancelled = cancelled
        self._scoreboard = scoreboard
        self._attention = attention
        self._known: float | None = None
        self._lock = threading.Lock()  # one asks at a time, of those that run jobs side by side
        attention.learn_cancelled = self.look

    def look(self) -> None:
        """As `step`, with a job in hand that came while we waited."""
        if self._scoreboard.newest_cancel != self._known:
            with contextlib.suppress(RedisUnavailable):  # should it run, the master hears of it
                self.step()

    def step(self) -> None:
        """Fetch what is new; costs nothing if nothing is.

        Raises:
            RedisUnavailable: it could not be fetched.
        """
        if self._scoreboard.newest_cancel == self._known:
            return
        with self._lock:
            newest = self._scoreboard.newest_cancel
            if newest == self._known:
                return
            try:
                self._cancelled.refresh()
            except RedisRejected as error:
                # A key of the wrong type must not keep the jobs from running.
                log.event("cancelled jobs cannot be known", level="error", reason=str(error))
            self._attention.cancelled_jids = self._cancelled.jids
            self._known = newest


class Worker:
    """The loop around a processor.

    Args:
        processor: runs the jobs.
        fetcher: the processor's.
        attention: what has been asked of this process.
        display: where it shows what it does.
        chores: in their order, those that need Redis last.
        hooks: the app's.
        backoff: between tries while Redis is away.

    Attributes:
        await_others: called when it takes no more jobs; returns when nobody else runs one. None:
            it is the only one.
    """

    def __init__(
        self,
        *,
        processor: Processor,
        fetcher: Fetcher,
        attention: Heeding,
        display: Display,
        chores: Sequence[Chore],
        hooks: Hooks,
        backoff: Backoff,
    ) -> None:
        self._processor = processor
        self._fetcher = fetcher
        self._attention = attention
        self._slot, self._title = display.slot, display.title
        self._chores = chores
        self._hooks = hooks
        self._backoff = backoff
        self._trouble: str | None = None
        self.await_others: Callable[[], object] | None = None

    def run(self) -> None:
        """Work until asked to stop; then give back what is held, and return."""
        self._slot.set_state(State.IDLE)
        self._title.show("idle")
        is_resting = False
        while not self._attention.is_stopping:
            if self._attention.is_quiet != is_resting:
                is_resting = self._attention.is_quiet
                self._turn(is_resting=is_resting)
            try:
                self._step(is_resting=is_resting)
            except RedisError as error:
                self._wait_for_redis(error)
        self._leave()

    def _step(self, *, is_resting: bool) -> None:
        if self._attention.glance():
            for chore in self._chores:
                chore.step()
        if is_resting:
            self._fetcher.flush()
            self._slot.beat()
            self._attention.wait(_REST_S)
        else:
            is_idle = not self._processor.step()
            self._slot.beat()
            if is_idle:
                log.reopen_if_moved()
        if self._trouble is not None:
            self._trouble = None
            self._backoff.reset()
            log.event("Redis answers again", level="debug")

    def _turn(self, *, is_resting: bool) -> None:
        self._slot.set_state(State.QUIET if is_resting else State.IDLE)
        self._title.show("quiet" if is_resting else "idle")
        if is_resting:
            self._hooks.fire("quiet")

    def _wait_for_redis(self, error: RedisError) -> None:
        reason = str(error)
        if reason != self._trouble:
            # An outage is told once for the whole instance, by the poller.
            level = "debug" if isinstance(error, RedisUnavailable) else "error"
            log.event("no job could be fetched", level=level, reason=reason)
            self._trouble = reason
        self._slot.beat()
        self._attention.wait_for_redis(self._backoff.next_s())

    def _leave(self) -> None:
        self._slot.set_state(State.STOPPING)
        self._title.show("stopping")
        if self.await_others is not None:
            self._has_flushed()  # what we hold must not wait for them
            self.await_others()
        self._hooks.fire("shutdown")
        while not self._has_flushed():
            self._attention.wait_for_redis(self._backoff.next_s())
        self._fetcher.close()
        self._hooks.fire("exit")

    def _has_flushed(self) -> bool:
        """Flush; False if that has to be tried again."""
        try:
            self._fetcher.flush()
        except RedisError as error:
            is_outage = isinstance(error, RedisUnavailable)
            if is_outage and self._fetcher.has_done and not self._attention.is_out_of_time:
                return False  # else they would run again
            # What is held stays in the private list, and the poller returns it.
            level = "debug" if is_outage else "warning"
            log.event("could not give back", level=level, reason=str(error))
        return True
