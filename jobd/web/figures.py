"""Small charts as SVG, drawn by hand: what stands inside tables and tiles, and the heat map.

Colours are the style sheet's, as those of `jobd.web.charts`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from markupsafe import Markup

from jobd.web.labels import Tick, few

_WIDTH: Final = 900


def sparkline(
    points: Sequence[float],
    *,
    label: str,
    width: int = 96,
    height: int = 20,
    marks: Iterable[float] = (),
) -> Markup:
    """A line without axes, to be seen at a glance; a flat one for fewer than two points.

    Args:
        points: evenly apart.
        label: for those who cannot see it.
        width: in pixels.
        height: in pixels.
        marks: deploys, as shares of the way.
    """
    values = list(points) if len(points) > 1 else [0, 0]
    highest = max(values) or 1
    step = width / (len(values) - 1)
    places = [
        f"{index * step:.1f},{height - 1 - (height - 2) * value / highest:.1f}"
        for index, value in enumerate(values)
    ]
    deploys = Markup("").join(
        Markup('<path class="deploy" d="M{x:.1f} 0v{h}"/>').format(x=mark * width, h=height)
        for mark in marks
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img"'
        ' aria-label="{label}"><polygon points="0,{h} {line} {w},{h}"/>'
        '<polyline points="{line}"/>{deploys}</svg>'
    ).format(w=width, h=height, label=label, line=" ".join(places), deploys=deploys)


def bar(part: float, whole: float, *, label: str) -> Markup:
    """A share as a bar; the number stands beside it."""
    share = min(part / whole, 1) if whole else 0
    return Markup(
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" role="img"'
        ' aria-label="{label}"><rect class="bar-all" width="100" height="6"/>'
        '<rect class="bar-part" width="{width:.1f}" height="6"/></svg>'
    ).format(label=label, width=100 * share)


def heat_map(
    rows: Sequence[Sequence[int]], *, row_labels: Sequence[str], ticks: Sequence[Tick], title: str
) -> Markup:
    """How many fell where: a column for each moment, a row for each class of durations.

    Args:
        rows: the slowest first, a number for each moment.
        row_labels: of the rows.
        ticks: of the moments.
        title: for those who cannot see it.
    """
    highest = max((number for row in rows for number in row), default=0) or 1
    left, cell_h = 62, 12
    cell_w = (_WIDTH - left) / max(len(ticks), 1)
    parts = [Markup("<title>{}</title>").format(title)]
    for y, (row, name) in enumerate(zip(rows, row_labels, strict=True)):
        top = y * cell_h
        parts.append(
            Markup('<text x="{}" y="{}" class="axis-y">{}</text>').format(left - 6, top + 10, name)
        )
        parts += [
            _cell(left + x * cell_w, top, (cell_w - 1, cell_h - 1), number, number / highest)
            for x, number in enumerate(row)
            if number
        ]
    foot = len(rows) * cell_h + 14
    parts += [
        Markup('<text x="{:.1f}" y="{}" class="axis-x" data-time="{}">{}</text>').format(
            left + (x + 0.5) * cell_w, foot, tick.iso, tick.label
        )
        for x, tick in enumerate(few(ticks))
        if tick.label
    ]
    return Markup('<svg class="heat" viewBox="0 0 {} {}" role="img">{}</svg>').format(
        _WIDTH, foot + 4, Markup("").join(parts)
    )


def _cell(x: float, y: float, size: tuple[float, float], number: int, share: float) -> Markup:
    # The root makes few jobs visible beside many.
    return Markup(
        '<rect x="{:.1f}" y="{}" width="{:.1f}" height="{:.0f}" fill-opacity="{:.2f}">'
        "<title>{}</title></rect>"
    ).format(x, y, size[0], size[1], 0.12 + 0.88 * share**0.5, f"{number:,}")
