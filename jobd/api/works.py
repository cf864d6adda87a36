"""The jobs that run now, as the last heartbeats told.

Source: Sidekiq's lib/sidekiq/api.rb, WorkSet and Work.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from jobd.api.access import Access
from jobd.api.iterations import IterationState, iteration_states
from jobd.api.records import JobRecord
from jobd.api.replies import document, flat, mapping, moment, number, real, string, text

_EARLIEST = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A job that runs.

    Attributes:
        process: identity of the instance.
        tid: of the thread; ``SLOT.THREAD.INCARNATION`` in jobd.
        queue: where it was taken from.
        run_at: when it was started; None if that was not told.
        record: the job; it cannot be deleted, since no queue holds it.
        iteration: how far it has come, if it is an iterable job.
        time_limit: seconds that it may run, by its class or its push; None if it has no limit, or
            runs in Ruby.
    """

    process: str
    tid: str
    queue: str
    run_at: datetime | None
    record: JobRecord
    iteration: IterationState | None = None
    time_limit: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """What JSON can carry of it; the time in ISO 8601."""
        run_at = self.run_at and self.run_at.isoformat()
        head = {"process": self.process, "tid": self.tid, "run_at": run_at}
        iteration = self.iteration and self.iteration.as_dict()
        tail = {"queue": self.queue, "iteration": iteration, "time_limit": self.time_limit}
        return {**head, **self.record.as_dict(), **tail}


class WorkSet:
    """Every job that runs, on jobd and on Ruby's Sidekiq.

    Args:
        access: the current app's, if None.

    Each method is O(n) in the number of running jobs, and three round trips; it tells what was so
    at the last heartbeat of each instance, up to 10 s ago.
    """

    def __init__(self, *, access: Access | None = None) -> None:
        self._access = Access.of() if access is None else access

    def __iter__(self) -> Iterator[Work]:
        """Those that have run longest first."""
        return iter(self.all())

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return True

    def all(self) -> list[Work]:
        """Those that have run longest first."""
        keys, redis = self._access.keys, self._access.redis
        identities = sorted(map(text, redis.call("SMEMBERS", keys.processes)))
        if not identities:
            return []
        # Sidekiq before 7 tells its jobs elsewhere, and jobd with ``wire: 7`` in both places.
        asked = [
            (identity, key)
            for identity in identities
            for key in (keys.workers(identity), keys.work(identity))
        ]
        limits_of = [("HGET", keys.instance(identity), "limits") for identity in identities]
        replies = redis.pipeline([*(("HGETALL", key) for _, key in asked), *limits_of])
        told_of = {
            (identity, tid): raw
            for (identity, _), reply in zip(asked, replies, strict=False)
            for tid, raw in flat(reply).items()
        }
        limits = dict(zip(identities, map(_limits, replies[len(asked) :]), strict=True))
        found = [
            self._work(identity, tid, raw, limits[identity].get(tid))
            for (identity, tid), raw in told_of.items()
        ]
        states = iteration_states((work.record.jid for work in found), access=self._access)
        told = (replace(work, iteration=states.get(work.record.jid)) for work in found)
        return sorted(told, key=_started_s)

    @property
    def size(self) -> int:
        """How many jobs run."""
        return len(self.all())

    def find(self, jid: str) -> Work | None:
        """The run of a job; None if it does not run."""
        return next((work for work in self.all() if work.record.jid == jid), None)

    def _work(self, identity: str, tid: str, raw: bytes, time_limit: float | None) -> Work:
        told = mapping(document(raw))
        payload = string(told.get("payload")).encode("utf-8", "replace")
        run_at = number(told.get("run_at"))
        queue = string(told.get("queue"))
        return Work(
            process=identity,
            tid=tid,
            queue=queue,
            run_at=moment(run_at * 1000) if run_at else None,
            record=JobRecord(payload, queue=queue, access=self._access),
            time_limit=time_limit,
        )


def _limits(told: bytes | None) -> dict[str, float]:
    """By thread id; what is no number of seconds is left out."""
    found = mapping(document(told or b""))
    return {tid: real(limit) for tid, limit in found.items() if real(limit) > 0}


def _started_s(work: Work) -> float:
    return work.run_at.timestamp() if work.run_at else _EARLIEST
