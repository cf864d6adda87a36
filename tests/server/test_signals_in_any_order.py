"""Any signals in any order, at any distance: the end is the same, and no job is lost."""

import signal
from collections import Counter

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from jobd.clock import SystemClock
from tests.server.load import PATIENCE_S, push_many
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow]

CLOCK = SystemClock()
NAMES = ("TERM", "INT", "QUIT", "HUP", "USR2", "TSTP", "CONT")
STOPPING = {"TERM", "INT", "QUIT"}
SEQUENCES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from((0.0, 0.02, 0.3))), min_size=1, max_size=8
)
Sequence = list[tuple[str, float]]


def until(at_s: float) -> None:
    eventually(lambda: CLOCK.monotonic() >= at_s, timeout=PATIENCE_S)


def send(jobd: JobdProcess, sequence: Sequence) -> None:
    for name, pause_s in sequence:
        if jobd.returncode is None:
            jobd.signal(signal.Signals[f"SIG{name}"])
            until(CLOCK.monotonic() + pause_s)


def everywhere(raw: Raw) -> Counter[str]:
    """The jids of all jobs that are left, by the number of places where they are."""
    queued = [payload["jid"] for payload in wire.queued(raw)]
    return Counter(queued + [payload["jid"] for payload in wire.entries(raw, "retry")])


def check_the_end(raw: Raw, jobd: JobdProcess, pushed: list[str]) -> None:
    done, left = {run["jid"] for run in jobd.ran()}, everywhere(raw)
    assert done | left.keys() == set(pushed)
    assert set(left.values()) <= {1}
    assert not raw.exists("retry", "dead")  # no retry spent
    assert wire.privates(raw) == []
    assert jobd.orphans() == []


def obey(raw: Raw, start_jobd: StartJobd, sequence: Sequence, *, is_booting: bool) -> None:
    raw.flushdb()
    pushed = [wire.push(raw, "Nap", 60), *push_many(raw, "Echo", 300)]
    config = {"concurrency": 2, "timeout": 1, "pidfile": "jobd.pid"}
    jobd = start_jobd(config=config, ready=not is_booting)
    eventually((jobd.directory / "jobd.pid").exists)  # from then on it has its handlers
    send(jobd, sequence)
    if not STOPPING & {name for name, _ in sequence}:
        pushed += push_many(raw, "Echo", 100)
        jobd.signal(signal.SIGTERM)
    assert jobd.wait(PATIENCE_S) == 0
    check_the_end(raw, jobd, pushed)
    jobd.close()


EVERY_PUSH = settings(
    max_examples=2,
    derandomize=True,  # what fails is what was changed, not the day
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@EVERY_PUSH
@example([("TSTP", 0.02), ("HUP", 0.3), ("USR2", 0.3), ("CONT", 0.0), ("TERM", 0.0), ("CONT", 0)])
@example([("INT", 0.02), ("HUP", 0.0), ("INT", 0.0), ("TSTP", 0.0), ("CONT", 0.0)])
@given(sequence=SEQUENCES)
def test_signals_in_any_order_end_with_status_0_and_lose_nothing(
    raw: Raw, start_jobd: StartJobd, sequence: Sequence
):
    obey(raw, start_jobd, sequence, is_booting=False)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(EVERY_PUSH, max_examples=60)
@given(sequence=SEQUENCES, is_booting=st.booleans())
def test_many_signals_in_any_order_also_while_it_boots_lose_nothing(
    raw: Raw, start_jobd: StartJobd, sequence: Sequence, *, is_booting: bool
):
    obey(raw, start_jobd, sequence, is_booting=is_booting)
