"""Lines over time as SVG, by pygal.

No script and no style is inside them: the dashboard's policy would refuse both, and its style sheet
colours them for light and dark. What pygal puts there is taken out. Deploys are its own guides, of
which all others are hidden.
"""

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, cast
from xml.etree.ElementTree import Element, SubElement, tostring

import pygal  # pyright: ignore[reportMissingTypeStubs] # it has none
from markupsafe import Markup

from jobd.web.formats import short_count
from jobd.web.inert import cut, inert
from jobd.web.labels import Tick, few

_SVG: Final = "{http://www.w3.org/2000/svg}"
_DROPPED: Final = frozenset({"defs", "style", "script"})
_WIDTH: Final = 900
_LABEL_WIDTH: Final = 90
_pygal: Final[Any] = pygal

# It adds a finder for maps, which we do not draw. Of a kind that Python 3.12 no longer knows, it
# makes 3.11 warn of every import that fails, anywhere in the program.
sys.meta_path[:] = [each for each in sys.meta_path if type(each).__module__ != "pygal"]


@dataclass(frozen=True, slots=True)
class Line:
    """A series of a chart.

    Attributes:
        name: for the style sheet: ``processed`` or ``failed``.
        label: as people read it.
        values: one for each moment; None where there is none.
    """

    name: str
    label: str
    values: tuple[float | None, ...]


def line_chart(
    title: str,
    ticks: Sequence[Tick],
    lines: Sequence[Line],
    *,
    height: int = 180,
    marks: Sequence[tuple[int, str]] = (),
) -> Markup:
    """Lines over time, as an SVG that has a name for those who cannot see it.

    Args:
        title: its name.
        ticks: one for each moment; a few of them are written.
        lines: the series.
        height: of 900 in width.
        marks: deploys: the number of a moment and what it is called, the earliest first.
    """
    return _line_chart(title, tuple(ticks), tuple(lines), height, tuple(marks))


@functools.lru_cache(maxsize=64)  # the same numbers are shown again and again
def _line_chart(
    title: str,
    ticks: tuple[Tick, ...],
    lines: tuple[Line, ...],
    height: int,
    marks: tuple[tuple[int, str], ...],
) -> Markup:
    root = _drawn(ticks, lines, height)
    _strip(root)
    _name(root, title, lines)
    _date(root, few(ticks))
    _mark(root, marks)
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704 - made by escaping writers


def _drawn(ticks: tuple[Tick, ...], lines: tuple[Line, ...], height: int) -> Element:
    highest = max((value or 0 for line in lines for value in line.values), default=0)
    steps = _steps(highest)
    chart = _pygal.Line(
        css=(),
        js=(),
        disable_xml_declaration=True,
        width=_WIDTH,
        height=height,
        margin=0,
        margin_top=14,
        margin_right=8,
        show_legend=False,
        show_dots=False,
        range=(0, steps[-1]),
        truncate_label=-1,
        formatter=short_count,
    )
    chart.x_labels = [tick.label for tick in few(ticks)]
    chart.y_labels = [{"value": step, "label": short_count(step)} for step in steps]
    for line in lines:
        # Twice, or the line would go round the area.
        chart.add(line.label, list(line.values), fill=True)
        chart.add(line.label, list(line.values), fill=False)
    return cast("Element", chart.render_tree())


def _steps(highest: float) -> list[float]:
    """Four round numbers or so from 0 up to at least the highest."""
    if highest <= 0:
        return [0, 1]
    step = 1.0
    while highest / step > 4:
        step *= 2.5 if str(step)[0] == "2" else 2
    while highest / step < 0.8:
        step /= 10
    steps = [0.0]
    while steps[-1] < highest:
        steps.append(steps[-1] + step)
    return steps


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
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-label", title)
    for group in root.iter():
        kinds = group.get("class", "").split()
        for index, line in enumerate(lines):
            for number, part in enumerate(("area", "line")):
                if f"serie-{2 * index + number}" in kinds:
                    group.set("class", f"series {part}-{line.name}")
    named = root.find("title")
    if named is None:
        named = root.find(f"{_SVG}title")
    if named is not None:
        named.text = title


def _guides(root: Element) -> list[Element]:
    """What pygal draws at each moment."""
    axes = [each for each in root.iter() if each.get("class", "").startswith("axis x")]
    return [each for axis in axes for each in axis if each.get("class") == "guides"]


def _date(root: Element, ticks: Sequence[Tick]) -> None:
    """The moments of the labels, for a script that writes them in the viewer's zone."""
    for guide, tick in zip_longest(_guides(root), ticks):
        if guide is None or tick is None or not tick.iso:
            continue
        for text in guide:
            if text.get("x") is not None:
                text.set("data-time", tick.iso)


def _mark(root: Element, marks: Sequence[tuple[int, str]]) -> None:
    guides = _guides(root)
    free_from = 0.0
    for index, name in marks:
        if not 0 <= index < len(guides):
            continue
        guide = guides[index]
        guide.set("class", "guides deploy")
        SubElement(guide, "title").text = inert(cut(name, 200))
        x = max(float(text.get("x", 0)) for text in guide)
        if x < free_from:
            continue  # its name would stand on the one before it
        free_from = x + _LABEL_WIDTH
        is_last = x > _WIDTH - 2 * _LABEL_WIDTH
        place = {"x": f"{x:.1f}", "y": "-4", "class": "name end" if is_last else "name"}
        SubElement(guide, "text", place).text = inert(name[:14] + "…" if len(name) > 15 else name)
