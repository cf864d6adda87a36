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
_NEWEST: Final = 10


class Stretch(NamedTuple):
    """Jobs of a queue that stand side by side.

    Attributes:
        near: the position of the first, counted from the job that runs next, which is 0.
        raws: in the order in which they will run.
    """

    near: int
    raws: list[bytes]


def queue_page(redis: Redis, key: str | bytes, near: int, size: int) -> list[bytes]:
    """Jobs of a queue from a position on, in the order in which they will run.

    O(n) in the distance from the nearer end.
    """
    found: list[bytes] = redis.call("LRANGE", key, -near - size, -1 - near)
    found.reverse()
    return found


def through_queue(redis: Redis, key: str | bytes, size: int = PAGE) -> Iterator[Stretch]:
    """The jobs of a queue, those that run next first; some more than it held at the start at most.

    Whoever is given a page may take its jobs out, or any others.
    """
    size_now, newest = redis.pipeline([("LLEN", key), ("LRANGE", key, 0, _NEWEST - 1)])
    left, near = number(size_now), 0
    both = queue_page(redis, key, near, 2 * size)
    while left > 0 and both:
        page, ahead = both[:size], both[size:]
        yield Stretch(near, page)
        left -= len(page)
        if not ahead:
            return
        near, both = _behind(redis, key, near, page, ahead)
        if near == 0:
            # From the end again, where others may have come to stand meanwhile.
            left = _left(redis, key, newest)


def _left(redis: Redis, key: str | bytes, newest: list[bytes]) -> int:
    """How many jobs stand before the newest of the start, itself included; 0 if all have run."""
    replies = redis.pipeline([("LLEN", key), *(("LPOS", key, raw) for raw in newest)])
    places = [int(place) for place in replies[1:] if place is not None]
    return number(replies[0]) - min(places) if places else 0


def _behind(
    redis: Redis, key: str | bytes, near: int, page: list[bytes], ahead: list[bytes]
) -> Stretch:
    """Two pages from behind the one that was given from ``near`` on, wherever that is now.

    The jobs behind it tell, since those of the page may have been taken out. If none of either is
    found, they have run, and so has all before them.
    """
    size, expected = len(page), near + len(page)
    first = max(expected - size, 0)
    while True:
        window = queue_page(redis, key, first, 3 * size)
        place = _place(page, ahead, window, expected - first, is_whole=first == 0)
        if place is not None and place <= size:
            return Stretch(first + place, window[place : place + 2 * size])
        if place is not None:
            return Stretch(first + place, queue_page(redis, key, first + place, 2 * size))
        first = max(first - 2 * size, 0)


def _place(
    page: list[bytes], ahead: list[bytes], window: list[bytes], expected: int, *, is_whole: bool
) -> int | None:
    """Where in the window it goes on; None if that cannot be told from this window."""
    found = _place_of(ahead, window, expected)
    # One that was not the first of those ahead: the first may stand before the window.
    if found is not None and (found[0] >= found[1] or is_whole):
        return found[0]
    found = _place_of(page[::-1], window, expected) if found is None else None
    if found is not None:
        return found[0] + 1
    return 0 if is_whole else None


def _place_of(wanted: list[bytes], window: list[bytes], expected: int) -> tuple[int, int] | None:
    """Where the first of these jobs that is there stands, and which of them it is."""
    places: dict[bytes, list[int]] = {}
    for place, raw in enumerate(window):
        places.setdefault(raw, []).append(place)
    found = [(which, raw) for which, raw in enumerate(wanted) if raw in places]
    if not found:
        return None
    # Jobs of the same bytes tell less: they come last, and the nearest counts.
    which, raw = min(found, key=lambda each: len(places[each[1]]) > 1)
    return min(places[raw], key=lambda place: abs(place - expected)), which


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
    """The jobs of a set by score, up to the last score that was there at the start.

    It ends even if whoever is given a page puts its jobs back further on, again and again.
    """
    left = 2 * number(redis.call("ZCARD", key))
    last = set_page(redis, key, 0, 1, is_reverse=not is_reverse)
    if last:
        first = set_page(redis, key, 0, size, is_reverse=is_reverse)
        yield from _on_to(redis, key, first, last[0].score, left, is_reverse=is_reverse)


def at_score(redis: Redis, key: str, score: float, size: int = 1_000) -> Iterator[list[Member]]:
    """The jobs of a set with this score; O(log n) and the size of a page for each page."""
    edges = (repr(score), repr(score))
    page = ("ZRANGEBYSCORE", key, *edges, "WITHSCORES", "LIMIT", 0, size)
    there, first = redis.pipeline([("ZCOUNT", key, *edges), page])
    yield from _on_to(redis, key, members(first), score, 2 * number(there), is_reverse=False)


def _on_to(
    redis: Redis, key: str, found: list[Member], last: float, left: int, *, is_reverse: bool
) -> Iterator[list[Member]]:
    """A page and those behind it, up to a score and to as many jobs as are left."""
    anchors: deque[Member] = deque(maxlen=_ANCHORS)
    size = len(found)
    while found and left > 0:
        page = [each for each in found if not _is_past(each.score, last, is_reverse=is_reverse)]
        left -= len(page)
        if page:
            yield page
        if len(page) < len(found):
            return
        anchors.extend(page)
        rank = _rank_after(redis, key, anchors, is_reverse=is_reverse)
        found = set_page(redis, key, rank, size, is_reverse=is_reverse)


def _is_past(score: float, last: float, *, is_reverse: bool) -> bool:
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
