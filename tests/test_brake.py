"""The restart brake as a table, and the bucket that all slots share."""

import random

import pytest

from jobd.scoreboard import Scoreboard, SlotState
from jobd.supervisor.brake import HEALTHY_S, Brake, ForkBudget
from jobd.supervisor.plan import Generation
from jobd.supervisor.slots import Slots
from tests.support.clock import FakeClock


@pytest.fixture
def brake() -> Brake:
    return Brake(random.Random(7))


def test_each_early_death_doubles_the_delay_up_to_half_a_minute(brake: Brake) -> None:
    delays = [brake.delay_s(health_s=None, held_job=False) for _ in range(2000)]
    for delay, expected in zip(delays[:7], (1, 2, 4, 8, 16, 30, 30), strict=True):
        assert expected * 0.8 <= delay <= expected * 1.2
    assert max(delays) <= 36


@pytest.mark.parametrize(
    ("health_s", "held_job", "is_braked"),
    [
        (None, False, True),
        (None, True, True),
        (0.9, False, True),
        (0.9, True, False),
        (1.0, False, False),
        (30.0, True, False),
    ],
)
def test_only_a_death_before_or_just_after_ready_without_a_job_counts(
    brake: Brake, health_s: float | None, held_job: bool, is_braked: bool
) -> None:
    assert (brake.delay_s(health_s=health_s, held_job=held_job) > 0) is is_braked


def test_a_minute_of_health_makes_it_forget(brake: Brake) -> None:
    for _ in range(5):
        brake.delay_s(health_s=None, held_job=False)
    brake.delay_s(health_s=HEALTHY_S - 1, held_job=False)
    assert brake.delay_s(health_s=None, held_job=False) > 20
    brake.delay_s(health_s=HEALTHY_S, held_job=False)
    assert brake.delay_s(health_s=None, held_job=False) < 2


@pytest.mark.parametrize("sign", ["held_job", "has_worked"])
def test_a_worker_that_had_a_job_makes_it_forget_however_young_it_died(
    brake: Brake, sign: str
) -> None:
    for _ in range(5):
        brake.delay_s(health_s=0.1, held_job=False)
    brake.delay_s(health_s=0.1, **{"held_job": False, sign: True})
    assert brake.delay_s(health_s=0.1, held_job=False) < 3


def test_a_thousand_kills_of_busy_workers_slow_nothing_down(brake: Brake) -> None:
    kills = range(1_000)
    assert not any(brake.delay_s(health_s=0.01 * kill, held_job=True) for kill in kills)


def test_a_budget_gives_its_burst_at_once_and_then_its_rate() -> None:
    budget = ForkBudget(3, 4, 100.0)
    assert [budget.take(100.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert budget.next_at() == pytest.approx(100 + 1 / 3)
    assert [budget.take(101.0) for _ in range(4)] == [True] * 3 + [False]
    assert [budget.take(1000.0) for _ in range(5)] == [True] * 4 + [False]


def test_jobs_that_others_ran_on_the_same_page_release_no_brake(clock: FakeClock) -> None:
    board = Scoreboard(clock, 4)
    board.writer(1).set_counts(5, 0)
    generation = Generation(groups={"": 1}, run_worker=lambda _: 0, run_poller=lambda _: 0)
    slots = Slots(board, clock=clock, rng=random.Random(7))
    slot = slots.add("worker", generation)
    assert slot is not None

    def die(left: SlotState | None) -> float:
        slot.child, child = slot.prepare("me", clock.monotonic())
        slot.child.became_ready(clock.monotonic())
        slot.child.close()
        child.close()
        slot.vacate(0, left, clock.monotonic())  # at once, and without a job
        return slot.due - clock.monotonic()

    assert die(None) < 1.5 < die(board.read(1))
    slot.drop_stacks()
