"""Master and poller do not grow, however many jobs run."""

from collections.abc import Callable

import psutil
import pytest

from tests.conftest import FOR_THE_SUMMARY
from tests.server.load import PATIENCE_S, push_many
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow]

NOTHING = """
import jobd


class Nothing(jobd.Job):
    def perform(self, *args):
        pass
"""
PAGE = 20_000


def private_bytes(pid: int) -> int:
    """What a process shares with nobody: pages of the mold do not count."""
    return psutil.Process(pid).memory_full_info().uss


@pytest.mark.parametrize("jobs", [40_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.timeout(1200)
def test_master_and_poller_do_not_grow_with_the_jobs_that_run(
    raw: Raw, start_jobd: StartJobd, record_property: Callable[[str, str], None], jobs: int
):
    config = {"concurrency": 2, "log": {"level": "warning"}}
    jobd = start_jobd(config=config, jobs=NOTHING)
    pids = {"master": jobd.pid, "poller": jobd.poller().pid}

    def run(count: int) -> None:
        for _ in range(0, count, PAGE):
            push_many(raw, "Nothing", min(count, PAGE))
            # The last of them may still be running, and that is no matter here.
            eventually(lambda: not raw.exists("queue:default"), timeout=PATIENCE_S)

    run(PAGE)  # pages are touched for the first time, and modules imported late
    before = {name: private_bytes(pid) for name, pid in pids.items()}
    run(jobs)
    after = {name: private_bytes(pid) for name, pid in pids.items()}

    grown = {name: after[name] - before[name] for name in pids}
    told = ", ".join(f"{name} {after[name] // 1024} kB ({grown[name]:+} B)" for name in pids)
    record_property(FOR_THE_SUMMARY, f"memory after {jobs:,} further jobs: {told}")
    assert max(grown.values()) < 1_000_000
    assert {"master": jobd.pid, "poller": jobd.poller().pid} == pids
    assert jobd.stop() == 0
