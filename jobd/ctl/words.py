"""Counts, times and ages as words; and text from Redis that cannot move a terminal's cursor."""

import difflib
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime


def count_of(number: int, one: str, many: str = "") -> str:
    """``1 job``, ``1,234 jobs``.

    Args:
        number: how many.
        one: the word for one of them.
        many: the word for more, if it is not ``one`` with an s.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def utc(moment: datetime | None) -> str:
    """``2026-12-24T18:00:00Z``; empty if there is none."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """``3 d``, ``5 min``, ``4.6 s``, in the unit of which there are two at least."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds else "0 s"


def since(moment: datetime, now: datetime) -> str:
    """``5 min ago``, ``in 5 min``."""
    seconds = (now - moment).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def safe(text: str) -> str:
    """The text with a sign in place of each character that is not to be seen."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def width_of(text: str) -> int:
    """How many cells of a terminal it takes: two for a letter of East Asia, none for an accent."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def cut(text: str, width: int) -> str:
    """The text, or its beginning and three dots, in at most this many cells; safe to print."""
    # A payload may have megabytes, and no cell has more than one letter and a few accents.
    short = safe(text[: 4 * width + 4])
    if width_of(short) <= width and len(text) <= len(short):
        return short
    room = width - 3
    kept = ""
    for letter in short:
        room -= _width(letter)
        if room < 0:
            break
        kept += letter
    return f"{kept}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean default?``, or nothing if no known word is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {safe(near[0])}?" if near else ""


def _width(letter: str) -> int:
    if unicodedata.category(letter) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1
