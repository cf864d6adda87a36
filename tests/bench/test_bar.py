"""The bar's verdicts, from made-up results."""

from typing import Any

import pytest

from tests.bench import cases
from tests.bench.__main__ import ALL_CASES
from tests.bench.bar import BARS, PEERS, Bar, verdict
from tests.bench.results import Results
from tests.bench.sides import SIDES


def measured(case: str, figure: str, **values: Any) -> Results:
    """Results with these rounds; in names _ stands for -."""
    results = Results()
    for side, rounds in values.items():
        for value in rounds:
            results.add(case, side.replace("_", "-"), figure, value)
    return results


FASTER = Bar(case="noop", figure=cases.RATE, factor=15, against=PEERS)
LEANER = Bar(case="memory", figure=cases.PSS_MORE, factor=0.6, against=PEERS)
LIMIT = Bar(case="idle", figure=cases.IDLE_COMMANDS, factor=10, against=None)


@pytest.mark.parametrize(("ours", "is_met"), [(90_000, True), (89_999, False)])
def test_more_is_better_against_the_best_peer_only(ours: float, is_met: bool) -> None:
    results = measured(
        "noop", cases.RATE.name, jobd=[ours], huey=[6_000], celery=[1_000], sidekiq=[30_000]
    )
    found = verdict(FASTER, results, SIDES)
    assert found.theirs == ("huey", 6_000.0)
    assert found.is_met is is_met


@pytest.mark.parametrize(("ours", "is_met"), [(6, True), (6.1, False)])
def test_less_is_better_where_the_figure_says_so(ours: float, is_met: bool) -> None:
    results = measured("memory", cases.PSS_MORE.name, jobd=[ours], huey=[10], arq=[30])
    found = verdict(LEANER, results, SIDES)
    assert (found.theirs, found.is_met) == (("huey", 10.0), is_met)


@pytest.mark.parametrize(("ours", "is_met"), [(10, True), (11, False)])
def test_a_limit_needs_nobody_else(ours: float, is_met: bool) -> None:
    found = verdict(LIMIT, measured("idle", cases.IDLE_COMMANDS.name, jobd=[ours]), SIDES)
    assert found.is_met is is_met


def test_a_ratio_is_that_of_the_rounds_not_of_the_medians() -> None:
    results = measured("noop", cases.RATE.name, jobd=[10, 100, 30], huey=[1, 50, 2])
    assert verdict(FASTER, results, SIDES).reached == 10


def test_two_figures_of_one_side_can_be_compared() -> None:
    results = measured("backlog", "jobs_per_s_10000", jobd=[100.0])
    results.add("backlog", "jobd", "jobs_per_s_5000000", 96.0)
    (bar,) = (bar for bar in BARS if bar.case == "backlog")
    found = verdict(bar, results, SIDES)
    assert (found.theirs, found.is_met) == (("jobd", 100), True)


@pytest.mark.parametrize("values", [{}, {"jobd": [1.0]}, {"huey": [1.0]}])
def test_nothing_is_met_or_missed_without_both_sides(values: dict[str, list[float]]) -> None:
    assert verdict(FASTER, measured("noop", cases.RATE.name, **values), SIDES).is_met is None


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: f"{bar.case}-{bar.figure.name}")
def test_every_bar_is_about_a_case_that_gives_its_figures(bar: Bar) -> None:
    (case,) = (case for case in ALL_CASES if case.name == bar.case)
    assert {bar.figure, bar.their_figure or bar.figure} <= set(case.figures)
    assert {bar.ours, bar.against or bar.ours} <= {PEERS, *(side.name for side in SIDES)}
