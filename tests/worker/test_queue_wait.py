"""How long jobs had waited when they were claimed."""

import json
from typing import Any

import pytest

from jobd.metrics import Counts
from jobd.scoreboard import Scoreboard
from jobd.server_clock import ServerClock
from jobd.tallies import Tallies, waits
from jobd.worker.queue_wait import QueueWait
from tests.support.clock import FakeClock

NOW_MS = 1_800_000_000_000


@pytest.fixture
def board() -> Scoreboard:
    return Scoreboard(FakeClock(NOW_MS), slots=1)


def waited(board: Scoreboard, *raws: bytes) -> dict[str, Counts]:
    tallies = Tallies(1)
    clock = ServerClock(FakeClock(NOW_MS), board)
    for raw in raws:
        QueueWait(tallies.writer(1), clock).sample("low", raw)
    return waits(tallies.added())


def pushed(at: Any) -> bytes:
    return json.dumps({"class": "Echo", "args": [[{}]], "enqueued_at": at}).encode()


@pytest.mark.parametrize(
    ("at", "waited_ms"),
    [
        (NOW_MS - 25, 25),
        (NOW_MS / 1000 - 0.025, 25),
        (NOW_MS + 60_000, 0),
        (NOW_MS - 86_400_000, 86_400_000),
    ],
)
def test_a_wait_is_read_in_either_unit_and_is_never_below_zero(
    board: Scoreboard, at: float, waited_ms: int
) -> None:
    (counts,) = waited(board, pushed(at)).values()
    assert (counts.executions, counts.failures, counts.total_ms) == (1, 0, waited_ms)


@pytest.mark.parametrize(
    "raw",
    [
        *map(pushed, (None, "yesterday", True, 0, 1_800_000_000, 1e306, -(10**30), 10**30, [1])),
        b"{",
        b"[]",
        b'{"class":"Echo","args":[]}',
        b'{"args":' + b"[" * 100_000,
    ],
)
def test_a_job_that_does_not_say_since_when_is_left_out(board: Scoreboard, raw: bytes) -> None:
    assert waited(board, raw) == {}


def test_the_time_is_the_servers(board: Scoreboard) -> None:
    board.set_clock_offset(90.0)
    assert waited(board, pushed(NOW_MS))["low"].total_ms == 90_000
