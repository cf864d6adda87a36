"""What a thread does with a job that is to run in the loop: it finds a place and hands it over."""

import threading
from collections.abc import Callable

from jobd.jobs import Registry
from jobd.worker.company import Company
from jobd.worker.fetch import Fetcher, UnitOfWork
from jobd.worker.heeding import Heeding
from jobd.worker.loop import Loop, Place


class HandingOver:
    """One thread's way to the loop.

    Args:
        loop: runs the jobs.
        registry: tells which those are.
        attention: of the thread.
        company: counts the jobs that run, those of the loop too.
        fetcher: of the thread.
        settle: carries out a settlement, however long the server is away.
    """

    def __init__(
        self,
        loop: Loop,
        registry: Registry,
        *,
        attention: Heeding,
        company: Company,
        fetcher: Fetcher,
        settle: Callable[[Callable[[], bool]], object],
    ) -> None:
        self._loop = loop
        self._registry = registry
        self._attention = attention
        self._company = company
        self._fetcher = fetcher
        self._settle = settle

    def wants(self, name: str) -> bool:
        """Whether jobs of this class run in the loop."""
        kind = self._registry.find(name)
        return kind is not None and kind.__is_async__

    def hand_over(self, unit: UnitOfWork, *, is_suspect: bool) -> bool:
        """Have a job run there, or give it back.

        Args:
            unit: with which this thread has joined the company.
            is_suspect: it has to run alone; then it has ended when this returns.

        Returns:
            Whether it leaves the company when it has ended; else this thread has to.
        """
        if not is_suspect:
            return self._start(unit, self._company.leave)
        if not self._company.send_away():
            self._give_back(unit)
            return False
        has_ended = threading.Event()
        try:
            if self._start(unit, has_ended.set):
                has_ended.wait()
        finally:
            self._company.let_in()
        return False

    def _start(self, unit: UnitOfWork, has_ended: Callable[[], object]) -> bool:
        place = self._loop.reserve(self._may_wait)
        if place is None:
            self._give_back(unit)
            return False
        self._attention.learn_cancelled()  # it may have waited for long
        if not self._move(unit, place):
            self._loop.release(place)
            return False
        self._loop.begin(place, unit, has_ended)
        return True

    def _may_wait(self) -> bool:
        return not (self._attention.is_stopping or self._attention.is_quiet)

    def _move(self, unit: UnitOfWork, place: Place) -> bool:
        """Put it into the place's lists; False if it was lost, or time is up."""
        is_there = False

        def move() -> bool:
            nonlocal is_there
            is_there = self._fetcher.hand_over(unit, place.fetcher.private(unit))
            return is_there

        self._settle(move)
        return is_there

    def _give_back(self, unit: UnitOfWork) -> None:
        self._settle(lambda: self._fetcher.give_back(unit))
