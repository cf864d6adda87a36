"""The acts of an operator: every change of where a job lies, each one atomic on the server.

Jobs are taken by the exact bytes that were read, and whatever follows is done only for those that
were still there: of two who act on one entry one wins, and the job is never in two places or none.
What goes on is encoded here, never in Lua, whose JSON breaks large integers and empty lists.

What the server itself does to a job is in `jobd.store`. Client middleware does not run again when a
job goes back to its queue, as it does not when a poller promotes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from secrets import token_hex
from typing import Any, Final, NamedTuple

from jobd.api.access import Access
from jobd.api.replies import fields, name as name_of, raw as raw_of
from jobd.config import client_dead_limits
from jobd.errors import CannotAct, JobKilled, MalformedPayload
from jobd.keys import Keys
from jobd.payload import check_values, decode, encode, resolve_at, timestamp
from jobd.store import PURGED_FOR_S, Promotion, Script, Store

_PROMOTE: Final = Script("promote")
_KILL: Final = Script("kill")
_RESCHEDULE: Final = Script("reschedule")
_MOVE: Final = Script("move")
_MOVE_ALL: Final = Script("move_all")
_PURGE: Final = Script("purge")
_PUT_BACK: Final = Script("put_back")
_STRIKE: Final = Script("strike")
# An hour for the pollers to come before the server.
_KEPT_FOR_S: Final = PURGED_FOR_S + 3_600
_STEP: Final = 500


class Moved(NamedTuple):
    """What became of jobs that were to be queued.

    Attributes:
        jobs: how many were still there and went to their queues.
        refused: why a queue refused its job (its key is no list), which then stays; or empty.
    """

    jobs: int
    refused: str


class Purge(NamedTuple):
    """One purge.

    Attributes:
        id: nobody else's.
        place: ``queue``, ``schedule``, ``retry`` or ``dead``.
        queue: its name; empty of a set.
    """

    id: str
    place: str
    queue: str = ""

    @classmethod
    def parse(cls, member: bytes) -> "Purge":
        """Of its name in trash."""
        purge, place, queue = [*name_of(member).split(":", 2), "", ""][:3]
        return cls(purge, place, queue)

    @property
    def member(self) -> bytes:
        """Its name in trash."""
        return raw_of(":".join((self.id, self.place, *map(name_of, self.of_queue))))

    @property
    def of_queue(self) -> tuple[bytes, ...]:
        """The name of the queue, if it is one."""
        return (raw_of(self.queue),) if self.place == "queue" else ()


def score_text(score: float) -> str:
    """The shortest decimal of the double, as Sidekiq writes scores."""
    return repr(float(score)).removesuffix(".0")


def set_key(keys: Keys, place: str) -> str:
    """The key of one of the three sets."""
    return {"schedule": keys.schedule, "retry": keys.retry, "dead": keys.dead}[place]


@dataclass(frozen=True, slots=True)
class Again:
    """How jobs of a set are queued again.

    Attributes:
        is_retry: whether the try that comes does not count.
        args: instead of the job's own.
    """

    access: Access
    is_retry: bool = False
    args: Sequence[Any] | None = None

    def promotion(self, raw: bytes, now_ms: int) -> Promotion:
        """Where and how a job goes on; keys that nobody knows are kept.

        Raises:
            CannotAct: it is no job, with the reason.
        """
        try:
            payload = decode(raw)  # not what the record shows, which is anybody's to change
        except MalformedPayload as error:
            raise CannotAct(f"this is no job ({error}): delete it or kill it") from error
        # A payload that another client wrote may lack them; Sidekiq fills in the same.
        queue = payload.setdefault("queue", "default")
        payload.setdefault("retry", True)
        if not isinstance(queue, str) or not queue:
            raise CannotAct(f"its queue is {queue!r}, not a name: delete it or kill it")
        payload["enqueued_at"] = timestamp(now_ms, self.access.wire)
        count = payload.get("retry_count")
        if self.is_retry and type(count) is int:
            payload["retry_count"] = count - 1
        if self.args is not None:
            payload["args"] = list(self.args)
            check_values(payload)
        return Promotion(raw, queue, encode(payload))


class Moves:
    """What an operator may do to jobs; the list of methods is all of it.

    Each tells how many of the jobs, or whether the job, was still there.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def enqueue(self, place: str, promotions: Sequence[Promotion]) -> Moved:
        """Queue those that are still in the set."""
        keys = self._access.keys
        queues = [keys.queue(promotion.queue) for promotion in promotions]
        parts = [part for each in promotions for part in (each.held, each.queue, each.raw)]
        names = (set_key(keys, place), keys.queues, *queues)
        count, refused = _PROMOTE.run(self._access.redis, len(names), *names, *parts)
        return Moved(int(count), str(refused, "utf-8", "replace") if refused else "")

    def delete(self, place: str, raws: Sequence[bytes]) -> int:
        """Forget those that are still in the set; how many were."""
        return int(self._access.redis.call("ZREM", set_key(self._access.keys, place), *raws))

    def kill(self, place: str, raws: Sequence[bytes], *, notify: bool) -> int:
        """Move those that are still in the set to the dead set, which is trimmed; how many were."""
        keys = self._access.keys
        if place == "dead":
            raise CannotAct("it is dead already: retry it, or delete it")
        most, timeout_s = self._limits
        names = (set_key(keys, place), keys.dead)
        killed: list[int] = _KILL.run(self._access.redis, 2, *names, timeout_s, most, *raws)
        if notify:
            for index in killed:
                self._report(raws[index - 1])
        return len(killed)

    def reschedule(
        self, place: str, raws: Sequence[bytes], when: float | timedelta | datetime
    ) -> int:
        """Give those that are still in the set another time; how many were."""
        if place == "dead":
            raise CannotAct("it is dead, and so never due: retry it, or delete it")
        now_ms = self._access.now_ms()
        at_s = resolve_at(when, now_ms)
        key = set_key(self._access.keys, place)
        score = score_text(now_ms / 1000 if at_s is None else at_s)
        return int(_RESCHEDULE.run(self._access.redis, 1, key, score, *raws))

    def delete_queued(self, queue: str, raw: bytes) -> bool:
        """Take a job out of its queue; O(n) in the queue's size."""
        return bool(self._access.redis.call("LREM", self._queue(queue), -1, raw))

    def kill_queued(self, queue: str, raw: bytes, *, notify: bool) -> bool:
        """Move a job from its queue to the dead set; O(n) in the queue's size."""
        most, timeout_s = self._limits
        buried = Store(self._access.redis, self._access.keys).bury(
            self._queue(queue),
            raw,
            raw,
            now_s=self._access.now_ms() / 1000,
            max_jobs=most,
            timeout_s=timeout_s,
        )
        if buried and notify:
            self._report(raw)
        return buried

    def move(self, source: str, raw: bytes, target: str, again: bytes) -> bool:
        """Move a job to the back of another queue; O(n) in the size of the queue that holds it."""
        keys = self._access.keys
        names = (self._queue(source), self._queue(target), keys.queues)
        return bool(_MOVE.run(self._access.redis, 3, *names, raw, target, again))

    def strike(self, queue: str, stretch: range, raws: Sequence[bytes]) -> int:
        """Take jobs out of a stretch of a queue; how many were there.

        Args:
            queue: its name.
            stretch: positions, counted from the job that runs next, which is 0.
            raws: what to take out; it is not looked for elsewhere.
        """
        key = self._queue(queue)
        return int(_STRIKE.run(self._access.redis, 1, key, *_marked(stretch), *raws))

    def move_all(
        self, source: str, stretch: range, target: str, jobs: Sequence[tuple[bytes, bytes]]
    ) -> int:
        """Move jobs from a stretch of a queue to the back of another; how many were there.

        Args:
            source: the name of the queue that holds them.
            stretch: positions, counted from the job that runs next, which is 0.
            target: the name of the queue that gets them.
            jobs: each as it is held and as it goes on; it is not looked for elsewhere.
        """
        keys = self._access.keys
        names = (self._queue(source), self._queue(target), keys.queues)
        parts = [part for job in jobs for part in job]
        return int(_MOVE_ALL.run(self._access.redis, 3, *names, *_marked(stretch), target, *parts))

    def purge(self, place: str, queue: str = "") -> int:
        """Set a queue or a set aside for a day; how many jobs it held. O(1), whatever it held.

        The name of a queue goes, too; a pause stays.
        """
        purge = Purge(token_hex(8), place, queue)
        kept, held, trash, queues = self._keys_of(purge)
        names = (held, kept, trash, queues)
        told = (purge.member, *purge.of_queue)
        return int(_PURGE.run(self._access.redis, 4, *names, _KEPT_FOR_S, *told))

    def put_back(self, purge: Purge) -> tuple[int, int]:
        """One step on the way back of what was purged; how many went back, and how many are left.

        All at once if nothing has come to that place since, else 500.
        """
        names = self._keys_of(purge)
        redis, member = self._access.redis, purge.member
        moved, left = _PUT_BACK.run(redis, 4, *names, member, _STEP, *purge.of_queue)
        return int(moved), int(left)

    def forget_purged(self, purge: Purge) -> None:
        """Forget for good what was purged."""
        kept, _, trash, _ = self._keys_of(purge)
        self._access.atomically(("UNLINK", kept), ("ZREM", trash, purge.member))

    def _keys_of(self, purge: Purge) -> tuple[str, bytes, str, str]:
        """Where it is kept, where it lay, trash, queues."""
        keys = self._access.keys
        is_queue = purge.place == "queue"
        place = self._queue(purge.queue) if is_queue else raw_of(set_key(keys, purge.place))
        return keys.purged(purge.id), place, keys.trash, keys.queues

    def _queue(self, name: str) -> bytes:
        return raw_of(self._access.keys.queue(name))

    @cached_property
    def _limits(self) -> tuple[int, float]:
        return self._access.dead_limits or client_dead_limits()

    def _report(self, raw: bytes) -> None:
        payload = fields(raw)
        if payload:
            error = JobKilled(f"{payload['class']} was killed by an operator")
            self._access.hooks.report_death(payload, error)


def _marked(stretch: range) -> tuple[int, int, str]:
    """The stretch as indexes of its list, and what stands there for the rest of one script."""
    return -1 - stretch[-1], -1 - stretch[0], f"jobd:struck:{token_hex(16)}"
