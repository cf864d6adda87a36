"""When a worker is worn, as values; and that it is then replaced, by toys."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from jobd.proc import resident_bytes, share_bytes
from jobd.scoreboard import SlotState, State
from jobd.supervisor.plan import Wear
from jobd.supervisor.wear import Worn, reason
from tests.support.eventually import eventually
from tests.support.toy_instance import Start, starting

IDLE = SlotState(State.IDLE, 1, 1, 0.0, 0.0, "", 0, 0, "", "", "", ())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path) as begin:
        yield begin


def test_only_its_own_jobs_count_and_somewhat_more_than_the_limit() -> None:
    wear, worn = Wear(max_jobs=100), Worn(1.05, first=1000)
    assert reason(wear, worn, replace(IDLE, processed=1104), 0) is None
    assert reason(wear, worn, replace(IDLE, processed=1105), 0) == "it has run 105 jobs"


def test_age_counts_and_without_limits_nothing_does() -> None:
    worn = Worn(1.1, first=0)
    assert reason(Wear(max_age_s=10), worn, IDLE, 10.9) is None
    assert reason(Wear(max_age_s=10), worn, IDLE, 11.2) == "it is 11 s old"
    assert reason(Wear(), worn, replace(IDLE, processed=10**9), 10**9) is None


def test_it_is_too_big_when_it_was_so_three_times_between_jobs() -> None:
    worn = Worn(1.0, first=0)
    busy = replace(IDLE, started=1.0, processed=7)
    assert not worn.sample(101, 100, busy)
    for _ in range(5):  # the same job may need it
        assert not worn.sample(101, 100, busy)
    assert not worn.sample(101, 100, replace(busy, processed=8))
    assert worn.sample(101, 100, replace(IDLE, processed=9))


def test_one_look_that_finds_it_small_enough_begins_anew() -> None:
    worn = Worn(1.0, first=0)
    assert [worn.sample(size, 100, IDLE) for size in (101, 101, 100, 101, 101, 101)] == [
        *(False, False, False, False, False, True)
    ]


def test_it_is_far_too_big_only_when_one_job_made_it_so_in_several_looks() -> None:
    worn = Worn(1.0, first=0)
    busy = replace(IDLE, started=1.0, processed=7)
    sizes = [151, 151, 150, 151, 151, 151]
    assert [(worn.sample(size, 100, busy), worn.huge)[1] for size in sizes] == [1, 2, 0, 1, 2, 3]
    worn.sample(151, 100, replace(busy, processed=8))
    assert worn.huge == 1
    worn.sample(151, 100, replace(IDLE, processed=9))
    assert worn.huge == 0


def test_the_memory_of_a_process_is_read_in_both_ways() -> None:
    me = psutil.Process()
    assert 0 < share_bytes(me.pid) <= me.memory_info().rss * 1.1
    assert resident_bytes(me.pid) > 1_000_000
    assert share_bytes(2**22 + 1) == resident_bytes(2**22 + 1) == 0


@pytest.mark.process
@pytest.mark.parametrize("preload", ["import_app", None])
@pytest.mark.parametrize(
    ("limit", "why"), [({"max_age_s": 1}, "it is "), ({"max_memory_bytes": 1}, "MB")]
)
def test_a_worn_worker_is_replaced_by_one_that_is_ready_first(
    start: Start, limit: dict[str, object], why: str, preload: str | None
) -> None:
    instance = start(workers=1, preload=preload, **limit).until_ready(1)
    instance.sees('msg="worker 1 is replaced"')
    line = next(line for line in instance.log.splitlines() if "is replaced" in line)
    assert why in line
    instance.sees('msg="worker 1 left"')
    log = instance.log
    assert log.index('msg="toy ready" slot=2') < log.index('msg="toy leaves" slot=1')
    eventually(lambda: sum(name.startswith("worker") for name in instance.children()) >= 1)
    assert instance.term() == 0
