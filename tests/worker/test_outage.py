"""How long a worker waits while Redis is away."""

import contextlib
import threading
from collections.abc import Iterator

import pytest

from jobd.clock import SystemClock
from jobd.scoreboard import Scoreboard
from jobd.worker.attention import Attention
from tests.support import inboxes
from tests.worker.conftest import QuietMaster

CLOCK = SystemClock()


@pytest.fixture
def board() -> Scoreboard:
    return Scoreboard(CLOCK, slots=1)


@pytest.fixture
def attention(board: Scoreboard) -> Iterator[Attention]:
    with contextlib.closing(QuietMaster()) as master:
        made = Attention(master, board.writer(1), 25)
        yield made
        inboxes.forget(made._inbox)


def waited_s(attention: Attention, seconds: float) -> float:
    began = CLOCK.monotonic()
    attention.wait_for_redis(seconds)
    return CLOCK.monotonic() - began


def test_the_wait_ends_when_the_poller_has_found_redis_back(
    board: Scoreboard, attention: Attention
) -> None:
    board.set_redis_away_since(5.0)
    timer = threading.Timer(0.1, board.set_redis_away_since, [0.0])
    timer.start()
    assert waited_s(attention, 600) < 300
    timer.join()


def test_it_ends_at_once_if_redis_came_back_between_two_waits(
    board: Scoreboard, attention: Attention
) -> None:
    board.set_redis_away_since(5.0)
    attention.wait_for_redis(0.001)
    board.set_redis_away_since(0.0)
    assert waited_s(attention, 600) < 300
    assert waited_s(attention, 0.01) >= 0.01  # but once
