"""The names, buckets and estimates of job metrics, against the figures of Sidekiq."""

from datetime import UTC, datetime

import pytest

from jobd import metrics
from jobd.keys import Keys
from jobd.metrics import Counts


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("at_s", "eight", "ten", "seven", "of_8", "of_7"),
    [
        (
            at(2026, 11, 21, 20, 36, 59),
            *("261121|20:36", "261121|20:3", "20261121|20:36", "21-20:36", "21-20:36"),
        ),
        (
            at(2027, 1, 2, 3, 4),
            *("270102|3:04", "270102|3:0", "20270102|3:4", "2-3:4", "02-03:4"),
        ),
        (
            at(2027, 1, 2, 0, 40),
            *("270102|0:40", "270102|0:4", "20270102|0:40", "2-0:40", "02-00:40"),
        ),
    ],
)
def test_minutes_are_called_as_sidekiq_8_and_7_call_them(at_s, eight, ten, seven, of_8, of_7):
    assert metrics.minute(at_s, 8) == eight
    assert metrics.ten_minutes(at_s) == ten
    assert metrics.minute(at_s, 7) == seven
    assert metrics.histogram_minute(at_s, 8) == of_8
    assert metrics.histogram_minute(at_s, 7) == of_7


@pytest.mark.parametrize(
    ("elapsed_ms", "index"),
    [(0, 0), (19, 0), (20, 1), (29, 1), (30, 2), (334_999, 24), (335_000, 25), (10**9, 25)],
)
def test_a_bucket_ends_below_its_bound(elapsed_ms: int, index: int):
    assert metrics.bucket(elapsed_ms) == index


def test_there_are_26_buckets():
    assert metrics.BUCKETS == 26
    assert sorted(set(metrics.BOUNDS_MS)) == list(metrics.BOUNDS_MS)


def test_a_stored_histogram_is_read_whatever_its_length():
    assert metrics.unpack(b"") == (0,) * 26
    assert metrics.unpack(b"\x01\x02\x00\x03") == (258, 3, *[0] * 24)
    assert metrics.unpack(b"\xff" * 60) == (65_535,) * 26


def test_where_nothing_was_counted_no_command_is_sent():
    assert metrics.additions(Keys(), {}, 0.0, 8) == []


def test_keys_have_the_prefix_of_their_set():
    commands = metrics.additions(Keys("{a}:"), {"Echo": Counts(1, 0, 5, (1, *[0] * 25))}, 0.0, 8)
    assert {str(command[1])[:4] for command in commands} == {"{a}:"}


@pytest.mark.parametrize(
    ("histogram", "share", "expected"),
    [
        ((), 0.5, 0.0),
        ((10,), 0.5, 10.0),
        ((10,), 1.0, 20.0),
        ((0, 10), 0.5, 25.0),
        ((50, 50), 0.95, 29.0),
        ((99, 0, 0, 0, 1), 0.99, 20.0),
        ((99, 0, 0, 0, 1), 1.0, 100.0),
        ((0,) * 25 + (3,), 0.5, 335_000.0),
        ((1,) * 26, 1.0, 335_000.0),
    ],
)
def test_a_percentile_is_interpolated_within_its_bucket(histogram, share: float, expected: float):
    whole = (*histogram, *[0] * (26 - len(histogram)))
    assert metrics.percentile_ms(whole, share) == pytest.approx(expected)
