"""The search line: words such as ``class:MoodSenderJob error:"timed out"``, and a bounded look.

A search never reads a whole set at once: it goes through it in order for a few hundredths of a
second, and says where it stopped, so that it can go on from there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from jobd.api import Filter, JobSet, SortedEntry
from jobd.clock import Clock
from jobd.web.arg_path import ArgPath, read_path
from jobd.web.redaction import Masks
from jobd.web.sight import Sight

KEYS: Final = ("class", "jid", "queue", "tag", "error", "arg", "after", "before")
BUDGET_S: Final = 0.05
_STEP: Final = 500
_WORD: Final = re.compile(
    # A path's brackets may hold what would end a word; they are never looked at twice.
    r'(?:(?:arg(?P<path>(?=[.\[])(?:\[[^\]"]*\]|[^\s:"])++)|(?P<key>[a-z]+)):)?'
    r'(?:"(?P<quoted>[^"]*)"|(?P<plain>\S+))'
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a word of a search line was left out.

    Attributes:
        kind: ``date``: it is none; ``twice``: the same was asked for before it; ``path``: it leads
            nowhere.
        word: as it was typed.
    """

    kind: Literal["date", "twice", "path"]
    word: str


@dataclass(frozen=True, slots=True)
class Search:
    """What a search line means.

    Attributes:
        text: the line as it was typed.
        filter: the jobs that are meant.
        problem: with its first word that was left out; None if it was read whole.
    """

    text: str
    filter: Sight
    problem: Problem | None = None

    @property
    def is_empty(self) -> bool:
        """Every job is meant."""
        return self.filter == Sight(masks=self.filter.masks)


@dataclass(frozen=True, slots=True)
class Found:
    """What a look has found.

    Attributes:
        entries: in the set's own order.
        seen: how many were looked at.
        next_rank: where to go on; None if all were looked at.
    """

    entries: list[SortedEntry]
    seen: int
    next_rank: int | None


@dataclass(slots=True)
class _Words:
    """What a search line has: words with a key, those without, paths, and what is left out."""

    keyed: dict[str, str] = field(default_factory=dict[str, str])
    anywhere: list[str] = field(default_factory=list[str])
    paths: list[ArgPath] = field(default_factory=list[ArgPath])
    problems: list[Problem] = field(default_factory=list[Problem])


def parse(text: str, masks: Masks) -> Search:
    """Read a search line; words without a key are looked for anywhere in a job."""
    words = _read(text)
    found = words.keyed
    moments: dict[str, datetime | None] = {}
    for key in ("after", "before"):
        moments[key] = _moment(found.get(key, ""))
        if key in found and moments[key] is None:
            words.problems.append(Problem("date", found[key]))
    wanted = Sight(
        class_name=found.get("class"),
        jid=found.get("jid"),
        queue=found.get("queue"),
        tag=found.get("tag"),
        error=found.get("error"),
        # The longest sorts out most on the server.
        text=max([*words.anywhere, *filter(None, [found.get("arg")])], key=len, default=None),
        before=moments["before"],
        after=moments["after"],
        words=tuple(words.anywhere),
        arg=found.get("arg"),
        paths=tuple(words.paths),
        masks=masks,
    )
    return Search(text, wanted, words.problems[0] if words.problems else None)


def _read(text: str) -> _Words:
    words = _Words()
    for match in _WORD.finditer(text):
        value = match["plain"] if match["quoted"] is None else match["quoted"]
        key = match["key"]
        if match["path"]:
            path = read_path(match["path"], value)
            if path is None:
                words.problems.append(Problem("path", match[0]))
            else:
                words.paths.append(path)
        elif key in words.keyed:
            words.problems.append(Problem("twice", match[0]))
        elif key in KEYS:
            words.keyed[key] = value
        elif value or key:
            words.anywhere.append(match[0].strip('"') if key else value)
    return words


def word(key: str, value: str) -> str:
    """A word of a search line; what quotes it cannot stand inside."""
    plain = value.replace('"', "")
    return f'{key}:"{plain}"' if re.search(r"[\s\"]", value) or not plain else f"{key}:{plain}"


def look(
    jobs: JobSet, wanted: Filter, *, start: int, most: int, clock: Clock, budget_s: float = BUDGET_S
) -> Found:
    """Go through a set from a rank on, until the page is full or the time is up."""
    entries: list[SortedEntry] = []
    seen = 0
    needle = (wanted.pattern or "").strip("*").encode()
    for rank, entry in walk(jobs, start, clock, budget_s):
        if entry is None:
            return Found(entries, seen, rank)
        seen += 1
        # Most do not even hold the word, and need not be decoded to see that.
        if needle in entry.raw and wanted.matches(entry):
            entries.append(entry)
            if len(entries) == most:
                return Found(entries, seen, rank + 1)
    return Found(entries, seen, None)


def walk(
    jobs: JobSet, start: int, clock: Clock, budget_s: float
) -> Iterator[tuple[int, SortedEntry | None]]:
    """Ranks and entries of a set in its order, and then, if the time was up, a rank and None."""
    ends_at = clock.monotonic() + budget_s
    rank = start - start % _STEP
    step = _STEP
    while True:
        page = jobs.page(rank // step + 1, step)
        for position, entry in enumerate(page, rank):
            if position >= start:
                yield position, entry
        if len(page) < step:
            return
        rank += step
        if clock.monotonic() >= ends_at:
            yield rank, None
            return


def _moment(text: str) -> datetime | None:
    """A date, or a date and a time; in UTC unless it says otherwise."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
