"""A poller that beats for a day does not grow."""

import gc
import tracemalloc
from itertools import pairwise

import pytest

from jobd.tallies import row_of
from tests.poller.conftest import Station

DAY = 8_640
"""Beats of ten seconds."""
_ONCE = 5_000
"""Bytes that may come late: a cache of ours that fills."""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("beats", [300, pytest.param(DAY, marks=pytest.mark.long)])
def test_the_beats_of_a_day_take_no_memory(station: Station, beats: int) -> None:
    station.seat(1, 1)
    station.seat(2, 1)
    heartbeat, tally = station.make_heartbeat(station.slot), station.tallies.writer(1)

    def beat(count: int) -> None:
        for _ in range(count):
            tally.count(row_of("Echo", "default"), 5)
            station.clock.advance(10)
            heartbeat.beat()
            station.recovery.sweep()

    beat(100)
    gc.collect()
    traced = []
    tracemalloc.start()
    try:
        for _ in range(4):
            beat(beats // 4)
            gc.collect()
            traced.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # What leaks grows in each quarter; a table of the interpreter's, in one.
    assert min(after - before for before, after in pairwise(traced)) < max(_ONCE, 10 * beats)
