"""Waiting for the first job of several empty queues, without asking again and again.

One BLMOVE a queue, each on a connection of its own, opened at the first idle moment. The first
reply wins; the others are ended by CLIENT UNBLOCK. Behind each BLMOVE, in the same packet, goes the
question whether the queue is paused: the server answers it as soon as the move is done, so a job
that arrives needs no further round trip before it runs. Nor does it wait for the answer when the
name of its private list is noted, in case that was forgotten (FLUSHALL) since the last claim.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from jobd.clock import Clock
from jobd.connection import Connection
from jobd.errors import RedisFull
from jobd.store import Holder, Store
from jobd.wait import HasFileno, wait_readable
from jobd.worker.company import Company

_UNBLOCK_EVERY_S: Final = 0.05
_UNBLOCK_TRIES: Final = 40


class Arrival(NamedTuple):
    """A job that lies in the private list of its queue now.

    Attributes:
        queue: index among the holder's.
        is_paused: its queue is; the job must go back.
    """

    queue: int
    raw: bytes
    is_paused: bool


class Waiter:
    """Blocks until a job comes, the time is up or a waker is readable.

    Args:
        connect: makes a further connection, to wait on, with a timeout above every wait's.
        wakers: readable when the worker has to look up.
        clock: for deadlines.
        company: threads that share it, of which one waits at a time; None: there are no others.

    Attributes:
        connect: as given, as are ``wakers`` and ``company``.
        is_refused: the server was full in the last wait, and would not block.
        is_uncertain: a wait was not answered; the server may carry it out yet.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], Connection],
        wakers: Sequence[HasFileno],
        clock: Clock,
        company: Company | None = None,
    ) -> None:
        self.connect = connect
        self.wakers = wakers
        self.company = company
        self._clock = clock
        self._store: Store
        self._holder: Holder
        self._connections: list[Connection] = []
        self._unread: set[Connection] = set()  # each owes one answer that nobody waits for
        self.is_refused = False
        self.is_uncertain = False

    def wait(
        self, store: Store, holder: Holder, queues: Sequence[int], timeout_s: float
    ) -> list[Arrival]:
        """What has come; most often one job or none.

        Args:
            store: for ``CLIENT UNBLOCK``; over a connection that this thread alone uses.
            holder: whose private lists; of the same queues as at each other wait.
            queues: by their number there.
            timeout_s: seconds.

        Raises:
            RedisError: a job may have come all the same, or come yet.
        """
        self._store, self._holder = store, holder
        self.is_refused = self.is_uncertain = False
        try:
            waiting = self._begin(queues, timeout_s)
            ready = wait_readable([*waiting, *self.wakers], timeout_s + 1)
            got = self._read(waiting, ready)
            if waiting and (got or not ready or set(ready) & set(self.wakers)):
                got += self._cancel(waiting)
            elif waiting:
                got += self._let_end(waiting)
        except BaseException:
            self.is_uncertain = True
            self.close()
            raise
        return got

    def close(self) -> None:
        """Drop the connections; a wait still open on the server ends with its socket."""
        self._unread.clear()
        for connection in self._connections:
            connection.close()

    def _begin(self, queues: Sequence[int], timeout_s: float) -> dict[Connection, int]:
        while len(self._connections) < len(queues):
            self._connections.append(self.connect())
        waiting = dict(zip(self._connections, queues, strict=False))
        for connection, queue in waiting.items():
            if connection in self._unread:
                self._unread.discard(connection)
                with contextlib.suppress(RedisFull):
                    connection.read()
            connection.open()
            connection.send(*self._store.blocking_claim(self._holder, queue, timeout_s))
        return waiting

    def _read(self, waiting: dict[Connection, int], ready: Sequence[HasFileno]) -> list[Arrival]:
        got: list[Arrival] = []
        for connection in [connection for connection in waiting if connection in ready]:
            queue = waiting.pop(connection)
            raw: bytes | None = None
            try:
                raw = connection.read()
            except RedisFull:
                self.is_refused = True
            is_paused = bool(connection.read())
            if raw is not None:
                got.append(Arrival(queue, raw, is_paused))
                connection.send(self._store.noting(self._holder, queue))
                self._unread.add(connection)
        return got

    def _let_end(self, waiting: dict[Connection, int]) -> list[Arrival]:
        # The first wait ran out; the others began within the same millisecond.
        got: list[Arrival] = []
        deadline = self._clock.monotonic() + 2 * _UNBLOCK_EVERY_S
        while waiting and not got and self._clock.monotonic() < deadline:
            ready = wait_readable([*waiting, *self.wakers], _UNBLOCK_EVERY_S)
            if set(ready) & set(self.wakers):
                break
            got += self._read(waiting, ready)
        return got + self._cancel(waiting)

    def _cancel(self, waiting: dict[Connection, int]) -> list[Arrival]:
        # Again until each has answered: an UNBLOCK that arrives before its BLMOVE does nothing.
        got: list[Arrival] = []
        for _ in range(_UNBLOCK_TRIES):
            if not waiting:
                return got
            self._store.unblock([connection.client_id for connection in waiting])
            ready = wait_readable(waiting, _UNBLOCK_EVERY_S)
            got += self._read(waiting, ready)
        self.is_uncertain = True
        self.close()
        return got
