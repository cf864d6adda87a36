"""Where a worker's jobs come from: the contract, the order of queues, and the plain way.

``BasicFetch`` is Sidekiq's own: BRPOP takes the job off its queue, and until it is settled only
this process knows it, so kill -9 loses it. ``reliable_fetch`` is the default and loses nothing.

Source: Sidekiq's lib/sidekiq/fetch.rb and capsule.rb.
"""

import bisect
import itertools
import random
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

import msgspec

from jobd.clock import Clock
from jobd.config import Capsule
from jobd.connection import Connection
from jobd.store import PastError, Store
from jobd.wait import HasFileno, wait_readable
from jobd.worker.company import Company
from jobd.worker.pace import MOST, Pace

_BLOCK_S: Final = 2.0
_UNBLOCK_EVERY_S: Final = 0.05
_PAUSED_EVERY_S: Final = 1.0
_MOST_DRAWS: Final = 16
_GOLDEN: Final = (5**0.5 - 1) / 2


class UnitOfWork(msgspec.Struct, frozen=True, gc=False):  # a quarter of a NamedTuple's cost
    """A job in this worker's hands.

    Attributes:
        queue: the name of the queue it came from.
        raw: its bytes, which every settlement names.
        position: index of the queue among the fetcher's own.
        is_alone: whether its claim brought no other.
    """

    queue: str
    raw: bytes
    position: int
    is_alone: bool = True


class Grave(msgspec.Struct, frozen=True):
    """A dead job, the limits of the place where it goes, and the error that it had before."""

    raw: bytes
    now_s: float
    max_jobs: int
    timeout_s: float
    past: PastError | None = None


class Fetcher(Protocol):
    """A way to take jobs and to settle them.

    Every method may raise ``RedisError``; each may then be called again with the same arguments.
    The settlements return False if the job was not held any more: somebody else recovered it.

    Attributes:
        holds: whether jobs lie in Redis until they are settled.
    """

    holds: bool

    def retrieve(self) -> UnitOfWork | None:
        """The next job; None after a few seconds without one, or when a waker is readable."""
        ...

    def take(self) -> UnitOfWork | None:
        """The next job that is here already; None if a round trip is needed for one."""
        ...

    def acknowledge(self, unit: UnitOfWork) -> None:
        """It is done."""
        ...

    def retry(
        self, unit: UnitOfWork, again: bytes, at_s: float, past: PastError | None = None
    ) -> bool:
        """It failed and runs again at that time (epoch seconds); ``past`` is what it had before."""
        ...

    def put_off(self, unit: UnitOfWork, at_s: float) -> bool:
        """It has not failed, and goes on at that time (epoch seconds)."""
        ...

    def bury(self, unit: UnitOfWork, grave: Grave) -> bool:
        """It died."""
        ...

    def give_back(self, unit: UnitOfWork) -> bool:
        """It goes back to its queue, unchanged, to run next; jobs not begun go back behind it."""
        ...

    def hand_over(self, unit: UnitOfWork, private: str) -> bool:
        """It goes on in another private list, to be settled by who has that.

        May be called again after an error.
        """
        ...

    @property
    def has_done(self) -> bool:
        """Whether jobs are done of which the server does not know."""
        ...

    def flush(self) -> None:
        """Tell the server what it does not know yet, and keep no job that was not begun."""
        ...

    def close(self) -> None:
        """Drop the connections."""
        ...


class Draw:
    """What a claim asks for: how many jobs, and, drawn anew each time, of which queues.

    Strict order is the one given, and the first queue that has jobs gives all. Otherwise sorting
    by ``random() ** (1 / weight)`` puts a queue first with probability weight / total (Efraimidis
    and Spirakis, 2006) at a tenth of the cost of shuffling names repeated by weight.

    Args:
        capsule: whose queues.
        rng: what is drawn with.
        batch: the most jobs that a claim may take, or ``auto``.

    Attributes:
        pace: decides how many.
    """

    def __init__(
        self, capsule: Capsule, rng: random.Random, batch: int | Literal["auto"] = "auto"
    ) -> None:
        self.pace = Pace(MOST if batch == "auto" else batch)
        self._indexes = tuple(range(len(capsule.queues)))
        self._is_fixed = capsule.mode == "strict" or len(self._indexes) == 1
        weights = [max(queue.weight, 1) for queue in capsule.queues]
        self._exponents = [1 / weight for weight in weights]
        self._bounds = tuple(itertools.accumulate(weights))
        self._rng = rng
        self._phase = rng.random()  # of the first draw of a claim, in parts of their distance

    def order(self) -> Sequence[int]:
        """The indexes of the queues in the order in which to look through them."""
        if self._is_fixed:
            return self._indexes
        draw = self._rng.random
        keys = [draw() ** exponent for exponent in self._exponents]
        return sorted(self._indexes, key=keys.__getitem__, reverse=True)

    def shares(self, jobs: int) -> Sequence[int]:
        """How many of so many jobs to ask of each queue; empty where the order decides alone.

        A large claim asks few of many queues for several jobs, since each queue costs the server
        three commands. The draws of a claim lie at even distances, and the first ones of all claims
        are spread evenly, too (by the golden ratio): so the shares are closer to the weights than
        if each job's queue was drawn by itself.
        """
        if self._is_fixed or jobs <= 1:
            return ()
        shares, last = [0] * len(self._indexes), len(self._indexes) - 1
        draws = min(jobs, _MOST_DRAWS)
        each, more = divmod(jobs, draws)
        self._phase = (self._phase + _GOLDEN) % 1
        step, turn = self._bounds[-1] / draws, self._rng.randrange(draws)
        for number in range(draws):
            at = bisect.bisect(self._bounds, (self._phase + number) * step, 0, last)
            shares[at] += each + ((number + turn) % draws < more)
        return shares


class Rest(msgspec.Struct, frozen=True):
    """How a fetcher waits.

    Attributes:
        wakers: readable when the worker has to look up from its wait.
        will_wait: called before it waits, with nothing in hand.
        company: threads of which one waits at a time; None: there are no others.
    """

    wakers: Sequence[HasFileno]
    will_wait: Callable[[], object]
    company: Company | None = None


class BasicFetch:
    """At most once under kill -9.

    Args:
        store: over a connection that this thread alone uses.
        blocking: a second connection, which waits; its timeout is above two seconds.
        capsule: whose queues to serve.
        rest: how it waits.
        rng: draws the order of the queues.
        clock: for how old the knowledge of paused queues is.
        claimed: hears of each job, and from which queue it came.

    Attributes:
        holds: never.
    """

    def __init__(
        self,
        store: Store,
        blocking: Connection,
        *,
        capsule: Capsule,
        rest: Rest,
        rng: random.Random,
        clock: Clock,
        claimed: Callable[[str, bytes], object],
    ) -> None:
        self._store = store
        self._claimed = claimed
        self._will_wait, self._company = rest.will_wait, rest.company
        self._blocking = blocking
        self._names = tuple(queue.name for queue in capsule.queues)
        self._draw = Draw(capsule, rng)
        self._wakers = rest.wakers
        self._clock = clock
        self._paused: frozenset[str] = frozenset()
        self._paused_at = float("-inf")
        self._is_asking = False  # a BRPOP has no answer yet
        self.holds = False

    def retrieve(self) -> UnitOfWork | None:
        """Wait in BRPOP for up to two seconds."""
        self._will_wait()
        if self._company is None:
            return self._wait()
        if not self._company.lead(None):
            return None
        try:
            return self._wait()
        finally:
            self._company.follow()

    def _wait(self) -> UnitOfWork | None:
        # After an error in the middle of a wait the old answer comes first: it may be a job.
        if not self._is_asking and not self._ask():
            return None
        ready = wait_readable([self._blocking, *self._wakers], _BLOCK_S + 1)
        if self._blocking not in ready:
            self._wake_up()
        return self._answer()

    def _ask(self) -> bool:
        now = self._clock.monotonic()
        if now - self._paused_at >= _PAUSED_EVERY_S:
            self._paused, self._paused_at = self._store.paused_queues(), now
        names = [self._names[i] for i in self._draw.order() if self._names[i] not in self._paused]
        if not names:
            wait_readable(self._wakers, _PAUSED_EVERY_S)
            return False
        self._blocking.open()
        self._blocking.send(self._store.at_most_once_claim(names, _BLOCK_S))
        self._is_asking = True
        return True

    def _answer(self) -> UnitOfWork | None:
        self._is_asking = False
        reply = self._blocking.read()
        if reply is None:
            return None
        name = self._store.keys.queue_name(reply[0].decode())
        self._claimed(name, reply[1])
        return UnitOfWork(name, reply[1], self._names.index(name))

    def _wake_up(self) -> None:
        # Until it has answered: an UNBLOCK that arrives before the BRPOP does nothing.
        for _ in range(20):
            self._store.unblock([self._blocking.client_id])
            if wait_readable([self._blocking], _UNBLOCK_EVERY_S):
                return

    def take(self) -> UnitOfWork | None:
        """There is never one: BRPOP brings a single job."""
        return None

    def acknowledge(self, unit: UnitOfWork) -> None:
        """Nothing holds the job, so there is nothing to tell."""

    def retry(
        self, unit: UnitOfWork, again: bytes, at_s: float, past: PastError | None = None
    ) -> bool:
        """ZADD; safe to repeat, since the member is the same."""
        self._store.retry(None, unit.raw, again, at_s, past)
        return True

    def put_off(self, unit: UnitOfWork, at_s: float) -> bool:
        """ZADD; safe to repeat."""
        self._store.put_off(None, unit.raw, at_s)
        return True

    def bury(self, unit: UnitOfWork, grave: Grave) -> bool:
        """ZADD and trim; safe to repeat."""
        bury(self._store, None, unit, grave)
        return True

    def give_back(self, unit: UnitOfWork) -> bool:
        """Sent again after a lost reply it doubles the job, which beats losing it."""
        self._store.requeue(unit.queue, unit.raw)
        return True

    def hand_over(self, unit: UnitOfWork, private: str) -> bool:  # noqa: ARG002
        """Nothing holds the job."""
        return True

    @property
    def has_done(self) -> bool:
        """There is nothing to tell."""
        return False

    def flush(self) -> None:
        """Give back the job of a wait that an error broke off."""
        if self._is_asking:
            self._wake_up()
            unit = self._answer()
            if unit is not None:
                self.give_back(unit)

    def close(self) -> None:
        """Drop the waiting connection."""
        self._blocking.close()


def bury(store: Store, private: str | None, unit: UnitOfWork, grave: Grave) -> bool:
    """Move a job to the dead set, out of a private list if there is one."""
    return store.bury(
        private,
        unit.raw,
        grave.raw,
        now_s=grave.now_s,
        max_jobs=grave.max_jobs,
        timeout_s=grave.timeout_s,
        past=grave.past,
    )
