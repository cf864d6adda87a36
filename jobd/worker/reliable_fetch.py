"""Fetching that loses nothing: every job lies in a private list until it is settled.

A claim acknowledges the last job and takes the next in one script, and sent again after an error
it returns what is held already. When all queues are empty the worker blocks, one BLMOVE a queue,
on connections of their own, so an idle fleet costs the server a few commands in five seconds and
a job is picked up within a millisecond.

Invariants: at most one claim of a processor is outstanding; it claims only when nothing of its
last claim is left; what it holds beyond the running job goes back before it does anything else.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from jobd import log
from jobd.clock import Clock
from jobd.connection import Connection
from jobd.errors import RedisError, RedisFull, RedisUnavailable
from jobd.store import Held, Holder, Store
from jobd.wait import HasFileno, wait_readable
from jobd.worker.fetch import Grave, UnitOfWork, bury

_BLOCK_S: Final = 5.0
"""Always less than a heartbeat's life, so that no waiter outlives its owner on the server."""
_LOOK_S: Final = 1.0
_MOST_WAITERS: Final = 4
_CLAIM_EVERY_S: Final = 60.0
"""What a request that the network held back for minutes left in our list is found then."""
_STALE_S: Final = 30.0
"""Half of a heartbeat's life."""
_UNBLOCK_EVERY_S: Final = 0.05
_UNBLOCK_TRIES: Final = 40


class ReliableFetch:
    """At least once, whatever is killed.

    Args:
        store: over a connection that this thread alone uses.
        holder: the processor's queues and private lists.
        order: draws the order, of indexes, in which to look through the holder's queues.
        connect: makes a further connection to wait on, with a timeout above five seconds.
        wakers: readable when the worker has to look up from its wait.
        clock: for the deadlines of waits.
        on_acknowledged: called when the server knows of every finished job.
    """

    def __init__(
        self,
        store: Store,
        holder: Holder,
        *,
        order: Callable[[], Sequence[int]],
        connect: Callable[[], Connection],
        wakers: Sequence[HasFileno],
        clock: Clock,
        on_acknowledged: Callable[[], None],
    ) -> None:
        self._store = store
        self._holder = holder
        self._order = order
        self._connect = connect
        self._wakers = wakers
        self._clock = clock
        self._on_acknowledged = on_acknowledged
        self._done: list[Held] = []
        self._spare: deque[Held] = deque()  # held, not begun; only healing brings more than one
        self._waiters: list[Connection] = []
        self._is_uncertain = False  # the last claim or settlement got no reply
        self._must_claim = True  # a wait alone would miss something
        self._doubtful_until = float("-inf")  # what a lost request still does, we would not hear of
        self._is_refused = False  # the server is full and will not block
        self._refusal: str = ""  # of a queue; what the log knows already
        self._claim_by = 0.0

    def retrieve(self) -> UnitOfWork | None:
        """Claim; if there is nothing, wait up to five seconds for the first job of any queue."""
        if self._spare:
            return self._unit(self._spare.popleft())
        paused: frozenset[int] = frozenset()
        if self._must_claim or self._done or self._clock.monotonic() > self._claim_by:
            paused = self._claim(limit=1)
            if self._spare:
                return self._unit(self._spare.popleft())
        # What a wait cannot see: an unpaused queue, a fifth queue, and what becomes of a claim or
        # a BLMOVE whose connection broke: the server may carry it out later than our next claim.
        is_short = len(self._holder.queues) <= _MOST_WAITERS
        all_seen = is_short and not paused and not self._is_doubtful
        queues = [i for i in self._order() if i not in paused]
        held = self._wait(queues[:_MOST_WAITERS], _BLOCK_S if all_seen else _LOOK_S)
        self._must_claim = self._must_claim or held is not None or not all_seen
        return None if held is None else self._unit(held)

    def _claim(self, limit: int) -> frozenset[int]:
        began = self._clock.monotonic()
        self._claim_by = began + _CLAIM_EVERY_S
        try:
            claimed = self._store.claim(
                self._holder, done=self._done, order=self._order() if limit else (), limit=limit
            )
        except RedisError:
            # Refused in the middle, it has acknowledged too: a script is not rolled back.
            self._is_uncertain = True
            self._doubt()
            raise
        if claimed.lost and not self._is_uncertain:
            # After a lost reply it only means that the first claim acknowledged them already.
            log.event(
                "ownership lost: finished jobs were taken over, and may run again, or the store "
                "was emptied",
                level="warning",
                jobs=claimed.lost,
            )
        if claimed.refused and claimed.refused != self._refusal:
            log.event("a queue refused", level="error", reason=claimed.refused)
        self._refusal = claimed.refused
        self._is_uncertain = False
        self._done.clear()
        self._on_acknowledged()
        self._spare = deque(claimed.jobs)  # all that is held, so what was known is in it
        self._must_claim = bool(claimed.jobs)
        if claimed.jobs and self._clock.monotonic() - began > _STALE_S:
            # We were suspended: what we hold may have been recovered meanwhile. Ask again.
            return self._claim(limit)
        return claimed.paused

    def _doubt(self) -> None:
        self._must_claim = True
        self._doubtful_until = self._clock.monotonic() + 2 * _BLOCK_S

    @property
    def _is_doubtful(self) -> bool:
        return self._clock.monotonic() < self._doubtful_until

    def _unit(self, held: Held) -> UnitOfWork:
        return UnitOfWork(self._holder.queues[held.queue], held.raw, held.queue)

    # Waiting

    def _wait(self, queues: Sequence[int], timeout_s: float) -> Held | None:
        if not queues:
            wait_readable(self._wakers, timeout_s)
            return None
        self._is_refused = False
        try:
            waiting = self._begin_wait(queues, timeout_s)
            ready = wait_readable([*waiting, *self._wakers], timeout_s + 1)
            got = self._read(waiting, ready)
            if waiting and (got or not ready or set(ready) & set(self._wakers)):
                got += self._cancel(waiting)
            elif waiting:
                got += self._let_end(waiting)
        except BaseException:
            self._doubt()  # a job may have come, or come yet; the next claims return it
            self._close_waiters()
            raise
        if self._is_refused and not got:
            # A full server refuses BLMOVE but runs claims: look once a second instead.
            self._must_claim = True
            wait_readable(self._wakers, _LOOK_S)
        return self._keep_first(got)

    def _begin_wait(self, queues: Sequence[int], timeout_s: float) -> dict[Connection, int]:
        while len(self._waiters) < len(queues):
            self._waiters.append(self._connect())
        waiting = dict(zip(self._waiters, queues, strict=False))
        for waiter, queue in waiting.items():
            waiter.open()
            waiter.send(self._store.blocking_claim(self._holder, queue, timeout_s))
        return waiting

    def _read(self, waiting: dict[Connection, int], ready: Sequence[HasFileno]) -> list[Held]:
        got: list[Held] = []
        for waiter in [waiter for waiter in waiting if waiter in ready]:
            queue = waiting.pop(waiter)
            try:
                raw = waiter.read()
            except RedisFull:
                self._is_refused = True
                continue
            if raw is not None:
                got.append(Held(queue, raw))
        return got

    def _let_end(self, waiting: dict[Connection, int]) -> list[Held]:
        # The first wait ran out; the others began within the same millisecond.
        got: list[Held] = []
        deadline = self._clock.monotonic() + 2 * _UNBLOCK_EVERY_S
        while waiting and not got and self._clock.monotonic() < deadline:
            ready = wait_readable([*waiting, *self._wakers], _UNBLOCK_EVERY_S)
            if set(ready) & set(self._wakers):
                break
            got += self._read(waiting, ready)
        return got + self._cancel(waiting)

    def _cancel(self, waiting: dict[Connection, int]) -> list[Held]:
        # Again until each has answered: an UNBLOCK that arrives before its BLMOVE does nothing.
        got: list[Held] = []
        for _ in range(_UNBLOCK_TRIES):
            if not waiting:
                return got
            self._store.unblock([waiter.client_id for waiter in waiting])
            ready = wait_readable(waiting, _UNBLOCK_EVERY_S)
            got += self._read(waiting, ready)
        self._doubt()
        self._close_waiters()
        return got

    def _keep_first(self, got: list[Held]) -> Held | None:
        """Keep the job that came first, if it may run; give the others back at once."""
        if not got:
            return None
        self._must_claim = True  # until the server confirmed: an error here leaves jobs held
        first, *others = got
        for held in others:
            self._give_back(held)
        if not self._store.confirm(self._holder, first):
            self._give_back(first)  # finds nothing, if somebody has recovered it
            return None
        return first

    def _close_waiters(self) -> None:
        for waiter in self._waiters:
            waiter.close()

    # Settling

    def acknowledge(self, unit: UnitOfWork) -> None:
        """Rides on the next claim."""
        self._done.append(Held(unit.position, unit.raw))

    def retry(self, unit: UnitOfWork, again: bytes, at_s: float) -> bool:
        """One script: out of the private list, into ``retry``."""
        private = self._holder.privates[unit.position]
        return self._certain(lambda: self._store.retry(private, unit.raw, again, at_s))

    def bury(self, unit: UnitOfWork, grave: Grave) -> bool:
        """One script: out of the private list, into ``dead``."""
        private = self._holder.privates[unit.position]
        return self._certain(lambda: bury(self._store, private, unit, grave))

    def give_back(self, unit: UnitOfWork) -> bool:
        """One script: out of the private list, to the end of the queue that runs next."""
        return self._certain(lambda: self._give_back(Held(unit.position, unit.raw)))

    def _certain(self, settle: Callable[[], bool]) -> bool:
        """Settle; a settlement that is sent again and finds nothing has simply worked before."""
        try:
            was_held = settle()
        except RedisUnavailable:
            self._is_uncertain = True
            self._doubt()
            raise
        was_uncertain, self._is_uncertain = self._is_uncertain, False
        return was_held or was_uncertain

    def _give_back(self, held: Held) -> bool:
        private, queue = self._holder.privates[held.queue], self._holder.queues[held.queue]
        return bool(self._store.give_back(private, queue, [(held.raw, held.raw)]))

    def flush(self) -> None:
        """Acknowledge what is done, then give back everything that is still held."""
        if self._done or self._must_claim or self._spare or self._is_doubtful:
            self._claim(limit=0)
        while self._spare:
            self._give_back(self._spare[-1])  # newest first, so that the oldest runs next
            self._spare.pop()

    def close(self) -> None:
        """Drop the waiting connections; a wait still open on the server ends with its socket."""
        self._close_waiters()
