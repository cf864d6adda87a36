"""A poller that beats for a day does not grow."""

import gc
import tracemalloc

import pytest

from jobd.tallies import row_of
from tests.poller.conftest import Station

DAY = 8_640
"""Beats of ten seconds."""
_ONCE = 20_000
"""Bytes that may come late: a table that grows, a cache of the interpreter."""


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
    tracemalloc.start()
    try:
        beat(beats // 2)
        gc.collect()
        halfway, _ = tracemalloc.get_traced_memory()
        beat(beats // 2)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - halfway < max(_ONCE, 20 * beats)
