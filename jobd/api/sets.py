"""The three sorted sets: jobs that wait for their time, for their next try, and the dead.

Source: Sidekiq's lib/sidekiq/api.rb, SortedSet, JobSet and its three heirs.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Final, TypeAlias

from jobd.api.access import Access
from jobd.api.bulk import Progress, Tally, for_all, scan
from jobd.api.filter import EVERYTHING, Filter
from jobd.api.moves import Again, Moves, score_text, set_key
from jobd.api.records import SetName, SortedEntry
from jobd.api.replies import number
from jobd.api.walk import Member, at_score, members, set_page, through_set
from jobd.errors import CannotAct
from jobd.store import Promotion

SET_NAMES: Final[tuple[SetName, ...]] = ("schedule", "retry", "dead")

Score: TypeAlias = float | datetime
"""A moment of a set: epoch seconds, or an aware datetime."""


class JobSet:
    """The jobs of a set.

    Args:
        access: the current app's, if None.
    """

    name: ClassVar[SetName]
    _is_reverse: ClassVar[bool] = False

    def __init__(self, *, access: Access | None = None) -> None:
        self._access = Access.of() if access is None else access
        self._moves = Moves(self._access)
        self._key = set_key(self._access.keys, self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return True  # an empty set is no missing one

    @property
    def size(self) -> int:
        """How many jobs are kept."""
        return number(self._access.redis.call("ZCARD", self._key))

    # Reading

    def __iter__(self) -> Iterator[SortedEntry]:
        """Every job, those due first at the top, the dead newest first; O(n) in all, by pages.

        Others may write meanwhile, and so may you: what is there throughout is given. It ends at
        the last score that was there at the start.
        """
        redis = self._access.redis
        for page in through_set(redis, self._key, is_reverse=self._is_reverse):
            yield from self._entries(page)

    def page(self, number: int, size: int) -> list[SortedEntry]:
        """A page in the same order, counted from 1; O(log n)."""
        first = (number - 1) * size
        redis = self._access.redis
        return self._entries(set_page(redis, self._key, first, size, is_reverse=self._is_reverse))

    def scan(self, pattern: str | Filter) -> Iterator[SortedEntry]:
        """The jobs that match, in no order; O(n), by pages.

        Others may write meanwhile: what is there throughout is given, some of it perhaps twice.

        Args:
            pattern: a filter, or a glob of Redis over the job's JSON, which is looked for
                anywhere in it unless it has a ``*`` itself.
        """
        if isinstance(pattern, Filter):
            for page in scan(self._access, self._key, pattern.pattern):
                yield from (each for each in self._entries(page.members) if pattern.matches(each))
            return
        glob = pattern if "*" in pattern else f"*{pattern}*"
        for page in scan(self._access, self._key, glob):
            yield from self._entries(page.members)

    def fetch(
        self, score: Score | tuple[Score, Score], jid: str | None = None, *, limit: int = 1000
    ) -> list[SortedEntry]:
        """The jobs of a moment, or from one moment to another, both included.

        O(log n) and the number of jobs found.

        Args:
            score: the moment, or a pair of them.
            jid: the only one wanted, if given.
            limit: how many are looked at, the earliest first.
        """
        low, high = score if isinstance(score, tuple) else (score, score)
        edges = (score_text(_seconds(low)), score_text(_seconds(high)))
        command = ("ZRANGEBYSCORE", self._key, *edges, "WITHSCORES", "LIMIT", 0, limit)
        found = self._entries(members(self._access.redis.call(*command)))
        return [entry for entry in found if jid in {None, entry.jid}]

    def get(self, id: str) -> SortedEntry | None:  # noqa: A002 - as the entry calls it
        """The job with this ``SortedEntry.id``; see `get_each`."""
        return next(iter(self.get_each([id])), None)

    def get_each(self, ids: Sequence[str]) -> list[SortedEntry]:
        """Those of the jobs with these ``SortedEntry.id``, ``SCORE|KEY``, that are there.

        O(log n) and the number of jobs with their scores, by pages.
        """
        wanted: dict[float, set[str]] = {}
        for each in ids:
            score, _, key = each.partition("|")
            with contextlib.suppress(ValueError):  # no score, so no id of a job
                wanted.setdefault(float(score), set()).add(key)
        return [
            entry
            for score, keys in wanted.items()
            if not math.isnan(score)
            for entry in self._at(score, keys)
        ]

    def _at(self, score: float, keys: set[str]) -> list[SortedEntry]:
        # Most do not even hold a key, and need not be decoded to see that.
        marks = [(Filter(jid=key).pattern or "").strip("*").encode() for key in keys]
        found: dict[str, SortedEntry] = {}
        for page in at_score(self._access.redis, self._key, score):
            for entry in self._entries([e for e in page if any(mark in e.raw for mark in marks)]):
                if entry.key in keys:
                    found.setdefault(entry.key, entry)
            if len(found) == len(keys):
                break
        return list(found.values())

    def find(self, key: str) -> SortedEntry | None:
        """The job with this jid, or `JobRecord.key`; O(n), by pages, since sets have no index."""
        return next(self.scan(Filter(jid=key)), None)

    # Acting on all; each is O(n) by pages, atomic for each job, and may be run again

    def clear(self) -> int:
        """Forget all jobs; how many there were."""
        size, _ = self._access.atomically(("ZCARD", self._key), ("UNLINK", self._key))
        return number(size)

    def purge(self) -> int:
        """Forget all jobs, but keep them for a day, in which `Trash` can put them back; O(1).

        Their memory is not freed before.
        """
        return self._moves.purge(self.name)

    def delete_all(self, wanted: Filter = EVERYTHING, *, progress: Progress | None = None) -> Tally:
        """Forget every job that matches."""

        def act(page: Sequence[SortedEntry], _: int) -> tuple[int, int, str]:
            return self._moves.delete(self.name, _raws(page)), 0, ""

        return for_all(self._access, self.name, wanted, act, progress)

    def retry_all(self, wanted: Filter = EVERYTHING, *, progress: Progress | None = None) -> Tally:
        """Have every job that matches run now, as a further try.

        What is no job stays, and counts as refused.
        """
        return self._enqueue_all(Again(self._access, is_retry=True), wanted, progress)

    def add_all_to_queue(
        self, wanted: Filter = EVERYTHING, *, progress: Progress | None = None
    ) -> Tally:
        """Have every job that matches run now; what is no job stays, and counts as refused."""
        return self._enqueue_all(Again(self._access), wanted, progress)

    def kill_all(
        self,
        wanted: Filter = EVERYTHING,
        *,
        notify: bool = False,
        progress: Progress | None = None,
    ) -> Tally:
        """Move every job that matches to the dead set, which keeps its limits.

        Args:
            wanted: which jobs.
            notify: whether the app's death handlers hear of each, in this process.
            progress: called after each page.

        Raises:
            CannotAct: they are dead.
        """

        def act(page: Sequence[SortedEntry], _: int) -> tuple[int, int, str]:
            return self._moves.kill(self.name, _raws(page), notify=notify), 0, ""

        return for_all(self._access, self.name, wanted, act, progress)

    def reschedule_all(
        self,
        when: float | timedelta | datetime,
        wanted: Filter = EVERYTHING,
        *,
        progress: Progress | None = None,
    ) -> Tally:
        """Have every job that matches due at another time; see `SortedEntry.reschedule`.

        Raises:
            CannotAct: they are dead.
            InvalidJob: it is no time.
        """

        def act(page: Sequence[SortedEntry], _: int) -> tuple[int, int, str]:
            return self._moves.reschedule(self.name, _raws(page), when), 0, ""

        return for_all(self._access, self.name, wanted, act, progress)

    def _enqueue_all(self, again: Again, wanted: Filter, progress: Progress | None) -> Tally:
        def act(page: Sequence[SortedEntry], now_ms: int) -> tuple[int, int, str]:
            promotions: list[Promotion] = []
            refused, reason = 0, ""
            for entry in page:
                try:
                    promotions.append(again.promotion(entry.raw, now_ms))
                except CannotAct as error:
                    refused, reason = refused + 1, str(error)
            moved = self._moves.enqueue(self.name, promotions)
            return moved.jobs, refused, moved.refused or reason

        return for_all(self._access, self.name, wanted, act, progress)

    def _entries(self, found: Sequence[Member]) -> list[SortedEntry]:
        return [SortedEntry(raw, score, self.name, access=self._access) for raw, score in found]


class ScheduledSet(JobSet):
    """The jobs that wait for their time."""

    name: ClassVar[SetName] = "schedule"


class RetrySet(JobSet):
    """The jobs that failed and wait for their next try."""

    name: ClassVar[SetName] = "retry"


class DeadSet(JobSet):
    """The jobs that will not be tried again, unless somebody says so; the newest first."""

    name: ClassVar[SetName] = "dead"
    _is_reverse: ClassVar[bool] = True


def set_of(name: SetName, *, access: Access | None = None) -> JobSet:
    """The set of a name."""
    kinds: dict[SetName, type[JobSet]] = {
        "schedule": ScheduledSet,
        "retry": RetrySet,
        "dead": DeadSet,
    }
    return kinds[name](access=access)


def _raws(page: Sequence[SortedEntry]) -> list[bytes]:
    return [entry.raw for entry in page]


def _seconds(score: Score) -> float:
    if isinstance(score, datetime):
        if score.utcoffset() is None:
            raise ValueError(f"{score!r} has no time zone: pass score.astimezone()")
        return score.timestamp()
    return score
