"""Tables that fit the terminal, however long or strange the texts in them are."""

import shutil
import sys
from collections.abc import Sequence
from typing import Final

import click

from jobd.config import wants_color
from jobd.ctl.words import cut, width_of

_GAP: Final = "  "
_LONGEST: Final = 200
_NARROWEST: Final = 6
_ROOM_TO_READ: Final = 18
_COLORS: Final = {
    "ok": "green",
    "paused": "yellow",
    "quiet": "yellow",
    "warning": "yellow",
    "WRONG": "red",
}
"""Words that stand out, where a cell holds nothing else."""


def terminal_width() -> int | None:
    """Cells in a line of the terminal; None where there is none, and nothing needs to fit."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def painted(word: str) -> str:
    """A word that stands out in its colour, where colours are seen and wanted."""
    color = _COLORS.get(word)
    return click.style(word, fg=color) if color and _is_colored() else word


def _is_colored() -> bool:
    return sys.stdout.isatty() and wants_color()


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None, long: int = 0
) -> str:
    """Rows under their heads.

    A column without a head is left out where it says nothing. Where they do not fit, the last
    ``long`` columns are cut, or if too little of them would be left to read, stand in a line of
    their own under each row.

    Args:
        head: of each column.
        rows: a text for each column; none has to be fit to print.
        width: cells in a line; None for no limit but that of a single text.
        long: how many columns at the end may have any length.
    """
    texts = [list(head), *([cut(text, _LONGEST) for text in row] for row in rows)]
    columns = [column for column in zip(*texts, strict=True) if any(column)]
    texts = [list(row) for row in zip(*columns, strict=True)]
    widths = [max(map(width_of, column)) for column in columns]
    if width is None or _sum(widths) <= width:
        return _lines(texts, widths)
    first = len(widths) - long
    room = width - _sum(widths[:first]) - len(_GAP)
    if long and room < long * _ROOM_TO_READ:
        return _stacked(texts, _fitted(widths[:first], width), width)
    return _lines(texts, _fitted(widths, width, first if long else 0))


def _sum(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _fitted(widths: Sequence[int], width: int, first: int = 0) -> list[int]:
    """The widths, the widest from ``first`` on made smaller until all fit or none can."""
    fitted = list(widths)
    while _sum(fitted) > width:
        widest = max(range(first, len(fitted)), key=fitted.__getitem__)
        if fitted[widest] <= _NARROWEST:
            break
        fitted[widest] -= 1
    return fitted


def _stacked(texts: Sequence[Sequence[str]], widths: Sequence[int], width: int) -> str:
    first = len(widths)
    lines: list[str] = []
    for row in texts:
        lines.append(_line(row[:first], widths))
        rest = _GAP.join(text for text in row[first:] if text)
        if rest:
            lines.append(f"    {cut(rest, width - 4)}")
    return "\n".join(lines)


def _lines(texts: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    head, *rows = (_line(row, widths) for row in texts)
    return "\n".join([click.style(head, bold=True) if _is_colored() else head, *rows])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cut(text, width) for text, width in zip(row, widths, strict=True))
    padded = (
        painted(cell) + " " * (width - width_of(cell))
        for cell, width in zip(cells, widths, strict=True)
    )
    return _GAP.join(padded).rstrip()
