"""Charts as SVG: lines over time by pygal, small ones inside tables by hand.

No script and no style is inside them: the dashboard's policy would refuse both, and its style sheet
colours them for light and dark. What pygal puts there is taken out.
"""

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from xml.etree.ElementTree import Element, tostring

import pygal  # pyright: ignore[reportMissingTypeStubs] # it has none
from markupsafe import Markup

from jobd.web.formats import short_count

_SVG: Final = "{http://www.w3.org/2000/svg}"
_DROPPED: Final = frozenset({"defs", "style", "script"})
_WIDTH: Final = 900
_pygal: Final[Any] = pygal

# It adds a finder for maps, which we do not draw. Of a kind that Python 3.12 no longer knows, it
# makes 3.11 warn of every import that fails, anywhere in the program.
sys.meta_path[:] = [each for each in sys.meta_path if type(each).__module__ != "pygal"]


@dataclass(frozen=True, slots=True)
class Line:
    """A series of a chart.

    Attributes:
        name: for the legend and the style sheet: ``processed``, ``failed``, ``a`` to ``e``.
        label: as people read it.
        values: one for each moment; None where there is none.
    """

    name: str
    label: str
    values: tuple[float | None, ...]


def line_chart(
    title: str, labels: Sequence[str], lines: Sequence[Line], *, height: int = 180
) -> Markup:
    """Lines over time, as an SVG that has a name for those who cannot see it."""
    return _line_chart(title, tuple(labels), tuple(lines), height)


@functools.lru_cache(maxsize=64)  # the same numbers are shown again and again
def _line_chart(
    title: str, labels: tuple[str, ...], lines: tuple[Line, ...], height: int
) -> Markup:
    highest = max((value or 0 for line in lines for value in line.values), default=0)
    ticks = _ticks(highest)
    chart = _pygal.Line(
        css=(),
        js=(),
        disable_xml_declaration=True,
        width=_WIDTH,
        height=height,
        margin=0,
        margin_top=8,
        margin_right=8,
        show_legend=False,
        show_dots=False,
        fill=True,
        range=(0, ticks[-1]),
        truncate_label=-1,
        formatter=short_count,
    )
    chart.x_labels = _few(labels)
    chart.y_labels = [{"value": tick, "label": short_count(tick)} for tick in ticks]
    for line in lines:
        chart.add(line.label, list(line.values))
    root = cast("Element", chart.render_tree())
    _strip(root)
    _name(root, title, lines)
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704 - made by escaping writers


def sparkline(points: Sequence[float], *, label: str, width: int = 96, height: int = 20) -> Markup:
    """A line without axes, to be seen at a glance; a flat one for fewer than two points."""
    values = list(points) if len(points) > 1 else [0, 0]
    highest = max(values) or 1
    step = width / (len(values) - 1)
    marks = [
        f"{index * step:.1f},{height - 1 - (height - 2) * value / highest:.1f}"
        for index, value in enumerate(values)
    ]
    line = " ".join(marks)
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img"'
        ' aria-label="{label}"><polygon points="0,{h} {line} {w},{h}"/>'
        '<polyline points="{line}"/></svg>'
    ).format(w=width, h=height, label=label, line=line)


def bar(part: float, whole: float, *, label: str) -> Markup:
    """A share as a bar; the number stands beside it."""
    share = min(part / whole, 1) if whole else 0
    return Markup(
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" role="img"'
        ' aria-label="{label}"><rect class="bar-all" width="100" height="6"/>'
        '<rect class="bar-part" width="{width:.1f}" height="6"/></svg>'
    ).format(label=label, width=100 * share)


def heat_map(
    rows: Sequence[Sequence[int]], *, row_labels: Sequence[str], labels: Sequence[str], title: str
) -> Markup:
    """How many fell where: a column for each moment, a row for each class of durations.

    Args:
        rows: the slowest first, a number for each moment.
        row_labels: of the rows.
        labels: of the moments.
        title: for those who cannot see it.
    """
    highest = max((number for row in rows for number in row), default=0) or 1
    left, cell_h = 62, 12
    cell_w = (_WIDTH - left) / max(len(labels), 1)
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
    for x, name in enumerate(_few(labels)):
        if name:
            parts.append(
                Markup('<text x="{:.1f}" y="{}" class="axis-x">{}</text>').format(
                    left + (x + 0.5) * cell_w, foot, name
                )
            )
    return Markup('<svg class="heat" viewBox="0 0 {} {}" role="img">{}</svg>').format(
        _WIDTH, foot + 4, Markup("").join(parts)
    )


def _cell(x: float, y: float, size: tuple[float, float], number: int, share: float) -> Markup:
    # The root makes few jobs visible beside many.
    return Markup(
        '<rect x="{:.1f}" y="{}" width="{:.1f}" height="{:.0f}" fill-opacity="{:.2f}">'
        "<title>{}</title></rect>"
    ).format(x, y, size[0], size[1], 0.12 + 0.88 * share**0.5, f"{number:,}")


def _ticks(highest: float) -> list[float]:
    """Four round numbers or so from 0 up to at least the highest."""
    if highest <= 0:
        return [0, 1]
    step = 1.0
    while highest / step > 4:
        step *= 2.5 if str(step)[0] == "2" else 2
    while highest / step < 0.8:
        step /= 10
    ticks = [0.0]
    while ticks[-1] < highest:
        ticks.append(ticks[-1] + step)
    return ticks


def _few(labels: Sequence[str], most: int = 7) -> list[str]:
    """The labels with all but a few blanked, so that they do not overlap."""
    apart = max(len(labels) // most, 1)
    return [label if index % apart == 0 else "" for index, label in enumerate(labels)]


def _strip(element: Element) -> None:
    for child in list(element):
        # The tag of a comment is a function.
        kind = str(cast("object", child.tag)).removeprefix(_SVG)
        if kind in _DROPPED or kind.startswith("<") or "tooltip-overlay" in child.get("class", ""):
            element.remove(child)
        else:
            child.attrib.pop("style", None)
            _strip(child)


def _name(root: Element, title: str, lines: Sequence[Line]) -> None:
    root.attrib.pop("id", None)
    root.set("class", "chart " + " ".join(f"line-{i}-{line.name}" for i, line in enumerate(lines)))
    root.set("role", "img")
    root.set("aria-label", title)
    for group in root.iter():
        kinds = group.get("class", "").split()
        for index, line in enumerate(lines):
            if f"serie-{index}" in kinds:
                group.set("class", f"series series-{line.name}")
    named = root.find("title")
    if named is None:
        named = root.find(f"{_SVG}title")
    if named is not None:
        named.text = title
