"""Settling the jobs of the loop: in a thread, so that no round trip holds up the others.

The fetcher of a place fetches nothing: its job was claimed by a thread, and handed over. From then
on it lies in a private list of the place, which it leaves by its settlement only.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from jobd.errors import RedisUnavailable
from jobd.store import Holder, PastError, Store
from jobd.worker.bridge import wait
from jobd.worker.fetch import Grave, UnitOfWork, bury

T = TypeVar("T")


class Settler:
    """The one thread that tells the server what became of the jobs of a loop.

    Args:
        store: over a connection that this thread alone uses.

    Attributes:
        store: as given.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._thread = ThreadPoolExecutor(1, "jobd-settler")
        self._done: list[tuple[str, bytes]] = []  # grows in the loop, shrinks in the thread
        self._is_uncertain = False  # the last acknowledgement got no reply

    def settle(self, call: Callable[[], T]) -> T:
        """Call it in the thread, and wait for what it returns; the loop goes on."""
        return wait(asyncio.get_running_loop().run_in_executor(self._thread, call))

    def add(self, private: str, raw: bytes) -> None:
        """A job is done; `acknowledge` tells it."""
        self._done.append((private, raw))

    def acknowledge(self) -> bool:
        """Tell the server of all that are done by now, in one round trip.

        Returns:
            False if some were not held any more.

        Raises:
            RedisError: call it again.
        """
        return self.settle(self._acknowledge)

    def _acknowledge(self) -> bool:
        done = self._done[:]
        if not done:
            return True  # whoever called before has taken ours along
        try:
            held = self.store.acknowledge_held(done)
        except RedisUnavailable:
            self._is_uncertain = True
            raise
        del self._done[: len(done)]
        was_uncertain, self._is_uncertain = self._is_uncertain, False
        return was_uncertain or held == len(done)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False)


class PlaceFetcher:
    """Settles the job of one place; a ``Fetcher``.

    Args:
        settler: shared with the other places.
        holder: the place's queues and private lists.
        holds: whether its job lies there; with ``fetch: basic`` it lies nowhere.

    Attributes:
        holds: as given.
    """

    def __init__(self, settler: Settler, holder: Holder, *, holds: bool) -> None:
        self._settler = settler
        self._store = settler.store
        self._holder = holder
        self.holds = holds
        self._is_uncertain = False  # the last settlement got no reply

    def private(self, unit: UnitOfWork) -> str:
        """The list for such a job."""
        return self._holder.privates[unit.position]

    @property
    def lists(self) -> Iterable[tuple[str, str]]:
        """All of them, each with the name of its queue."""
        return zip(self._holder.privates, self._holder.queues, strict=True)

    def _holding(self, unit: UnitOfWork) -> str | None:
        return self.private(unit) if self.holds else None

    def retrieve(self) -> UnitOfWork | None:
        """There is never one: jobs are handed over."""
        return None

    def take(self) -> UnitOfWork | None:
        """There is never one."""
        return None

    def hand_over(self, unit: UnitOfWork, private: str) -> bool:  # noqa: ARG002
        """A place keeps its job."""
        return False

    def acknowledge(self, unit: UnitOfWork) -> None:
        """Rides on the next round trip of the settler."""
        if self.holds:
            self._settler.add(self.private(unit), unit.raw)

    def retry(
        self, unit: UnitOfWork, again: bytes, at_s: float, past: PastError | None = None
    ) -> bool:
        """One script: out of the private list, into ``retry``."""
        private = self._holding(unit)
        return self._certain(lambda: self._store.retry(private, unit.raw, again, at_s, past))

    def put_off(self, unit: UnitOfWork, at_s: float) -> bool:
        """One script: out of the private list, into ``schedule``."""
        private = self._holding(unit)
        return self._certain(lambda: self._store.put_off(private, unit.raw, at_s))

    def bury(self, unit: UnitOfWork, grave: Grave) -> bool:
        """One script: out of the private list, into ``dead``."""
        private = self._holding(unit)
        return self._certain(lambda: bury(self._store, private, unit, grave))

    def give_back(self, unit: UnitOfWork) -> bool:
        """One script: out of the private list, to the end of the queue that runs next."""
        return self._certain(lambda: self._give_back(unit))

    def _give_back(self, unit: UnitOfWork) -> bool:
        private = self._holding(unit)
        if private is None:
            self._store.requeue(unit.queue, unit.raw)
            return True
        return bool(self._store.give_back(private, unit.queue, [(unit.raw, unit.raw)]))

    def _certain(self, settle: Callable[[], bool]) -> bool:
        """Settle; a settlement that is sent again and finds nothing has simply worked before."""
        try:
            was_held = self._settler.settle(settle)
        except RedisUnavailable:
            self._is_uncertain = True
            raise
        was_uncertain, self._is_uncertain = self._is_uncertain, False
        return was_held or was_uncertain or not self.holds

    @property
    def has_done(self) -> bool:
        """Not when its job is seen through."""
        return False

    def flush(self) -> None:
        """There is nothing to tell."""

    def close(self) -> None:
        """The settler's connection serves the others."""
