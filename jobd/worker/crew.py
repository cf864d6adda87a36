"""A worker with threads: each runs jobs as the one of a worker without them does.

The main thread runs none. It heeds signals, sees to the chores, shows what goes on, and is the last
to leave.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from jobd import log
from jobd.errors import RedisError
from jobd.hooks import Hooks
from jobd.scoreboard import SlotWriter, State
from jobd.wait import wait_readable
from jobd.worker.attention import Attention
from jobd.worker.company import Company
from jobd.worker.departures import Departures
from jobd.worker.given import Display, Tally
from jobd.worker.thread_attention import ThreadAttention
from jobd.worker.worker import Chore, Worker

_LOOK_EVERY_S: Final = 1.0


class SharedTally:
    """A tally that threads share: adding to a counter is several steps."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._lock = threading.Lock()

    def count(self, name: str, elapsed_ms: int) -> None:
        """A job of this class is done."""
        with self._lock:
            self._tally.count(name, elapsed_ms)

    def count_failure(self, name: str) -> None:
        """A job of this class failed."""
        with self._lock:
            self._tally.count_failure(name)


class Member(msgspec.Struct, frozen=True):
    """One thread.

    Attributes:
        number: as in its page of the scoreboard, from 1.
        worker: its loop.
    """

    number: int
    worker: Worker
    attention: ThreadAttention
    slot: SlotWriter


class AsyncJobs(Protocol):
    """The loop of this worker; see ``jobd.worker.loop``."""

    most: int
    failure: BaseException | None

    @property
    def busy(self) -> int: ...  # noqa: D102
    def interrupt(self) -> None: ...  # noqa: D102
    def interrupt_for_its_reason(self) -> None: ...  # noqa: D102
    def await_end(self, attention: Attention, departures: Departures) -> None: ...  # noqa: D102


class Crew:
    """The main thread of a worker with threads.

    Args:
        members: whom it starts.
        company: of the members.
        attention: what has been asked of this process.
        display: the page of the main thread, and the title of the process.
        chores: in their order, those that need Redis last.
        hooks: the app's.
        close: drops what the members share.

    Attributes:
        loop: of the jobs that are coroutines; None if there are none.
        departures: readable when a thread has ended since the last look.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        company: Company,
        attention: Attention,
        display: Display,
        chores: Sequence[Chore],
        hooks: Hooks,
        close: Callable[[], object],
    ) -> None:
        self._members = members
        self._company = company
        self._attention = attention
        self._slot, self._title = display.slot, display.title
        self._chores = chores
        self._hooks = hooks
        self._close = close
        self._threads: list[threading.Thread] = []
        self.departures = Departures()
        self._failure: BaseException | None = None
        self.loop: AsyncJobs | None = None

    def run(self) -> None:
        """Work until asked to stop, or until a thread fails, which only a defect of ours does.

        Raises:
            RuntimeError: one did.
        """
        loops = [self.loop] if self.loop else []
        self._attention.threads = [*(member.attention for member in self._members), *loops]
        self._slot.set_state(State.IDLE)
        self._see_to_chores()  # who is cancelled is known before the first job
        self._start()
        is_resting = False
        while not self._attention.is_stopping and self._defect is None:
            if self._attention.is_quiet != is_resting:
                is_resting = self._attention.is_quiet
                self._turn(is_resting=is_resting)
            self._show("quiet" if is_resting else "idle")
            self._wait()
            self._see_to_chores()
            self._slot.beat()
        self._leave()

    def _start(self) -> None:
        for member in self._members:
            name = f"jobd-{member.number}"
            # Signals are not blocked in it, or they would be in every program that a job starts.
            thread = threading.Thread(target=self._work, args=(member,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self, member: Member) -> None:
        try:
            member.attention.enter()
            member.worker.run()
        except BaseException as error:  # noqa: BLE001 - the main thread tells it, and leaves
            self._failure = error
        finally:
            self.departures.add()

    @property
    def _defect(self) -> BaseException | None:
        return self._failure or (self.loop.failure if self.loop else None)

    def _turn(self, *, is_resting: bool) -> None:
        self._slot.set_state(State.QUIET if is_resting else State.IDLE)
        self._company.look_up()
        if is_resting:
            self._hooks.fire("quiet")

    def _show(self, state: str) -> None:
        busy, most = sum(member.slot.is_busy for member in self._members), len(self._members)
        if self.loop is not None:
            busy, most = busy + self.loop.busy, most + self.loop.most
        self._title.show(f"{busy} of {most} busy" if busy else state)

    def _see_to_chores(self) -> None:
        try:
            for chore in self._chores:
                chore.step()
        except RedisError as error:  # an outage is the poller's to tell; the next look tries again
            log.event("chores are tried again", level="debug", reason=str(error))

    def _wait(self) -> None:
        """Until something arrives, a thread ends, or a second is over."""
        inbox, master = self._attention.wakers
        self._attention.will_wait()
        # Of a dead master there is no more to hear.
        wakers = (inbox,) if self._attention.is_stopping else (inbox, master)
        wait_readable((*wakers, self.departures), _LOOK_EVERY_S)
        self.departures.take()
        self._attention.look()

    def _leave(self) -> None:
        self._slot.set_state(State.STOPPING)
        self._attention.is_stopping = True
        while any(thread.is_alive() for thread in self._threads):
            # Each time: a settlement may wait for Redis, and time may be up since.
            self._company.look_up()
            self._show("stopping")
            self._wait()
        if self.loop is not None:
            self.loop.await_end(self._attention, self.departures)  # nobody hands over any more
        self._close()
        self._hooks.fire("shutdown")
        self._hooks.fire("exit")
        if self._defect is not None:
            raise RuntimeError("a thread that runs jobs failed") from self._defect
