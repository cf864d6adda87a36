"""Going through a queue or a set by pages while others write to it.

A position alone would skip jobs whenever one before it leaves. So each page is found from the last
jobs of the pages before it: what was there throughout is always seen. What comes or moves meanwhile
may be seen, once or more often, or not.

Memory is that of a few pages, whatever the size.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from jobd.api.access import Redis
from jobd.api.replies import number

PAGE: Final = 100
_ANCHORS: Final = 2 * PAGE


class Stretch(NamedTuple):
    """Jobs of a queue that stand side by side.

    Attributes:
        near: the position of the first, counted from the job that runs next, which is 0.
        raws: in the order in which they will run.
    """

    near: int
    raws: list[bytes]


def queue_page(redis: Redis, key: str, near: int, size: int) -> list[bytes]:
    """Jobs of a queue from a position on, in the order in which they will run.

    O(n) in the distance from the nearer end.
    """
    found: list[bytes] = redis.call("LRANGE", key, -near - size, -1 - near)
    found.reverse()
    return found


def through_queue(redis: Redis, key: str, size: int = PAGE) -> Iterator[Stretch]:
    """The jobs of a queue, those that run next first; as many as it held at the start."""
    left = number(redis.call("LLEN", key))
    near, last = 0, _NOTHING
    while left > 0:
        page = _next_page(redis, key, near, size, last)
        if not page.raws:
            return
        yield page
        left -= len(page.raws)
        near, last = page.near + len(page.raws), page.raws


_NOTHING: Final[list[bytes]] = []


def _next_page(redis: Redis, key: str, near: int, size: int, last: list[bytes]) -> Stretch:
    """What comes after the last page, which since may have moved to either side, or lost jobs."""
    start = near
    while True:
        # The page before it is read again, to see by its jobs how far everything has moved.
        first = max(start - size, 0)
        window = queue_page(redis, key, first, 2 * size + (start - first))
        after = _after(window, last, near - 1 - first)
        if after is not None:
            return _cut(redis, key, first, window, after, size)
        if first == 0:
            return Stretch(0, window[:size])
        start = first


def _after(window: list[bytes], last: list[bytes], expected: int) -> int | None:
    """The index in the window after the deepest job of the last page that is in it."""
    known = set(window)
    for anchor in reversed(last):
        if anchor in known:
            places = [index for index, raw in enumerate(window) if raw == anchor]
            # Jobs of the same bytes: the one that stands where it should be.
            return min(places, key=lambda index: abs(index - expected)) + 1
    return None


def _cut(redis: Redis, key: str, first: int, window: list[bytes], after: int, size: int) -> Stretch:
    raws = window[after : after + size]
    if not raws:
        raws = queue_page(redis, key, first + after, size)
    return Stretch(first + after, raws)


class Member(NamedTuple):
    """A job of a sorted set."""

    raw: bytes
    score: float


def members(reply: Sequence[bytes]) -> list[Member]:
    """The members of a reply WITHSCORES."""
    return [Member(raw, float(score)) for raw, score in zip(reply[::2], reply[1::2], strict=True)]


def set_page(redis: Redis, key: str, first: int, size: int, *, is_reverse: bool) -> list[Member]:
    """Jobs of a set from a rank on; O(log n)."""
    command = "ZREVRANGE" if is_reverse else "ZRANGE"
    return members(redis.call(command, key, first, first + size - 1, "WITHSCORES"))


def through_set(
    redis: Redis, key: str, *, is_reverse: bool, size: int = PAGE
) -> Iterator[list[Member]]:
    """The jobs of a set by score, up to the last score that was there at the start."""
    last = set_page(redis, key, 0, 1, is_reverse=not is_reverse)
    anchors: deque[Member] = deque(maxlen=_ANCHORS)
    rank = 0
    while last:
        found = set_page(redis, key, rank, size, is_reverse=is_reverse)
        page = [each for each in found if not _is_past(each.score, last[0].score, is_reverse)]
        if page:
            yield page
        if not found or len(page) < len(found):
            return
        anchors.extend(page)
        rank = _rank_after(redis, key, anchors, is_reverse=is_reverse)


def _is_past(score: float, last: float, is_reverse: bool) -> bool:  # noqa: FBT001 - of this file
    return score < last if is_reverse else score > last


def _rank_after(redis: Redis, key: str, anchors: Sequence[Member], *, is_reverse: bool) -> int:
    """The rank after the last job that was seen and is still there with its score."""
    command = "ZREVRANK" if is_reverse else "ZRANK"
    latest = anchors[-1]
    rank, score = redis.pipeline([(command, key, latest.raw), ("ZSCORE", key, latest.raw)])
    if rank is not None and float(score) == latest.score:
        return int(rank) + 1
    asked = [(name, key, each.raw) for each in anchors for name in (command, "ZSCORE")]
    replies = redis.pipeline(asked)
    ranks = [
        int(rank) + 1
        for each, rank, score in zip(anchors, replies[::2], replies[1::2], strict=True)
        if rank is not None and float(score) == each.score
    ]
    if ranks:
        return ranks[-1]
    # All are gone: behind everything that comes before the last one's score.
    edges = (f"({latest.score!r}", "+inf") if is_reverse else ("-inf", f"({latest.score!r}")
    return int(redis.call("ZCOUNT", key, *edges))
