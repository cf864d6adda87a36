"""In which order a worker looks through its queues."""

import random
from collections import Counter

import pytest

from jobd.config import Capsule
from jobd.worker.fetch import Draw
from tests.conformance.parts import a_capsule

DRAWS = 20_000


def first_shares(capsule: Capsule) -> list[float]:
    draw = Draw(capsule, random.Random(7)).order
    firsts = Counter(draw()[0] for _ in range(DRAWS))
    return [firsts[index] / DRAWS for index in range(len(capsule.queues))]


def test_without_weights_the_order_is_the_one_given():
    draw = Draw(a_capsule("high", "low", "lowest"), random.Random(7)).order

    assert {tuple(draw()) for _ in range(100)} == {(0, 1, 2)}


def test_one_queue_needs_no_draw():
    draw = Draw(a_capsule(("only", 5)), random.Random(7)).order

    assert {tuple(draw()) for _ in range(100)} == {(0,)}


@pytest.mark.parametrize(
    ("queues", "shares"),
    [
        ([("a", 6), ("b", 3), ("c", 1)], [0.6, 0.3, 0.1]),
        ([("a", 1), ("b", 1), ("c", 1), ("d", 1)], [0.25] * 4),
        ([("a", 3), ("b", 0)], [0.75, 0.25]),  # Sidekiq: one without a weight counts as 1
        ([("a", 100), ("b", 1)], [100 / 101, 1 / 101]),
    ],
)
def test_a_queue_comes_first_in_proportion_to_its_weight(
    queues: list[tuple[str, int]], shares: list[float]
):
    assert first_shares(a_capsule(*queues)) == pytest.approx(shares, abs=0.012)


def test_after_the_first_the_others_share_by_weight_too():
    draw = Draw(a_capsule(("a", 6), ("b", 3), ("c", 1)), random.Random(7)).order
    after_a = Counter(order[1] for order in (draw() for _ in range(DRAWS)) if order[0] == 0)

    assert after_a[1] / after_a.total() == pytest.approx(0.75, abs=0.015)


def test_every_draw_names_every_queue_once():
    draw = Draw(a_capsule(("a", 6), ("b", 3), ("c", 1)), random.Random(7)).order

    assert {tuple(sorted(draw())) for _ in range(1000)} == {(0, 1, 2)}


def test_queues_of_weight_one_come_in_random_order():
    draw = Draw(a_capsule(("a", 1), ("b", 1), ("c", 1)), random.Random(7)).order
    orders = Counter(tuple(draw()) for _ in range(DRAWS))

    assert len(orders) == 6
    assert max(orders.values()) / min(orders.values()) < 1.15
