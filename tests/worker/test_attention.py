"""Signals to a worker, each in a forked child of its own."""

import json
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

import jobd.worker.attention
from jobd.clock import SystemClock
from jobd.errors import JobInterrupted
from jobd.scoreboard import Scoreboard
from jobd.worker.attention import Attention
from jobd.worker.execution import Done, Failed, Interrupted, execute
from tests.support.clock import FakeClock
from tests.worker.conftest import QuietMaster

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

Act: TypeAlias = Callable[[Attention], object]
TIMEOUT_S = 25
TIME_IS_UP = (signal.SIGTERM, signal.SIGUSR2)


def fork(act: Act, *, is_booted: bool = True) -> tuple[Any, int]:
    """What ``act`` returned in a child that heeds signals, and how the child ended."""
    reader, writer = os.pipe()
    pid = os.fork()  # noqa: TID251 - a worker is a process
    if pid == 0:
        try:
            os.write(writer, json.dumps(heeding(act, is_booted=is_booted)).encode())
            os._exit(0)
        except BaseException:  # noqa: BLE001 - told here, since the frames above are pytest's
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        told = stream.read()
    return json.loads(told or b"null"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def heeding(act: Act, *, is_booted: bool) -> object:
    slot = Scoreboard(SystemClock(), slots=1).writer(1)
    attention = Attention(QuietMaster(), slot, TIMEOUT_S)
    attention.open()
    if is_booted:
        attention.booted()
    return act(attention)


def in_child(act: Act) -> Any:
    """What ``act`` returned; the child must have ended well."""
    result, code = fork(act)
    assert code == 0
    return result


def arrive(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def ended(attention: Attention, run: Callable[[], object]) -> str:
    """How a job ends that does this."""
    return type(execute(attention.interruptible, lambda _: run(), None)).__name__


def deadline_s() -> float:
    """Until this worker's own alarm; 0 if it is not set."""
    return signal.getitimer(signal.ITIMER_REAL)[0]


@pytest.mark.parametrize("numbers", [TIME_IS_UP, (signal.SIGQUIT,)])
def test_an_interruption_ends_a_running_job(numbers: tuple[int, ...]) -> None:
    assert in_child(lambda heed: ended(heed, lambda: arrive(*numbers))) == "Interrupted"


def test_an_interruption_between_two_jobs_is_not_for_the_next_one() -> None:
    def act(heed: Attention) -> object:
        arrive(signal.SIGUSR2)
        return ended(heed, lambda: None), heed.is_stopping

    assert in_child(act) == ["Done", False]


def test_an_interruption_does_not_touch_the_code_that_settles() -> None:
    def act(heed: Attention) -> object:
        first = ended(heed, lambda: arrive(*TIME_IS_UP))
        arrive(signal.SIGUSR2, signal.SIGUSR2)  # while it is given back
        return first

    assert in_child(act) == "Interrupted"


def test_after_quit_no_job_begins() -> None:
    def act(heed: Attention) -> object:
        arrive(signal.SIGQUIT)
        return heed.is_stopping, ended(heed, lambda: None)

    assert in_child(act) == [True, "Interrupted"]


def test_time_that_is_up_while_stopping_interrupts_a_job_that_is_about_to_begin() -> None:
    def act(heed: Attention) -> object:
        arrive(*TIME_IS_UP)
        return ended(heed, lambda: None)

    assert in_child(act) == "Interrupted"


def test_term_leaves_the_job_alone_and_sets_a_deadline_of_its_own() -> None:
    def act(heed: Attention) -> object:
        return ended(heed, lambda: arrive(signal.SIGTERM)), heed.is_stopping, deadline_s()

    outcome, is_stopping, left_s = in_child(act)
    assert (outcome, is_stopping) == ("Done", True)
    assert TIMEOUT_S < left_s <= TIMEOUT_S + 1


def test_a_second_term_does_not_move_the_deadline() -> None:
    def act(heed: Attention) -> object:
        arrive(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, 9)  # as if time had passed
        arrive(signal.SIGTERM)
        return deadline_s()

    assert in_child(act) <= 9


def test_a_term_after_quit_sets_the_deadline() -> None:
    # The master died while it stopped fast: nobody else will end a job that does not listen.
    def act(heed: Attention) -> object:
        arrive(signal.SIGQUIT, signal.SIGTERM)
        return deadline_s()

    assert in_child(act) > TIMEOUT_S


def test_at_its_own_deadline_the_job_is_interrupted_and_little_time_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # More than three seconds, which a busy machine needs to come to the next line.
    monkeypatch.setattr(jobd.worker.attention, "_LAST_GRACE_S", 60.0)

    def act(heed: Attention) -> object:
        outcome = ended(heed, lambda: arrive(signal.SIGTERM, signal.SIGALRM))
        default = signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        return outcome, heed.is_out_of_time, heed.is_stopping, default, 0 < deadline_s() <= 60

    assert in_child(act) == ["Interrupted", True, True, True, True]


def test_a_timer_that_a_job_has_left_behind_ends_no_other_job() -> None:
    def act(heed: Attention) -> object:
        return ended(heed, lambda: arrive(signal.SIGALRM)), heed.is_stopping

    assert in_child(act) == ["Done", False]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_stop_while_booting_leaves_at_once_with_status_0(number: int) -> None:
    def act(heed: Attention) -> object:
        arrive(number)
        return "still here"

    assert fork(act, is_booted=False) == (None, 0)


@pytest.mark.parametrize(
    ("numbers", "is_quiet"),
    [
        ([signal.SIGTSTP], True),
        ([signal.SIGCONT], False),
        ([signal.SIGTSTP, signal.SIGCONT], False),
        ([signal.SIGTSTP, signal.SIGCONT, signal.SIGTSTP], True),
        ([signal.SIGTSTP, signal.SIGTSTP], True),
    ],
)
def test_the_last_of_tstp_and_cont_counts_also_after_a_long_job(
    numbers: list[int], is_quiet: bool
) -> None:
    def act(heed: Attention) -> object:
        outcome = ended(heed, lambda: arrive(*numbers))
        before = heed.is_quiet
        heed.look()
        return outcome, before, heed.is_quiet

    assert in_child(act) == ["Done", is_quiet, is_quiet]


def test_cont_does_not_undo_a_stop() -> None:
    def act(heed: Attention) -> object:
        arrive(signal.SIGTERM, signal.SIGCONT)
        heed.look()
        return heed.is_stopping

    assert in_child(act) is True


def test_signals_that_are_not_for_a_worker_do_nothing() -> None:
    def act(heed: Attention) -> object:
        others = (signal.SIGINT, signal.SIGHUP, signal.SIGTTOU, signal.SIGWINCH, signal.SIGPIPE)
        outcome = ended(heed, lambda: arrive(*others))
        return outcome, heed.is_stopping, heed.is_quiet

    assert in_child(act) == ["Done", False, False]


def test_the_death_of_the_master_means_to_stop(capfd: pytest.CaptureFixture[str]) -> None:
    def act(heed: Attention) -> object:
        heed._master.cut()  # type: ignore[attr-defined]  # a QuietMaster
        heed.wait(60)
        first = deadline_s()
        heed.wait(60)
        return heed.is_stopping, first > TIMEOUT_S, deadline_s() <= first

    assert in_child(act) == [True, True, True]
    assert capfd.readouterr().out.count("the master is gone") == 1


def test_a_wait_ends_when_a_signal_comes() -> None:
    def act(heed: Attention) -> object:
        arrive(signal.SIGTSTP)
        heed.wait(60)
        return heed.is_quiet

    assert in_child(act) is True


def test_a_worker_that_only_waits_glances_at_what_else_it_has_to_see_to() -> None:
    def act(heed: Attention) -> object:
        glances = [heed.glance()]
        for _ in range(2):
            heed.wait(0)
            glances += [heed.glance(), heed.glance()]
        return glances

    assert in_child(act) == [True, True, False, True, False]


def test_usr1_reopens_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    reopened: list[str] = []
    monkeypatch.setattr("jobd.log.reopen", lambda: reopened.append("reopened"))

    def act(heed: Attention) -> object:
        arrive(signal.SIGUSR1)
        heed.look()
        heed.look()
        return reopened

    assert in_child(act) == ["reopened"]


# A time limit


def limited(heed: Attention, seconds: float, run: Callable[[], object]) -> Callable[[], object]:
    """A job that sets itself a limit, as the processor does for it, and then does this."""

    def job() -> None:
        heed.limit(seconds, 5)
        run()

    return job


def failure(heed: Attention, job: Callable[[], object]) -> str:
    """The text of the error that a job ends with."""
    outcome = execute(heed.interruptible, lambda _: job(), None)
    heed.reclaim()
    return str(outcome.error) if isinstance(outcome, Failed) else type(outcome).__name__


def test_a_job_over_its_limit_fails_with_that() -> None:
    def act(heed: Attention) -> object:
        return failure(heed, limited(heed, 1e-9, lambda: arrive(signal.SIGUSR2)))

    assert in_child(act) == "it ran longer than its time_limit of 1e-09 s"


def test_only_a_limit_that_ends_before_the_master_wakes_is_told_it() -> None:
    def act(_: Attention) -> object:
        clock, master, nudges = FakeClock(), QuietMaster(), list[int]()
        board = Scoreboard(clock, slots=1)
        board.set_master_wakes_at(clock.monotonic() + 1)
        heed = Attention(master, board.writer(1), TIMEOUT_S, clock=clock)
        for seconds in (2, 0.5):
            heed.limit(seconds, 5)
            nudges.append(master.nudges)
        return nudges

    assert in_child(act) == [0, 1]


def test_a_job_within_its_limit_or_without_one_is_left_alone() -> None:
    def act(heed: Attention) -> object:
        within = limited(heed, 60, lambda: arrive(signal.SIGUSR2))
        return failure(heed, within), failure(heed, lambda: arrive(signal.SIGUSR2))

    assert in_child(act) == ["Done", "Done"]


def test_the_limit_of_a_job_does_not_reach_the_next_one() -> None:
    def act(heed: Attention) -> object:
        first = failure(heed, limited(heed, 1e-9, lambda: None))
        arrive(signal.SIGUSR2)  # late
        return first, failure(heed, lambda: arrive(signal.SIGUSR2))

    assert in_child(act) == ["Done", "Done"]


def test_a_job_that_cleans_up_after_its_limit_is_not_interrupted_in_that() -> None:
    def act(heed: Attention) -> object:
        told: list[str] = []

        def run() -> None:
            try:
                arrive(signal.SIGUSR2)
            finally:
                arrive(signal.SIGUSR2, *TIME_IS_UP)
                told.append("clean")

        return failure(heed, limited(heed, 1e-9, run)), told

    assert in_child(act) == ["it ran longer than its time_limit of 1e-09 s", ["clean"]]


# A job that does not listen


def swallow() -> None:
    try:
        arrive(*TIME_IS_UP)
    except BaseException:  # noqa: BLE001 - as apps do
        arrive(signal.SIGUSR2)


def test_a_job_that_swallows_its_interruption_and_returns_is_done() -> None:
    assert in_child(lambda heed: ended(heed, swallow)) == "Done"


def test_a_job_that_swallows_everything_for_ever_is_ended_by_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobd.worker.attention, "_LAST_GRACE_S", 0.01)

    def deaf() -> None:
        arrive(signal.SIGTERM, signal.SIGALRM)

    def run() -> None:
        while True:
            try:
                deaf()
                signal.pause()
            except BaseException:  # noqa: BLE001 - as apps do
                signal.pause()

    result, code = fork(lambda heed: ended(heed, run))
    assert (result, code) == (None, -signal.SIGALRM)


def test_what_wraps_the_interruption_is_one() -> None:
    def wrap() -> None:
        try:
            arrive(*TIME_IS_UP)
        except JobInterrupted as stop:
            raise ValueError("cleaned up") from stop

    assert in_child(lambda heed: ended(heed, wrap)) == Interrupted.__name__
    assert in_child(lambda heed: ended(heed, lambda: None)) == Done.__name__
