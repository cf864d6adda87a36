"""The results as bars, one group a case: a picture without a library."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from tests.bench.case import Case
from tests.bench.figures import Spread, shown
from tests.bench.results import Results

_WIDTH, _LEFT, _ROW, _BARS = 900, 150, 20, 560
_FONT = "font: 13px sans-serif"
_OURS, _THEIRS = "#b1003e", "#8a9aa8"


def svg(title: str, cases: Sequence[Case], results: Results) -> str:
    """Draw the first figure of each case; the longest bar of a case is its largest value.

    Names that begin with "jobd" are set off by colour.
    """
    root = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", style=_FONT)
    _text(root, 10, 24, title)
    top = 50
    for case in cases:
        names = results.measured(case.name, case.figures[0])
        if names:
            top = _group(root, top, case, names, results)
    root.insert(0, ET.Element("rect", width="100%", height="100%", fill="white"))
    root.set("viewBox", f"0 0 {_WIDTH} {top}")
    root.set("width", str(_WIDTH))
    root.set("height", str(top))
    return ET.tostring(root, encoding="unicode")


def _group(root: ET.Element, top: int, case: Case, names: Sequence[str], results: Results) -> int:
    figure = case.figures[0]
    medians = {name: Spread.of(results.of(case.name, name, figure.name)).median for name in names}
    largest = max(medians.values()) or 1.0
    head = _text(root, 10, top + 14, f"{case.name}: {figure.unit} ({figure.better} is better)")
    head.set("font-weight", "bold")
    top += _ROW + 4
    is_higher = figure.better == "higher"
    for name, median in sorted(medians.items(), key=lambda item: item[1], reverse=is_higher):
        length = _BARS * median / largest
        _text(root, _LEFT - 8, top + 14, name).set("text-anchor", "end")
        colour = _OURS if name.startswith("jobd") else _THEIRS
        box = {"x": _LEFT, "y": top + 2, "width": f"{max(1.0, length):.1f}", "height": _ROW - 6}
        ET.SubElement(root, "rect", {k: str(v) for k, v in box.items()}, fill=colour)
        _text(root, _LEFT + length + 6, top + 14, shown(median))
        top += _ROW
    return top + 16


def _text(root: ET.Element, x: float, y: float, content: str) -> ET.Element:
    element = ET.SubElement(root, "text", x=f"{x:.1f}", y=f"{y:.1f}")
    element.text = content
    return element
