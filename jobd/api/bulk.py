"""One act for every job of a set that a filter means, in constant memory.

The set is gone through by ZSCAN, so that every job that stays in it is seen, and each page is one
script: a job is moved whole or not at all, whenever this is killed. Run it again to go on.

Jobs that came after the start are left alone, or retries that fail again at once would keep it
going for ever: a job counts as new if it was queued (or, if it never was, made) between the start
and now, by the server's clock.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

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
        seen: about how many of them were looked at so far; all of them in the end.
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


class Scanned(NamedTuple):
    """A page of a set.

    Attributes:
        looked_at: about how many members the server looked at for it.
        now_ms: the server's clock.
    """

    members: list[Member]
    looked_at: int
    now_ms: int


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
        for page, looked_at, page_ms in _pages(access, key, wanted.pattern):
            # What is queued in the millisecond of the start must be told from what was there.
            now_ms = max(page_ms, started_ms + 1)
            entries = [SortedEntry(raw, score, place, access=access) for raw, score in page]
            meant = [
                entry
                for entry in entries
                if wanted.matches(entry) and not _is_new(entry, started_ms, now_ms)
            ]
            tally = _added(tally, looked_at, meant, act, now_ms)
            if progress is not None:
                progress(tally)
    except RedisError as error:
        error.add_note(f"{tally.done} jobs were done before; run it again to go on")
        raise
    return replace(tally, seen=tally.total)


def _added(tally: Tally, seen: int, meant: Sequence[SortedEntry], act: Act, now_ms: int) -> Tally:
    done, refused, reason = act(meant, now_ms) if meant else (0, 0, "")
    return replace(
        tally,
        seen=min(tally.seen + seen, tally.total),
        matched=tally.matched + len(meant),
        done=tally.done + done,
        refused=tally.refused + refused,
        reason=reason or tally.reason,
    )


def _is_new(entry: SortedEntry, started_ms: int, now_ms: int) -> bool:
    since_ms = to_ms(entry["enqueued_at"])
    since_ms = to_ms(entry["created_at"]) if since_ms is None else since_ms
    # Not everything later than the start: a host whose clock is fast makes jobs of the future.
    return since_ms is not None and started_ms < since_ms <= now_ms


def _pages(access: Access, key: str, pattern: str | None) -> Iterator[Scanned]:
    for page, looked_at, now_ms in scan(access, key, pattern):
        parts = _parts(page)
        for part in parts:
            yield Scanned(part, looked_at // len(parts), now_ms)


def _parts(page: list[Member]) -> list[list[Member]]:
    """The same in parts of a bearable size: the server may return more than it was asked for."""
    parts: list[list[Member]] = [[]]
    weight = 0
    for member in page:
        weight += len(member.raw)
        if parts[-1] and (weight > _PAGE_BYTES or len(parts[-1]) == _PAGE):
            parts.append([])
            weight = len(member.raw)
        parts[-1].append(member)
    return parts


def scan(access: Access, key: str, pattern: str | None = None) -> Iterator[Scanned]:
    """The members of a set in no order, by pages, of which some may be empty.

    What is in the set throughout is there at least once.
    """
    cursor: bytes = b"0"
    count = _FIRST_PAGE
    match = () if pattern is None else ("MATCH", pattern)
    while True:
        command = ("ZSCAN", key, cursor, *match, "COUNT", count)
        (cursor, found), time = access.redis.pipeline([command, ("TIME",)])
        page = members(found)
        yield Scanned(page, max(count, len(page)), server_ms(time))
        if cursor == b"0":
            return
        count = _next_count(count, sum(len(raw) for raw, _ in page))


def _next_count(count: int, weight: int) -> int:
    if weight > _PAGE_BYTES:
        return max(count * _PAGE_BYTES // weight, 1)
    return min(2 * count, _PAGE)
