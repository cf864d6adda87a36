"""Medians, spreads, ratios and rates."""

import math

import pytest

from tests.bench.figures import Sample, Spread, percentile, rate, ratio, shown


def test_a_rate_leaves_out_the_warm_up_and_the_empty_queue_at_the_end() -> None:
    samples = [
        Sample(0.0, 0),
        Sample(1.0, 10),  # workers start one by one
        Sample(2.0, 100),
        Sample(3.0, 1_100),
        Sample(4.0, 2_100),
        Sample(9.0, 2_100),
    ]
    assert rate(samples, warm_s=1.0) == 1_000


def test_a_rate_of_a_backlog_that_the_warm_up_used_up_begins_at_the_first_job() -> None:
    assert rate([Sample(0.0, 0), Sample(1.0, 10), Sample(1.5, 60)], warm_s=2.0) == 100


@pytest.mark.parametrize("samples", [[Sample(0.0, 0)], [Sample(0.0, 0), Sample(1.0, 50)]])
def test_a_rate_needs_two_counts(samples: list[Sample]) -> None:
    with pytest.raises(ValueError, match="finished"):
        rate(samples, warm_s=0.0)


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 50), (99, 99), (100, 100)])
def test_a_percentile_is_one_of_the_values(percent: float, expected: float) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_a_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_spread_is_half_the_range_in_percent_of_the_median() -> None:
    spread = Spread.of([90.0, 100.0, 130.0])
    assert (spread.median, spread.low, spread.high) == (100, 90, 130)
    assert spread.percent == 20


def test_a_ratio_pairs_rounds_so_that_a_slow_round_of_both_does_not_count() -> None:
    assert ratio([10.0, 100.0, 20.0], [5.0, 50.0, 10.0]) == 2
    assert ratio([10.0, 100.0], [5.0]) == 2


def test_a_ratio_to_zero_is_infinite_and_to_nothing_an_error() -> None:
    assert ratio([1.0], [0.0]) == math.inf
    with pytest.raises(ValueError, match="no round"):
        ratio([1.0], [])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (12.345, "12.3"),
        (999, "999"),
        (1_234, "1,230"),
        (151_678, "152,000"),
        (math.inf, "–"),
    ],
)
def test_numbers_are_shown_with_three_digits(value: float, text: str) -> None:
    assert shown(value) == text
