"""The event loop of a worker: it runs many jobs at once that are written as ``async def perform``.

Threads claim; one that gets such a job hands it over to a free place of the loop and claims the
next. Each place has a page of the scoreboard and private lists as a thread has, numbered after
those, so that whoever reads them need not know that it is none.
"""

import asyncio
import contextlib
import contextvars
import heapq
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from jobd.scoreboard import SlotWriter
from jobd.wait import wait_readable
from jobd.worker.attention import Attention
from jobd.worker.bridge import hosted
from jobd.worker.departures import Departures
from jobd.worker.fetch import UnitOfWork
from jobd.worker.place_attention import PlaceAttention
from jobd.worker.processor import Processor
from jobd.worker.settling import PlaceFetcher, Settler

_LOOK_EVERY_S: Final = 0.25
_LAST_WORDS_S: Final = 1.0


class Place:
    """Where one job of the loop runs at a time.

    Args:
        number: from 1.
        slot: its page.
        attention: what its job must heed.
        fetcher: settles that.
        settler: whose thread that is.
        processor: over these.
    """

    def __init__(
        self,
        number: int,
        *,
        slot: SlotWriter,
        attention: PlaceAttention,
        fetcher: PlaceFetcher,
        settler: Settler,
        processor: Processor,
    ) -> None:
        self.number = number
        self.attention = attention
        self.fetcher = fetcher
        self._slot = slot
        self._settler = settler
        self._processor = processor

    def see_through(self, unit: UnitOfWork) -> None:
        """Run a job and settle it; hosted."""
        self._processor.see_through(unit)
        # Before the place is free: its lists hold one job at a time.
        if self._processor.settle(self._settler.acknowledge):
            self._slot.acknowledged()


class Loop:
    """Runs what is handed over; its thread starts with the first job.

    Args:
        make: a place with that number, from 1.
        most: places.
        has_places: called with the number of places when there is one more.
        has_ended: called when its thread ends.
        close: called in it before.

    Attributes:
        failure: a defect of ours, after which the worker must leave.
        most: as given.
    """

    def __init__(
        self,
        make: Callable[[int], Place],
        *,
        most: int,
        has_places: Callable[[int], object],
        has_ended: Callable[[], object],
        close: Callable[[], object],
    ) -> None:
        self._make = make
        self.most = most
        self._has_places, self._has_ended, self._close = has_places, has_ended, close
        self._freed = threading.Condition()  # of the next two, and of starting
        self._places: list[Place] = []
        self._free: list[int] = []  # a heap: low numbers are used, so that few pages are
        self._thread: threading.Thread | None = None
        self._loop = asyncio.new_event_loop()
        self._must_end = asyncio.Event()
        self._running: dict[asyncio.Task[None], Place] = {}  # of the loop's thread
        self.failure: BaseException | None = None

    # In the threads that claim

    def reserve(self, may_wait: Callable[[], bool]) -> Place | None:
        """A free place; None if there is none and one may not, or no longer, wait for it."""
        with self._freed:
            while not self._free and len(self._places) == self.most:
                if not may_wait():
                    return None
                self._freed.wait(_LOOK_EVERY_S)
            if self._free:
                return self._places[heapq.heappop(self._free) - 1]
            place = self._make(len(self._places) + 1)
            self._places.append(place)
            # Before a job lies in its lists: who finds us dead looks there too.
            self._has_places(place.number)
            return place

    def release(self, place: Place) -> None:
        """Nothing is in that place any more."""
        with self._freed:
            heapq.heappush(self._free, place.number)
            self._freed.notify()

    def take_free(self) -> list[Place]:
        """Reserve all places where nothing is; `release` each."""
        with self._freed:
            free = [self._places[number - 1] for number in self._free]
            self._free.clear()
            return free

    def begin(self, place: Place, unit: UnitOfWork, has_ended: Callable[[], object]) -> None:
        """Run a job that lies in the lists of a place; that is free again when it has ended."""
        with self._freed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="jobd-loop", daemon=True)
                self._thread.start()
        # With a context of its own: what jobs of this thread have left is not for it.
        self._loop.call_soon_threadsafe(
            self._begin, place, unit, has_ended, context=contextvars.Context()
        )

    # In the main thread

    @property
    def busy(self) -> int:
        """How many jobs run."""
        return len(self._running)

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def interrupt(self) -> None:
        """All jobs are to be given back. Inside a signal's handler."""
        self._ask(PlaceAttention.interrupt)

    def interrupt_for_its_reason(self) -> None:
        """Some job may be cancelled, or its time up. Inside a signal's handler."""
        self._ask(PlaceAttention.interrupt_for_its_reason)

    def _ask(self, what: Callable[[PlaceAttention], None]) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed: no job is left
            self._loop.call_soon_threadsafe(self._tell_all, what)

    def await_end(self, attention: Attention, departures: Departures) -> None:
        """Have it end, and heed signals until then, and the master's death.

        Raises:
            RuntimeError: a defect of ours was met.
        """
        with contextlib.suppress(RuntimeError):  # as in _ask
            self._loop.call_soon_threadsafe(self._must_end.set)
        if self._thread is None:
            self._loop.close()
        while self.is_alive:
            attention.will_wait()
            # Not for the master: of a dead one there is no more to hear.
            wait_readable((attention.wakers[0], departures), _LOOK_EVERY_S)
            departures.take()
            attention.look()
        if self.failure is not None:
            raise RuntimeError("a job of the loop could not be seen through") from self.failure

    # In its thread

    def _run(self) -> None:
        try:
            main = self._loop.create_task(self._main())
            while not main.done():
                # Whose task exits has failed with that, and it is handed on to us: nobody else's
                # job shall end for it.
                with contextlib.suppress(SystemExit, KeyboardInterrupt):
                    self._loop.run_until_complete(main)
        except BaseException as error:  # noqa: BLE001 - the main thread tells it, and leaves
            self.failure = error
        finally:
            self._close()
            self._loop.close()
            self._has_ended()

    async def _main(self) -> None:
        await self._must_end.wait()
        while self._running:
            await asyncio.wait(self._running)
        # What jobs have left behind may clean up, but holds nothing up.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_LAST_WORDS_S)

    def _begin(self, place: Place, unit: UnitOfWork, has_ended: Callable[[], object]) -> None:
        task = self._loop.create_task(self._see_through(place, unit, has_ended))
        self._running[task] = place
        task.add_done_callback(self._running.pop)

    async def _see_through(
        self, place: Place, unit: UnitOfWork, has_ended: Callable[[], object]
    ) -> None:
        try:
            await hosted(partial(place.see_through, unit))
        except BaseException as error:  # noqa: BLE001 - as in _run
            self.failure = error
            self._has_ended()
        else:
            self.release(place)
        has_ended()

    def _tell_all(self, what: Callable[[PlaceAttention], None]) -> None:
        for place in list(self._running.values()):
            what(place.attention)
