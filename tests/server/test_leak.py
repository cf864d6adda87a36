"""Workers that leak a megabyte a job are replaced again and again, and what that costs."""

import statistics
from collections.abc import Callable

import pytest

from jobd.clock import SystemClock
from tests.conftest import FOR_THE_SUMMARY
from tests.server.load import PATIENCE_S, is_empty, jids, push_many
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow, pytest.mark.long]

CLOCK = SystemClock()
CONCURRENCY, JOBS, ROUNDS = 2, 1_200, 3
LEAKING = """
import time
import jobd
from tests.support.sample_jobs import record

KEPT = []


class Leak(jobd.Job):
    def perform(self, *args):
        KEPT.append(bytearray(b"x" * 1_000_000))
        time.sleep(0.05)
        record("done", "Leak", self.jid, list(args))
"""


def serving(jobd: JobdProcess) -> int:
    """Workers that have booted; one that is asked to leave has claimed its last job."""
    return sum("booting" not in child.title for child in jobd.children("worker"))


def run(raw: Raw, start_jobd: StartJobd, limit: str | None) -> tuple[float, int, int]:
    """Run all jobs; how long that takes, how many workers left, and the fewest that served."""
    config = {"concurrency": CONCURRENCY, "worker": {"max_memory": limit}}
    jobd = start_jobd(config=config, jobs=LEAKING)
    eventually(lambda: serving(jobd) == CONCURRENCY, message=jobd.log)
    fewest = [CONCURRENCY]

    def is_done() -> bool:
        fewest.append(serving(jobd))
        return len(jobd.ran()) >= JOBS

    began_s = CLOCK.monotonic()
    pushed = push_many(raw, "Leak", JOBS)
    eventually(is_done, timeout=5 * PATIENCE_S, message=jobd.log)
    took_s = CLOCK.monotonic() - began_s
    replaced = jobd.log().count("is replaced")
    assert jobd.stop(PATIENCE_S) == 0
    assert jids([jobd]) == sorted(pushed)
    assert is_empty(raw)
    jobd.close()
    return took_s, replaced, min(fewest)


@pytest.mark.timeout(1800)
def test_workers_that_leak_are_replaced_again_and_again_and_never_too_few_serve(
    raw: Raw, start_jobd: StartJobd, record_property: Callable[[str, str], None]
):
    took: dict[str | None, list[float]] = {None: [], "120M": []}
    for _ in range(ROUNDS):  # in turns: the machine is not always as fast
        for limit, seconds in took.items():
            took_s, replaced, fewest = run(raw, start_jobd, limit)
            seconds.append(took_s)
            assert fewest >= CONCURRENCY
            assert (replaced >= 2 * CONCURRENCY) if limit else replaced == 0
    without, limited = (JOBS / statistics.median(seconds) for seconds in took.values())
    line = (
        f"a leak of 1 MB a job: {without:.1f} jobs/s without a limit, {limited:.1f} with "
        f"max_memory: 120M ({limited / without - 1:+.1%})"
    )
    record_property(FOR_THE_SUMMARY, line)
