"""How many jobs a claim takes, by what the last ones took."""

import pytest

from jobd.worker.pace import MOST, Pace


def limits(pace: Pace, *took_s: float) -> list[int]:
    """What it says after each claim, whose jobs took so long each."""
    said: list[int] = []
    for seconds in took_s:
        pace.note(jobs=pace.limit, took_s=seconds * pace.limit)
        said.append(pace.limit)
    return said


def test_a_new_worker_takes_one():
    assert Pace(100).limit == 1


@pytest.mark.parametrize(
    ("took_s", "limit"), [(0.02, 1), (0.0051, 1), (0.003, 4), (0.0011, 10), (0.00011, 91), (0, 128)]
)
def test_the_last_of_a_batch_begins_within_ten_milliseconds(took_s: float, limit: int):
    assert limits(Pace(1000), *[took_s] * 60)[-1] == limit
    assert (limit - 1) * took_s <= 0.01


def test_it_takes_more_step_by_step():
    said = limits(Pace(MOST), *[0.00001] * 10)
    assert said == sorted(said)
    assert said[0] == 1
    assert said[-1] == MOST
    assert len(set(said)) > 5


def test_slow_jobs_are_believed_at_once():
    pace = Pace(MOST)
    limits(pace, *[0.00001] * 20)
    assert limits(pace, 0.1) == [1]


@pytest.mark.parametrize(("most", "limit"), [(1, 1), (2, 2), (128, 128), (10_000, MOST)])
def test_no_claim_takes_more_than_it_may(most: int, limit: int):
    assert limits(Pace(most), *[0.0] * 60)[-1] == limit
