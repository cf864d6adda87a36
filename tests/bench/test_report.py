"""Tables and chart, from made-up results."""

import dataclasses
import re
from xml.etree import ElementTree as ET

import pytest

from tests.bench.__main__ import ALL_CASES
from tests.bench.bar import BARS, verdict
from tests.bench.cases import CASES, RATE
from tests.bench.chart import svg
from tests.bench.report import Header, bar_table, table, text
from tests.bench.results import Results
from tests.bench.sides import SIDES
from tests.bench.stage import REPOSITORY

NOOP = CASES[0]
HEADER = Header(
    date="2026-11-22 01:00 UTC",
    effort="full",
    rounds=3,
    machine="2 cores",
    load=0.5,
    python="3.11.7",
    server="valkey 9.1.2",
    versions={"jobd": {}, "huey": {"huey": "3.5.4"}},
)


@pytest.fixture
def results() -> Results:
    found = Results()
    for ours, theirs in ((90_000.0, 5_000.0), (100_000.0, 6_000.0), (120_000.0, 6_000.0)):
        found.add("noop", "jobd", RATE.name, ours)
        found.add("noop", "huey", RATE.name, theirs)
    found.missing.append("celery: pip failed")
    return found


def test_a_table_has_median_spread_and_distance_the_best_side_first(results: Results) -> None:
    rows = table(NOOP, results)
    assert [row for row in rows if row.startswith(("| jobd", "| huey"))] == [
        "| jobd | 100,000 ± 15 % | – | – | – | – |  |",
        "| huey | 6,000 ± 8 % | – | – | – | – | 18 × |",
    ]


def test_a_case_without_results_has_no_table() -> None:
    assert table(NOOP, Results()) == []


def test_the_bar_is_said_to_be_met_missed_or_not_measured(results: Results) -> None:
    rows = bar_table([verdict(bar, results, SIDES) for bar in BARS])
    assert "| noop | jobs/s | jobd 100,000 | huey 6,000 | ≥ 15 × the best peer | 18 | met |" in rows
    assert sum("not measured" in row for row in rows) == len(BARS) - 1


def test_the_report_names_settings_versions_and_what_is_missing(results: Results) -> None:
    report = text(HEADER, CASES, SIDES, results)
    assert "rounds: 3, on 2 cores; load average 0.5" in report
    assert "| huey 3.5.4 | no | process workers" in report
    assert "- celery: pip failed" in report


@pytest.mark.parametrize(("load", "is_said"), [(0.0, False), (50.0, True)])
def test_the_report_says_that_the_machine_was_busy(load: float, is_said: bool) -> None:
    sentence = dataclasses.replace(HEADER, load=load).sentence()
    assert ("was busy" in sentence) is is_said


def test_the_chart_has_a_bar_for_each_side_in_proportion(results: Results) -> None:
    root = ET.fromstring(svg("a & b", CASES, results))
    boxes = [box for box in root if box.tag.endswith("rect") and box.get("x")]
    widths = [float(box.get("width", "")) for box in boxes]
    assert widths == [560, pytest.approx(560 * 6 / 100, rel=0.01)]
    assert root[1].text == "a & b"


def test_the_manual_shows_every_side_with_its_settings() -> None:
    page = (REPOSITORY / "docs" / "benchmarks.md").read_text()
    shown = re.findall(r"^\| (\S+) \| (yes|no) \| (.+) \|$", page, re.MULTILINE)
    assert shown == [(side.name, "yes" if side.is_safe else "no", side.settings) for side in SIDES]


def test_the_manual_names_every_case() -> None:
    page = (REPOSITORY / "docs" / "benchmarks.md").read_text()
    named = set(re.findall(r"`(\w+)`", page[page.index("## Cases") : page.index("## Sides")]))
    assert {case.name for case in ALL_CASES} <= named
