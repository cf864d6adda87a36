"""Where the jobs with these jids lie: one runs, or is in one of the sets or a queue.

Queues and sets have no index by jid, so everything is gone through by pages, the queues last and
the longest of them at the end, and no further than until each jid was found. A jid may also be
what stands in its place for a job that has none, ``sha1:...``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from jobd.api import (
    SET_NAMES,
    Access,
    Filter,
    JobRecord,
    JobSet,
    ProcessSet,
    Queue,
    SortedEntry,
    Stats,
    Work,
    WorkSet,
    set_of,
)
from jobd.ctl.progress import Progress
from jobd.ctl.words import count_of

_DIGEST: Final = "sha1:"
_TOLD_EVERY: Final = 1_000


@dataclass(frozen=True, slots=True)
class Found:
    """A job and where it lies.

    Attributes:
        job: a `SortedEntry` in a set, a `Work` that runs, else a job that waits in a queue.
    """

    job: JobRecord | Work

    @property
    def record(self) -> JobRecord:
        """The job itself."""
        return self.job.record if isinstance(self.job, Work) else self.job

    @property
    def where(self) -> str:
        """``running``, ``schedule``, ``retry``, ``dead``, or ``queue``."""
        if isinstance(self.job, Work):
            return "running"
        return self.job.place if isinstance(self.job, SortedEntry) else "queue"

    @property
    def place(self) -> str:
        """The same for people, with the name of the queue or of who runs it."""
        if isinstance(self.job, Work):
            return f"running on {self.job.process}"
        return self.job.place if isinstance(self.job, SortedEntry) else f"queue {self.job.queue}"


class Search:
    """A search for jobs by their jids.

    Args:
        access: the Redis.
        jids: or what stands in their place; each is looked for once.
        is_silent: do not tell how far it is.

    Attributes:
        found: what each jid has found; several jobs may have one jid.
    """

    def __init__(self, access: Access, jids: Sequence[str], *, is_silent: bool) -> None:
        self._access = access
        self._is_silent = is_silent
        self._queues = 0
        self._processes = 0
        self.found: dict[str, list[Found]] = {jid: [] for jid in jids}

    def look(self) -> Self:
        """Look everywhere until each is found."""
        for work in (*WorkSet(access=self._access), *_held(self._access)):
            self._add(Found(work))
        self._processes = ProcessSet(access=self._access).size
        summaries = sorted(Stats(access=self._access).queues(), key=lambda queue: queue.size)
        self._queues = len(summaries)
        sets = [set_of(name, access=self._access) for name in SET_NAMES]
        queues = [Queue(summary.name, access=self._access) for summary in summaries]
        places: list[JobSet | Queue] = [*sets, *queues]
        total = sum(each.size for each in sets) + sum(each.size for each in summaries)
        with Progress("looking", "", total, is_silent=self._is_silent) as progress:
            for place in places:
                if missing := self.missing:
                    for record in _suspects(place, missing, progress):
                        self._add(Found(record))
        return self

    @property
    def missing(self) -> list[str]:
        """The jids that have found nothing."""
        return [jid for jid, jobs in self.found.items() if not jobs]

    @property
    def looked(self) -> str:
        """Where it looks, as a part of a sentence."""
        queues = count_of(self._queues, "queue")
        processes = count_of(self._processes, "process", "processes")
        return f"looked in {queues}, {', '.join(SET_NAMES)}, and among the jobs of {processes}"

    def _add(self, found: Found) -> None:
        jobs = self.found.get(found.record.key)
        # A set that others change may show a job twice, and one that runs is held, too.
        if jobs is not None and (found.place, found.record.raw) not in [
            (each.place, each.record.raw) for each in jobs
        ]:
            jobs.append(found)


def run_of(access: Access, jid: str) -> Work | None:
    """The run of a job: as heartbeats tell, or as jobd's private lists do; None if it has none."""
    told = (*WorkSet(access=access), *_held(access))
    return next((work for work in told if work.record.jid == jid), None)


def _held(access: Access) -> Iterator[Work]:
    """Jobs that workers of jobd have taken: heartbeats tell of them up to ten seconds later."""
    keys = access.keys
    names: list[bytes] = sorted(access.redis.call("SMEMBERS", keys.privates))
    parsed = [(name, keys.parse_private(name.decode("utf-8", "replace"))) for name in names]
    lists = [(name, held) for name, held in parsed if held is not None]
    replies = access.redis.pipeline([("LRANGE", name, 0, -1) for name, _ in lists])
    for (_, held), raws in zip(lists, replies, strict=True):
        tid = f"{held.slot}.{held.thread}.{held.incarnation}"
        for raw in raws:
            record = JobRecord(raw, queue=held.queue, access=access)
            yield Work(process=held.identity, tid=tid, queue=held.queue, run_at=None, record=record)


def _suspects(
    place: JobSet | Queue, jids: Sequence[str], progress: Progress
) -> Iterator[JobRecord]:
    """Jobs that may be meant: those in whose bytes a jid stands."""
    if isinstance(place, Queue):
        yield from _of_queue(place, jids, progress)
        return
    size = place.size
    for jid in jids:
        if not jid.startswith(_DIGEST):
            yield from place.scan(Filter(jid=jid))
        elif (entry := place.find(jid)) is not None:
            yield entry
    progress(progress.seen + size)


def _of_queue(queue: Queue, jids: Sequence[str], progress: Progress) -> Iterator[JobRecord]:
    before = progress.seen
    is_plain = all(jid.isalnum() and jid.isascii() for jid in jids)
    # A million jobs are not decoded to find one.
    needles = [jid.encode() for jid in jids] if is_plain else [b""]
    for number, record in enumerate(queue, 1):
        if number % _TOLD_EVERY == 0:
            progress(before + number)
        if any(needle in record.raw for needle in needles):
            yield record
    progress(before + queue.size)
