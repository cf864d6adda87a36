"""One act for every job of a set that a filter means, in constant memory.

The set is gone through by ZSCAN, so that every job that stays in it is seen, and each page is one
script: a job is moved whole or not at all, whenever this is killed. Run it again to go on.

Jobs that came after the start are left alone, or retries that fail again at once would keep it
going for ever: a job counts as new if it was queued (or, if it never was, made) between the start
and now, by the server's clock.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from jobd.api.access import Access, server_ms
from jobd.api.filter import Filter
from jobd.api.moves import set_key
from jobd.api.records import SetName, SortedEntry
from jobd.api.replies import number
from jobd.api.walk import Member, members
from jobd.errors import RedisError
from jobd.payload import to_ms

_PAGE: Final = 200
_FIRST_PAGE: Final = 1
_PAGE_BYTES: Final = 2_000_000
"""About what a page may weigh: entries of 1 MB are read a few at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How far an act on many jobs has come, or what it did.

    Attributes:
        total: how many the set held at the start.
        seen: how many of them were looked at; some twice, if the set changed meanwhile.
        matched: how many the filter meant.
        done: for how many it was done.
        refused: for how many it could not be done; the others were gone when it was.
        reason: why, of the last one refused.
    """

    total: int = 0
    seen: int = 0
    matched: int = 0
    done: int = 0
    refused: int = 0
    reason: str = ""


Progress: TypeAlias = Callable[[Tally], object]
"""Called after each page, at most some hundred jobs."""


Act: TypeAlias = Callable[[Sequence[SortedEntry], int], tuple[int, int, str]]
"""Does something to at most a page of jobs, given the server's clock in milliseconds.

Returns for how many it was done, how many were refused, and why.
"""


def for_all(
    access: Access, place: SetName, wanted: Filter, act: Act, progress: Progress | None
) -> Tally:
    """Do something for every job of a set that a filter means; O(n) in the set's size, by pages.

    Raises:
        RedisError: with a note of how many were done before.
    """
    key = set_key(access.keys, place)
    size, time = access.redis.pipeline([("ZCARD", key), ("TIME",)])
    started_ms = server_ms(time)
    tally = Tally(total=number(size))
    try:
        for page, now_ms in _pages(access, key, wanted.pattern):
            entries = [SortedEntry(raw, score, place, access=access) for raw, score in page]
            meant = [
                entry
                for entry in entries
                if wanted.matches(entry) and not _is_new(entry, started_ms, now_ms)
            ]
            tally = _added(tally, len(page), meant, act, now_ms)
            if progress is not None:
                progress(tally)
    except RedisError as error:
        error.add_note(f"{tally.done} jobs were done before; run it again to go on")
        raise
    return tally


def _added(tally: Tally, seen: int, meant: Sequence[SortedEntry], act: Act, now_ms: int) -> Tally:
    done, refused, reason = act(meant, now_ms) if meant else (0, 0, "")
    return replace(
        tally,
        seen=tally.seen + seen,
        matched=tally.matched + len(meant),
        done=tally.done + done,
        refused=tally.refused + refused,
        reason=reason or tally.reason,
    )


def _is_new(entry: SortedEntry, started_ms: int, now_ms: int) -> bool:
    since_ms = to_ms(entry["enqueued_at"])
    since_ms = to_ms(entry["created_at"]) if since_ms is None else since_ms
    # Not everything later than the start: a host whose clock is fast makes jobs of the future.
    return since_ms is not None and started_ms <= since_ms <= now_ms


def _pages(access: Access, key: str, pattern: str | None) -> Iterator[tuple[list[Member], int]]:
    for page, now_ms in scan(access, key, pattern):
        # The server may return more than it was asked for.
        for first in range(0, len(page), _PAGE):
            yield page[first : first + _PAGE], now_ms


def scan(
    access: Access, key: str, pattern: str | None = None
) -> Iterator[tuple[list[Member], int]]:
    """The members of a set in no order, and the server's clock in milliseconds with each page.

    What is in the set throughout is there at least once. A page may be empty.
    """
    cursor: bytes = b"0"
    count = _FIRST_PAGE
    match = () if pattern is None else ("MATCH", pattern)
    while True:
        command = ("ZSCAN", key, cursor, *match, "COUNT", count)
        (cursor, found), time = access.redis.pipeline([command, ("TIME",)])
        page = members(found)
        yield page, server_ms(time)
        if cursor == b"0":
            return
        count = _next_count(count, sum(len(raw) for raw, _ in page))


def _next_count(count: int, weight: int) -> int:
    if weight > _PAGE_BYTES:
        return max(count * _PAGE_BYTES // weight, 1)
    return min(2 * count, _PAGE)
