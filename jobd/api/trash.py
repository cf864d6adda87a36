"""What was purged within the last day, and the way back.

A purge renames the list or the set, so that it costs the same whatever waits there, and memory is
freed only when the copy goes: a day later, or when it is deleted here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias, cast, get_args

from jobd.api.access import Access
from jobd.api.bulk import Progress, Tally
from jobd.api.moves import Moves, Purge
from jobd.api.replies import moment, number
from jobd.api.walk import members
from jobd.store import PURGED_FOR_S

PurgedFrom: TypeAlias = Literal["queue", "schedule", "retry", "dead"]

_MOST: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What one purge took away.

    Attributes:
        id: names it.
        place: where the jobs lay.
        queue: its name; empty of a set.
        size: how many jobs there are to be put back.
        at: when it was purged.
        until: when it is gone for good.
    """

    id: str
    place: PurgedFrom
    queue: str
    size: int
    at: datetime
    until: datetime


class Trash:
    """The purges of the last day.

    Args:
        access: the current app's, if None.
    """

    def __init__(self, *, access: Access | None = None) -> None:
        self._access = Access.of() if access is None else access

    def all(self) -> list[Purged]:
        """The last 100 of them, the newest first; two round trips."""
        keys, redis = self._access.keys, self._access.redis
        found = members(redis.call("ZREVRANGE", keys.trash, 0, _MOST - 1, "WITHSCORES"))
        purges = [Purge.parse(each.raw) for each in found]
        asked = [
            ("LLEN" if each.place == "queue" else "ZCARD", keys.purged(each.id)) for each in purges
        ]
        sizes = redis.pipeline(asked) if asked else []
        told = [
            _purged(purge, member.score, number(size))
            for purge, member, size in zip(purges, found, sizes, strict=True)
        ]
        return [each for each in told if each is not None]

    def find(self, id: str) -> Purged | None:  # noqa: A002 - as the purge calls it
        """One of them; None if it is gone for good, or was put back."""
        return next((purged for purged in self.all() if purged.id == id), None)

    def put_back(self, purged: Purged, *, progress: Progress | None = None) -> Tally:
        """Have the jobs wait where they did, before those that have come to their queue since.

        One step if none have; else by pages, each atomic. Killed in its midst, run it again.
        """
        purge = Purge(purged.id, purged.place, purged.queue)
        done, left = 0, purged.size
        while left:
            moved, left = Moves(self._access).put_back(purge)
            done += moved
            if progress is not None:
                progress(Tally(total=done + left, seen=done, matched=done, done=done))
        return Tally(total=done, seen=done, matched=done, done=done)

    def delete(self, purged: Purged) -> None:
        """Forget the jobs for good now, which frees their memory."""
        Moves(self._access).forget_purged(Purge(purged.id, purged.place, purged.queue))


def _purged(purge: Purge, score: float, size: int) -> Purged | None:
    """None of what has expired, or is none of ours."""
    at = moment(score * 1000)
    if not size or at is None or purge.place not in get_args(PurgedFrom):
        return None
    return Purged(
        id=purge.id,
        place=cast("PurgedFrom", purge.place),
        queue=purge.queue,
        size=size,
        at=at,
        until=at + timedelta(seconds=PURGED_FOR_S),
    )
