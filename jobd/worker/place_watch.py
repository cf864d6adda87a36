"""Looks for jobs that lie in the lists of a place of the loop where none runs.

A server that has lost its last writes, as a replica that takes over may have, holds jobs again that
were settled by these. A processor finds its own when it claims; a place claims nothing.
"""

from typing import Final

from jobd import log
from jobd.clock import Clock
from jobd.store import Store
from jobd.worker.loop import Loop

_LOOK_EVERY_S: Final = 5.0
_PAGE: Final = 100


class PlaceWatch:
    """Gives them back, to run again.

    Args:
        loop: whose places.
        store: over a connection of the thread that calls `step`.
        clock: for the five seconds.
    """

    def __init__(self, loop: Loop, store: Store, clock: Clock) -> None:
        self._loop = loop
        self._store = store
        self._clock = clock
        self._looked = clock.monotonic()

    def step(self) -> None:
        """Look if it is time: one command if there is nothing.

        Raises:
            RedisError: the next look sees to it.
        """
        now = self._clock.monotonic()
        if now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        free = self._loop.take_free()  # so that nothing is handed over to them meanwhile
        try:
            lists = [each for place in free for each in place.fetcher.lists]
            if lists and self._store.has_any(*(private for private, _ in lists)):
                for private, queue in lists:
                    self._give_back(private, queue)
        finally:
            for place in free:
                self._loop.release(place)

    def _give_back(self, private: str, queue: str) -> None:
        raws = self._store.held(private, _PAGE)
        if raws:
            self._store.give_back(private, queue, [(raw, raw) for raw in raws])
            log.event(
                "the server has forgotten that jobs were settled: they run again",
                level="warning",
                queue=queue,
                jobs=len(raws),
            )
