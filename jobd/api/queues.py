"""A queue, and what an operator does to it and to the jobs that wait there.

Source: Sidekiq's lib/sidekiq/api.rb, Queue; pausing and deleting by class as in Sidekiq Pro.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from jobd.api.access import Access, server_ms
from jobd.api.bulk import Progress, Tally
from jobd.api.filter import EVERYTHING, Filter
from jobd.api.moves import Moves
from jobd.api.records import JobRecord
from jobd.api.replies import name as name_of, number, raw as raw_of
from jobd.api.walk import PAGE, Stretch, queue_page, through_queue
from jobd.errors import CannotAct, InvalidJob
from jobd.payload import check_options, encode

_STRIKE_PAGE: Final = 500
# As many LSETs cost about as much as the one LREM behind them, however deep they are.
_AT_ONCE: Final = 128
_MOST_PASSES: Final = 5

_Act: TypeAlias = Callable[[range, Sequence[JobRecord]], tuple[int, int, str]]
"""Does something to some jobs of a stretch of positions.

Returns how many of them it found there, how many it refused, and why.
"""


class Queue:
    """The jobs that wait in one queue.

    Args:
        name: without a prefix; bytes that are no UTF-8 are surrogates (``surrogateescape``).
        access: the current app's, if None.
    """

    def __init__(self, name: str = "default", *, access: Access | None = None) -> None:
        self.name = name
        self._access = Access.of() if access is None else access
        self._key = raw_of(self._access.keys.queue(name))
        self._member = raw_of(name)

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return True  # an empty queue is no missing one

    @classmethod
    def all(cls, *, access: Access | None = None) -> "list[Queue]":
        """Every queue that was ever pushed to and not cleared, by name."""
        access = Access.of() if access is None else access
        members = access.redis.call("SMEMBERS", access.keys.queues)
        return [cls(name, access=access) for name in sorted(map(name_of, members))]

    @property
    def size(self) -> int:
        """How many jobs wait."""
        return number(self._access.redis.call("LLEN", self._key))

    @property
    def latency_s(self) -> float:
        """Seconds for which the job that runs next has waited; 0 if none waits."""
        last, time = self._access.redis.pipeline([("LINDEX", self._key, -1), ("TIME",)])
        return 0.0 if last is None else self._record(last).latency_s(server_ms(time))

    @property
    def is_paused(self) -> bool:
        """Whether nobody may take jobs from it."""
        return bool(self._access.redis.call("SISMEMBER", self._access.keys.paused, self._member))

    @property
    def is_known(self) -> bool:
        """Whether it has jobs, or has ever had since it was last cleared."""
        known, size = self._access.redis.pipeline(
            [("SISMEMBER", self._access.keys.queues, self._member), ("LLEN", self._key)]
        )
        return bool(known or size)

    # Reading

    def __iter__(self) -> Iterator[JobRecord]:
        """Every job, those that run next first; O(n²) in the distance read, by pages.

        Others may write meanwhile, and so may you: what is there throughout is given. As many as
        waited at the start, at the most.
        """
        for stretch in through_queue(self._access.redis, self._key):
            for raw in stretch.raws:
                yield self._record(raw)

    def page(self, number: int, size: int) -> list[JobRecord]:
        """Jobs in the order in which they will run; pages count from 1.

        O(n) in the distance from the nearer end of the queue.
        """
        raws = queue_page(self._access.redis, self._key, (number - 1) * size, size)
        return [self._record(raw) for raw in raws]

    def find(self, key: str) -> JobRecord | None:
        """The job with this jid, or `JobRecord.key`; O(n), by pages, since queues have no index."""
        return next((record for record in self if record.key == key), None)

    # Acting

    def delete(self, wanted: Filter, *, progress: Progress | None = None) -> int:
        """Delete every job that matches, by pages; how many there were.

        O(n) in the queue's size for each 128 jobs: minutes for a million. A step keeps the server
        for as long as it takes to walk to them from the nearer end: 16 ms of its time past 100,000
        jobs, half of them for LREM, the only command that takes anything out of a list's midst.
        """

        def strike(stretch: range, records: Sequence[JobRecord]) -> tuple[int, int, str]:
            raws = [record.raw for record in records]
            return Moves(self._access).strike(self.name, stretch, raws), 0, ""

        return self._for_all(wanted, strike, progress).done

    def delete_by_class(self, name: str) -> int:
        """Delete every job of a class, also inside ActiveJob; see `delete`."""
        return self.delete(Filter(class_name=name))

    def clear(self) -> int:
        """Delete the queue with all its jobs; how many there were. A pause stays."""
        keys = self._access.keys
        size, *_ = self._access.atomically(
            ("LLEN", self._key), ("UNLINK", self._key), ("SREM", keys.queues, self._member)
        )
        return number(size)

    def purge(self) -> int:
        """Clear it, but keep the jobs for a day, in which `Trash` can put them back; O(1).

        Their memory is not freed before.
        """
        return Moves(self._access).purge("queue", self.name)

    def pause(self) -> bool:
        """Have nobody take jobs from it; False if it was paused already.

        Ruby's Sidekiq minds it only with Pro.
        """
        return bool(self._access.redis.call("SADD", self._access.keys.paused, self._member))

    def unpause(self) -> bool:
        """Have its jobs run again; False if it was not paused."""
        return bool(self._access.redis.call("SREM", self._access.keys.paused, self._member))

    def move(self, record: JobRecord, queue: str) -> bool:
        """Move a job to the back of another queue; O(n) in the size of this one.

        Returns:
            False if it was no longer here.

        Raises:
            CannotAct: it is no job, or that is no name of a queue.
        """
        if record.is_malformed:
            raise CannotAct(_reason(record))
        _check_name(queue)
        return Moves(self._access).move(self.name, record.raw, queue, _in_queue(record, queue))

    def move_all(
        self, queue: str, wanted: Filter = EVERYTHING, *, progress: Progress | None = None
    ) -> Tally:
        """Move every job that matches to the back of another queue, in their order, by pages.

        A job is moved whole or not at all, whenever this is killed; run it again to go on. Jobs
        that come after the start are left alone, as is what is no job, which counts as refused.
        O(n) in the number moved if all are; else as `delete`.

        Raises:
            CannotAct: that is no name of a queue, or it is this one.
        """
        _check_name(queue)
        if queue == self.name:
            raise CannotAct(f"queue {queue}: its jobs are there already; name another queue")

        def move(stretch: range, records: Sequence[JobRecord]) -> tuple[int, int, str]:
            jobs = [(each.raw, _in_queue(each, queue)) for each in records if not each.is_malformed]
            reason = next((_reason(each) for each in records if each.is_malformed), "")
            moved = Moves(self._access).move_all(self.name, stretch, queue, jobs)
            return moved, len(records) - len(jobs), reason

        return self._for_all(wanted, move, progress)

    def _record(self, raw: bytes) -> JobRecord:
        return JobRecord(raw, queue=self.name, access=self._access)

    def _for_all(self, wanted: Filter, act: _Act, progress: Progress | None) -> Tally:
        """Do something to every job that matches, again for those that moved meanwhile."""
        tally = Tally(total=self.size)
        for _ in range(_MOST_PASSES):
            # What was refused before is found again.
            tally = replace(tally, matched=tally.done, refused=0)
            tally, missed = self._once(wanted, act, tally, progress)
            if not missed:
                break
        return tally

    def _once(
        self, wanted: Filter, act: _Act, tally: Tally, progress: Progress | None
    ) -> tuple[Tally, int]:
        """Once through the queue; how far it is, and how many of those meant were elsewhere."""
        missed = 0
        for stretch in through_queue(self._access.redis, self._key, _STRIKE_PAGE):
            records = [self._record(raw) for raw in stretch.raws]
            meant = [record for record in records if wanted.matches(record)]
            for part in (meant[at : at + _AT_ONCE] for at in range(0, len(meant), _AT_ONCE)):
                done, refused, reason = act(_around(stretch), part)
                found = done + refused
                missed += max(len(part) - found, 0)
                tally = replace(
                    tally,
                    matched=tally.matched + found,
                    done=tally.done + done,
                    refused=tally.refused + refused,
                    reason=reason or tally.reason,
                )
            tally = replace(tally, seen=min(tally.seen + len(records), tally.total))
            if progress is not None:
                progress(tally)
        return tally, missed


def _around(stretch: Stretch) -> range:
    """Where its jobs may stand by now: what was pulled nearer since, or pushed back."""
    near = max(stretch.near - _STRIKE_PAGE, 0)
    return range(near, stretch.near + len(stretch.raws) + PAGE + 1)


def _check_name(queue: str) -> None:
    try:
        check_options({"queue": queue})
    except InvalidJob as error:
        raise CannotAct(str(error)) from error


def _in_queue(record: JobRecord, queue: str) -> bytes:
    return encode({**record.fields, "queue": queue})


def _reason(record: JobRecord) -> str:
    return f"{record!r}: no other queue can run it; delete it or kill it"
