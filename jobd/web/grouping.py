"""Failed jobs by what went wrong: many jobs, few causes.

Two errors are one cause if they have the same class and the same message but for numbers, quoted
words and the like. A grouping looks at as many jobs as a few hundredths of a second allow.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from jobd.api import JobSet, SortedEntry
from jobd.clock import Clock
from jobd.web.inert import cut
from jobd.web.search import BUDGET_S, Search, walk, word

_VARYING: Final = re.compile(
    r"""0x[0-9a-f]+ | [0-9a-f]{8,} | \d+ | "[^"]*" | '[^']*' | <[^<>]*>""", re.VERBOSE
)
_LONGEST: Final = 300
_MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """Jobs that failed of the same.

    Attributes:
        message: of the first job that was seen.
        search: the search line that finds jobs of this class and error.
        first: when the first of them is due, or died.
        last: when the last is, or did.
    """

    class_name: str
    error_class: str
    message: str
    count: int
    search: str
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class Groups:
    """What a grouping has found: the largest first.

    Attributes:
        more: how many groups there are besides.
        seen: how many jobs were looked at.
        next_rank: where it goes on; None if all were looked at.
    """

    groups: list[ErrorGroup]
    more: int
    seen: int
    next_rank: int | None


class _Kept:
    """A group in the making."""

    __slots__ = ("count", "entry", "first", "last")

    def __init__(self, entry: SortedEntry) -> None:
        self.entry = entry
        self.count = 0
        self.first = self.last = entry.score

    def add(self, score: float) -> None:
        self.count += 1
        self.first = min(self.first, score)
        self.last = max(self.last, score)


def group_by_error(jobs: JobSet, search: Search, *, start: int, clock: Clock) -> Groups:
    """Go through a set from a rank on until the time is up."""
    kept: dict[tuple[str, str, str], _Kept] = {}
    seen = 0
    next_rank: int | None = None
    for rank, entry in walk(jobs, start, clock, BUDGET_S):
        if entry is None:
            next_rank = rank
            break
        seen += 1
        if search.is_empty or search.filter.matches(entry):
            cause = (entry.display_class, entry.error_class, fingerprint(entry.error_message))
            if cause not in kept:
                kept[cause] = _Kept(entry)
            kept[cause].add(entry.score)
    groups = sorted(kept.values(), key=lambda group: -group.count)
    shown = [_group(each, jobs) for each in groups[:_MOST]]
    return Groups(shown, len(groups) - len(shown), seen, next_rank)


def fingerprint(message: str) -> str:
    """The message without what differs from job to job."""
    return _VARYING.sub("*", message[:_LONGEST].lower())


def _group(kept: _Kept, jobs: JobSet) -> ErrorGroup:
    entry = kept.entry
    name, error = entry.display_class, entry.error_class
    # A part of either finds it, too: an address has no room for more.
    name = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}*"
    words = [word("class", name)] if name else []
    if error:
        words.append(word("error", error[:_LONGEST]))
    edges = [SortedEntry(b"", score, jobs.name).at for score in (kept.first, kept.last)]
    return ErrorGroup(
        class_name=cut(entry.display_class, 200),
        error_class=cut(entry.error_class, 200),
        message=cut(entry.error_message, _LONGEST),
        count=kept.count,
        search=" ".join(words),
        first=edges[0],
        last=edges[1],
    )
