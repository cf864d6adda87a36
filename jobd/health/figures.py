"""What an instance tells Prometheus, read from its shared memory and from what its poller saw.

Counters begin anew with the instance, those of restarts also with its poller; Prometheus expects
that of counters.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from jobd._version import __version__
from jobd.clock import Clock
from jobd.health.exposition import Family, Sample
from jobd.metrics import BOUNDS_MS, Counts
from jobd.proc import resident_bytes
from jobd.scoreboard import Assignment, Scoreboard, State
from jobd.tallies import Tallies

_POLLER_SLOT: Final = 0
_NOBODY: Final = frozenset({State.EMPTY, State.WAITING, State.DEAD})
_BOUNDS_S: Final = (*(f"{bound / 1000:g}" for bound in BOUNDS_MS), "+Inf")


class QueueFigures(NamedTuple):
    """A queue when it was last looked at."""

    size: int
    latency_s: float


class Backlog(msgspec.Struct, frozen=True):
    """What waits, for all instances on this Redis.

    Attributes:
        queues: by name.
        sets: sizes of ``schedule``, ``retry`` and ``dead``.
    """

    queues: Mapping[str, QueueFigures]
    sets: Mapping[str, int]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the poller has seen of Redis; each is asked for when it is shown.

    Attributes:
        backlog: None before the first look.
        round_trip_us: of the last heartbeat; 0 before the first.
    """

    backlog: Callable[[], Backlog | None]
    round_trip_us: Callable[[], int]


class Figures:
    """All families of one instance.

    Args:
        scoreboard: what its workers do.
        tallies: what its jobs have cost, by class and queue.
        seen: what its poller knows of Redis.
        workers: how many there should be.
        labels: of ``jobd_info``: who it is.
        clock: monotonic.
    """

    def __init__(
        self,
        scoreboard: Scoreboard,
        tallies: Tallies,
        seen: Seen,
        *,
        workers: int,
        labels: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._scoreboard = scoreboard
        self._tallies = tallies
        self._seen = seen
        self._workers = workers
        self._labels = {"version": __version__, **labels}
        self._clock = clock
        self._restarts: Counter[str] = Counter()
        self._known: dict[int, int] = {}

    @property
    def _slots(self) -> range:
        return range(1, max(self._workers, self._scoreboard.used) + 1)

    @property
    def redis_away_s(self) -> float:
        """For how long Redis has not answered; 0 if it does."""
        since = self._scoreboard.redis_away_since
        return self._clock.monotonic() - since if since else 0.0

    @property
    def ready_workers(self) -> int:
        """How many could take a job, or have one."""
        states = self._states()
        return states[State.IDLE] + states[State.RUNNING]

    def families(self) -> Iterator[Family]:
        """Everything, for one scrape."""
        info = [Sample(1, self._labels)]
        yield Family("jobd_info", "gauge", "Which instance this is.", info)
        yield from self._job_families()
        yield from self._backlog_families()
        yield from self._process_families()
        yield from self._redis_families()

    def note_restarts(self) -> None:
        """Remember who was replaced since the last look, and why; to be called every second or so.

        A slot knows its last exit only.
        """
        for slot, seat in self._seats():
            more = seat.restarts - self._known.get(slot, 0)
            if more > 0:
                self._known[slot] = seat.restarts
                self._restarts[seat.last_exit or "unknown"] += more

    def _job_families(self) -> Iterator[Family]:
        rows = self._tallies.by_queue().items()
        counted = {key: counts for key, counts in rows if key[0]}
        results = [
            Sample(number, {"queue": queue, "class": name, "result": result})
            for (name, queue), counts in counted.items()
            for result, number in (
                ("done", counts.executions - counts.failures),
                ("failed", counts.failures),
            )
        ]
        yield Family("jobd_jobs_total", "counter", "Jobs run, by what became of them.", results)
        durations = [
            sample
            for (name, queue), counts in counted.items()
            for sample in _histogram(counts, {"queue": queue, "class": name})
        ]
        text = "How long jobs took that did not fail."
        yield Family("jobd_job_duration_seconds", "histogram", text, durations)
        waits = [
            sample
            for (name, queue), counts in rows
            if not name
            for sample in _histogram(counts, {"queue": queue})
        ]
        text = "How long jobs had waited when they were claimed: of each claim the oldest job."
        yield Family("jobd_queue_wait_seconds", "histogram", text, waits)

    def _backlog_families(self) -> Iterator[Family]:
        backlog = self._seen.backlog()
        if backlog is None:
            return
        queues = backlog.queues.items()
        sizes = [Sample(queue.size, {"queue": name}) for name, queue in queues]
        yield Family("jobd_queue_size", "gauge", "Jobs that wait in a queue.", sizes)
        ages = [Sample(queue.latency_s, {"queue": name}) for name, queue in queues]
        text = "Age of the job that runs next."
        yield Family("jobd_queue_latency_seconds", "gauge", text, ages)
        sets = [Sample(size, {"set": name}) for name, size in backlog.sets.items()]
        yield Family("jobd_set_size", "gauge", "Jobs that wait for a time, or are dead.", sets)

    def _process_families(self) -> Iterator[Family]:
        states = self._states()
        workers = [Sample(states[state], {"state": state.name.lower()}) for state in State]
        yield Family("jobd_workers", "gauge", "Workers by what they do.", workers)
        restarts = [Sample(number, {"reason": why}) for why, number in self._restarts.items()]
        text = "Processes replaced, by how the last one ended."
        yield Family("jobd_restarts_total", "counter", text, restarts)
        memory = [
            Sample(resident_bytes(seat.pid), {"process": _name(slot)})
            for slot, seat in self._seats()
            if seat.pid
        ]
        yield Family("jobd_resident_memory_bytes", "gauge", "Resident memory.", memory)

    def _redis_families(self) -> Iterator[Family]:
        away_s = self.redis_away_s
        up = [Sample(0 if away_s else 1)]
        yield Family("jobd_redis_up", "gauge", "Whether Redis answers the poller.", up)
        round_trip = [Sample(self._seen.round_trip_us() / 1e6)]
        text = "A round trip to Redis, at the last heartbeat."
        yield Family("jobd_redis_round_trip_seconds", "gauge", text, round_trip)

    def _seats(self) -> list[tuple[int, Assignment]]:
        return [
            (slot, self._scoreboard.read_assignment(slot)) for slot in (_POLLER_SLOT, *self._slots)
        ]

    def _states(self) -> Counter[State]:
        return Counter(map(self._state, self._slots))

    def _state(self, slot: int) -> State:
        seat = self._scoreboard.read_assignment(slot)
        worker = self._scoreboard.read(slot)
        is_its_own = worker.pid == seat.pid and seat.state not in _NOBODY
        return worker.state if is_its_own else seat.state


def _histogram(counts: Counts, labels: Mapping[str, str]) -> Iterator[Sample]:
    for bound, number in zip(_BOUNDS_S, itertools.accumulate(counts.histogram), strict=True):
        yield Sample(number, {**labels, "le": bound}, "_bucket")
    yield Sample(counts.total_ms / 1000, labels, "_sum")
    yield Sample(sum(counts.histogram), labels, "_count")


def _name(slot: int) -> str:
    return "poller" if slot == _POLLER_SLOT else f"worker {slot}"
