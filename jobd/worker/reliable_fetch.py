"""Fetching that loses nothing: every job lies in a private list until it is settled.

A claim acknowledges the last jobs and takes the next in one script, and sent again after an error
it returns what is held already. It takes several when they are short; those not begun go back when
one of them turns out long. When all queues are empty the worker blocks (``waiting``), so an idle
fleet costs the server a few commands in ten seconds and a job is picked up within a millisecond.

Invariants: at most one claim or return of a processor is outstanding; it claims only when nothing
of its last claim is left; a job leaves the buffer once, to the worker or back to its queue; a job
whose return got no reply is returned again before anything is claimed, and is not run.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from jobd import faults, log
from jobd.clock import Clock
from jobd.errors import RedisError, RedisUnavailable
from jobd.store import Claimed, Held, Holder, PastError, Store
from jobd.wait import wait_readable
from jobd.worker.company import Company
from jobd.worker.fetch import Draw, Grave, UnitOfWork, bury
from jobd.worker.keeper import LONG_S, Keeper
from jobd.worker.waiting import Arrival, Waiter

_BLOCK_S: Final = 10.0
"""Always less than a heartbeat's life, so that no waiter outlives its owner on the server."""
_LOOK_S: Final = 1.0
_MOST_WAITERS: Final = 8
"""Each costs a connection, and time to be ended before the job runs that ends the wait."""
_CLAIM_EVERY_S: Final = 60.0
"""What a request that the network held back for minutes left in our list is found then."""
_STALE_S: Final = 30.0
"""Half of a heartbeat's life."""
_FROZEN_S: Final = 1.0
"""No claim gets so old unless the whole process was suspended: the keeper is there."""


class Told(msgspec.Struct, frozen=True):
    """Whom to call.

    Attributes:
        acknowledged: when the server knows of every finished job.
        will_wait: before it waits, with nothing in hand.
        job_is_long: when others are waiting behind a job that turns out long; by another thread.
        claimed: of each queue of a claim, with its name and the job that has waited there longest.
    """

    acknowledged: Callable[[], object]
    will_wait: Callable[[], object]
    job_is_long: Callable[[], object]
    claimed: Callable[[str, bytes], object]


class ReliableFetch:
    """At least once, whatever is killed.

    Args:
        store: over a connection that this thread alone uses.
        holder: the processor's queues and private lists.
        draw: decides what a claim asks for.
        waiter: waits for it, on connections with a timeout above ten seconds.
        clock: for how old what is known is; while the machine sleeps that counts too.
        told: hears what the rest of the worker wants to know.

    Attributes:
        holds: always.
    """

    def __init__(
        self,
        store: Store,
        holder: Holder,
        *,
        draw: Draw,
        waiter: Waiter,
        clock: Clock,
        told: Told,
    ) -> None:
        self._store = store
        self._holder = holder
        self._draw = draw
        self._wakers = waiter.wakers
        self._now = clock.boottime
        self._told = told
        self._waiter, self._company = waiter, waiter.company
        self._keeper = Keeper(self._waiting_s, self._rescue)
        self._keepers_connection = waiter.connect()  # at its first command, if it ever has one
        self._keepers_store = Store(self._keepers_connection, store.keys)
        self._lock = threading.Lock()  # held while the server is asked about what is held
        # By queue, in the order in which they ended; grows without _lock, shrinks with it.
        self._done: list[list[bytes]] = [[] for _ in holder.queues]
        # What the last claim brought, likewise.
        self._claimed: list[list[bytes]] = [[] for _ in holder.queues]
        # Held and not begun; the worker takes without _lock.
        self._spare: deque[UnitOfWork] = deque()
        self._leaving: list[UnitOfWork] = []  # on their way back, oldest first; guarded by _lock
        self._claimed_at = 0.0
        self._began_at = 0.0  # when the running job was taken
        self._taken = 0  # jobs of the last claim that were begun
        self._is_uncertain = False  # the last settlement got no reply
        self._may_know = False  # the last acknowledgement got no reply; guarded by _lock
        self._must_claim = True  # a wait alone would miss something
        self._doubtful_until = float("-inf")  # what a lost request still does, we would not hear of
        self._refusal: str = ""  # of a queue; what the log knows already
        self._claim_by = 0.0
        self.holds = True

    def retrieve(self) -> UnitOfWork | None:
        """Claim; if there is nothing, wait up to ten seconds for the first job of any queue."""
        if self._spare and (unit := self.take()) is not None:
            return unit
        paused: frozenset[int] = frozenset()
        if self._must_claim or any(self._done) or self._now() > self._claim_by:
            paused = self._claim(self._draw.pace.limit)
            if (unit := self.take()) is not None:
                return unit
        self._told.will_wait()
        if self._company is None:
            return self._wait_for_any(paused)
        return self._wait_in_turn(self._company, paused)

    def _wait_in_turn(self, company: Company, paused: frozenset[int]) -> UnitOfWork | None:
        """Wait as one of several threads, of which only one waits for the server."""
        is_first = company.lead(0)
        if not is_first and not company.lead(self._patience_s):
            self._must_claim = True  # what came into our lists meanwhile, we have not heard of
            return None
        try:
            if not is_first:
                # Others have led since we last asked: there may be more than one of us can take.
                paused = self._claim(self._draw.pace.limit)
                if (unit := self.take()) is not None:
                    return unit
            return self._wait_for_any(paused)
        finally:
            company.follow()

    @property
    def _patience_s(self) -> float | None:
        """How long not to ask what we hold; who has never lost a reply need not."""
        if self._doubtful_until == float("-inf"):
            return None
        return _LOOK_S if self._is_doubtful else _CLAIM_EVERY_S

    def _wait_for_any(self, paused: frozenset[int]) -> UnitOfWork | None:
        # What a wait cannot see: an unpaused queue, a ninth queue, and what becomes of a claim or
        # a BLMOVE whose connection broke: the server may carry it out later than our next claim.
        is_short = len(self._holder.queues) <= _MOST_WAITERS
        all_seen = is_short and not paused and not self._is_doubtful
        queues = [i for i in self._draw.order() if i not in paused]
        unit = self._wait(queues[:_MOST_WAITERS], _BLOCK_S if all_seen else _LOOK_S)
        self._must_claim = self._must_claim or not all_seen
        return unit

    def take(self) -> UnitOfWork | None:
        """The next job of the last claim, unless that is so old that others may have it by now."""
        if not self._spare:
            return None
        now = self._now()
        if now - self._claimed_at > _FROZEN_S:
            self._spare.clear()  # the next claim returns what is still held
            return None
        self._began_at = now
        try:
            unit = self._spare.popleft()
        except IndexError:  # the keeper was quicker
            return None
        self._taken += 1
        return unit

    def _hold(self, jobs: Sequence[tuple[int, Sequence[bytes]]]) -> None:
        self._claimed_at = self._began_at = self._now()
        is_alone = len(jobs) == 1 and len(jobs[0][1]) == 1
        for known in self._claimed:
            known.clear()
        for queue, raws in jobs:
            self._claimed[queue] += raws
            name = self._holder.queues[queue]
            self._spare.extend([UnitOfWork(name, raw, queue, is_alone) for raw in raws])
            self._told.claimed(name, raws[0])
        if not is_alone and jobs:
            self._keeper.wake()

    def _claim(self, limit: int) -> frozenset[int]:
        began = self._now()
        self._claim_by = began + _CLAIM_EVERY_S
        if self._taken:
            self._draw.pace.note(self._taken, began - self._claimed_at)
            self._taken = 0
        with self._lock:
            try:
                claimed = self._claim_once(limit)
            except RedisError:
                # Refused in the middle, it has acknowledged too: a script is not rolled back.
                self._may_know = True
                self._doubt()
                raise
            if claimed.lost and not self._may_know:
                # After a lost reply it only means that they were acknowledged already.
                log.event(
                    "ownership lost: finished jobs were taken over, and may run again, or the "
                    "store was emptied",
                    level="warning",
                    jobs=claimed.lost,
                )
            if claimed.refused and claimed.refused != self._refusal:
                log.event("a queue refused", level="error", reason=claimed.refused)
            self._refusal = claimed.refused
            self._may_know = False
            for raws in self._done:
                raws.clear()
            self._told.acknowledged()
            self._spare.clear()  # what was known is in what is held
            self._must_claim = bool(claimed.jobs)
            self._hold(claimed.jobs)
        if claimed.jobs and self._claimed_at - began > _STALE_S:
            # We were suspended: what we hold may have been recovered meanwhile. Ask again.
            return self._claim(limit)
        return claimed.paused

    def _claim_once(self, limit: int) -> Claimed:
        if self._leaving:
            self._return_leaving(self._store)
        return self._store.claim(
            self._holder,
            done=self._done,
            order=self._draw.order() if limit else (),
            limit=limit,
            shares=self._draw.shares(limit) if limit > 1 else (),
            in_order=limit > 1 and all(map(_are_in_order, self._done, self._claimed)),
        )

    def _doubt(self) -> None:
        self._must_claim = True
        self._doubtful_until = self._now() + 2 * _BLOCK_S

    @property
    def _is_doubtful(self) -> bool:
        return self._now() < self._doubtful_until

    # Not letting jobs wait behind a long one; in the keeper's thread

    def _waiting_s(self) -> float | None:
        is_waiting = self._spare or self._leaving or any(self._done)
        return self._now() - self._began_at if is_waiting else None

    def _rescue(self) -> bool:
        """Give back what is not begun, and acknowledge what is done."""
        with self._lock:
            waited_s = self._waiting_s()
            if waited_s is None or waited_s < LONG_S:
                return True  # the long one has just ended
            faults.point("rescuing")
            self._told.job_is_long()
            self._let_go()
            try:
                self._return_leaving(self._keepers_store)
                self._acknowledge_early(self._keepers_store)
            except RedisError:
                return False  # sent again, by the next claim at the latest
            return True

    def _let_go(self) -> None:
        """Take every job out of the buffer that the worker has not taken yet."""
        with contextlib.suppress(IndexError):
            while True:
                self._leaving.append(self._spare.popleft())

    def _return_leaving(self, store: Store) -> None:
        for queue in {unit.position for unit in self._leaving}:
            # The newest first, so that the oldest runs next.
            raws = [unit.raw for unit in reversed(self._leaving) if unit.position == queue]
            private, name = self._holder.privates[queue], self._holder.queues[queue]
            store.give_back(private, name, [(raw, raw) for raw in raws])
        self._leaving.clear()

    def _acknowledge_early(self, store: Store) -> None:
        # The running job may end meanwhile, and be added.
        done = [raws[:] for raws in self._done]
        if not any(done):
            return
        try:
            store.claim(self._holder, done=done, order=(), limit=0)
        except RedisError:
            self._may_know = True
            raise
        for known, raws in zip(self._done, done, strict=True):
            del known[: len(raws)]

    # Waiting

    def _wait(self, queues: Sequence[int], timeout_s: float) -> UnitOfWork | None:
        if not queues:
            wait_readable(self._wakers, timeout_s)
            return None
        began = self._now()
        waiter = self._waiter
        try:
            arrivals = waiter.wait(self._store, self._holder, queues, timeout_s)
        finally:
            if waiter.is_uncertain:
                self._doubt()  # a job may have come, or come yet; the next claims return it
        if waiter.is_refused and not arrivals:
            # A full server refuses BLMOVE but runs claims: look once a second instead.
            self._must_claim = True
            wait_readable(self._wakers, _LOOK_S)
        if not arrivals:
            return None
        self._must_claim = True  # until the server is asked: an error here leaves jobs held
        return self._keep_first(arrivals, is_old=self._now() - began > _STALE_S)

    def _keep_first(self, arrivals: Sequence[Arrival], *, is_old: bool) -> UnitOfWork | None:
        """Keep the job that came first, if it may run; give the others back at once."""
        first, *others = arrivals
        for arrival in others:
            self._give_back(arrival.queue, arrival.raw)
        may_run = not first.is_paused
        if may_run and is_old:
            # We were suspended: the job may have been recovered meanwhile.
            may_run = self._store.confirm(self._holder, Held(first.queue, first.raw))
        if not may_run:
            self._give_back(first.queue, first.raw)  # finds nothing, if somebody has recovered it
            return None
        self._hold(((first.queue, (first.raw,)),))
        return self.take()

    # Settling

    def acknowledge(self, unit: UnitOfWork) -> None:
        """Rides on the next claim."""
        self._done[unit.position].append(unit.raw)

    def retry(
        self, unit: UnitOfWork, again: bytes, at_s: float, past: PastError | None = None
    ) -> bool:
        """One script: out of the private list, into ``retry``."""
        private = self._holder.privates[unit.position]
        return self._certain(lambda: self._store.retry(private, unit.raw, again, at_s, past))

    def put_off(self, unit: UnitOfWork, at_s: float) -> bool:
        """One script: out of the private list, into ``schedule``."""
        private = self._holder.privates[unit.position]
        return self._certain(lambda: self._store.put_off(private, unit.raw, at_s))

    def bury(self, unit: UnitOfWork, grave: Grave) -> bool:
        """One script: out of the private list, into ``dead``."""
        private = self._holder.privates[unit.position]
        return self._certain(lambda: bury(self._store, private, unit, grave))

    def give_back(self, unit: UnitOfWork) -> bool:
        """One script: out of the private list, to the end of the queue that runs next."""

        def give_back() -> bool:
            with self._lock:
                self._let_go()
                self._return_leaving(self._store)  # claimed later, so behind it
                return self._give_back(unit.position, unit.raw)

        return self._certain(give_back)

    def hand_over(self, unit: UnitOfWork, private: str) -> bool:
        """One script: out of the private list, into another one."""
        try:
            return self._store.hand_over(self._holder.privates[unit.position], private, unit.raw)
        except RedisUnavailable:
            self._doubt()
            raise

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

    def _give_back(self, queue: int, raw: bytes) -> bool:
        private, name = self._holder.privates[queue], self._holder.queues[queue]
        return bool(self._store.give_back(private, name, [(raw, raw)]))

    @property
    def has_done(self) -> bool:
        """Whether jobs are done of which the server does not know."""
        return any(self._done)

    def flush(self) -> None:
        """Acknowledge what is done, then give back everything that is still held."""
        if any(self._done) or self._must_claim or self._spare or self._is_doubtful:
            self._claim(limit=0)
        with self._lock:
            self._let_go()
            self._return_leaving(self._store)

    def close(self) -> None:
        """Drop the connections, but not what others wait on."""
        if self._company is None:
            self._waiter.close()
        with self._lock:  # the keeper may be in the middle of a command
            self._keepers_connection.close()


def _are_in_order(some: Sequence[bytes], all_of_them: Sequence[bytes]) -> bool:
    rest = iter(all_of_them)
    return some == all_of_them or all(raw in rest for raw in some)
