"""Ending a job in a thread: in the job's own code or not at all."""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import pytest

from jobd.errors import JobCancelled, JobInterrupted, JobTimeout
from jobd.scoreboard import Scoreboard, SlotWriter
from jobd.worker.attention import Attention
from jobd.worker.company import Company
from jobd.worker.execution import DONE, Failed, Interrupted, Outcome, execute
from jobd.worker.thread_attention import ThreadAttention
from tests.support import inboxes
from tests.support.clock import FakeClock
from tests.support.running import show_job
from tests.worker.conftest import QuietMaster


@pytest.fixture(autouse=True)
def untraced() -> Iterator[None]:
    """CPython 3.11 may hang in traced threads while asynchronous exceptions are set."""
    ours, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    yield
    sys.settrace(ours)
    threading.settrace(of_threads)


class Desk:
    """A thread that runs what it is given, and what has been asked of it."""

    def __init__(self, clock: FakeClock) -> None:
        self.board = Scoreboard(clock, slots=1)
        self.clock = clock
        self.master = QuietMaster()
        self.process = Attention(self.master, self.board.writer(1), 25, clock=clock)
        self.slot: SlotWriter = self.board.writer(1, 1)
        self.company = Company(lambda: self.process.is_quiet)
        self.attention = ThreadAttention(self.process, self.slot, self.company, clock)
        self.process.threads = [self.attention]
        self._thread = ThreadPoolExecutor(1, initializer=self.attention.enter)

    def run(self, job: Callable[[object], object]) -> Future[Outcome]:
        return self._thread.submit(execute, self.attention.interruptible, job, None)

    def aside(self, function: Callable[[], None]) -> Future[None]:
        """Call something else in the thread."""
        return self._thread.submit(function)

    def close(self) -> None:
        self._thread.shutdown()
        self.master.close()
        inboxes.forget(self.process._inbox)


@pytest.fixture
def desk(clock: FakeClock) -> Iterator[Desk]:
    made = Desk(clock)
    yield made
    made.close()


class Loop:
    """A job that runs until it is ended."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()

    def __call__(self, _: object) -> None:
        self.has_begun.set()
        for _ in count():
            pass


def begin(desk: Desk) -> Future[Outcome]:
    loop = Loop()
    ended = desk.run(loop)
    loop.has_begun.wait(30)
    return ended


def test_a_job_that_is_over_is_done(desk: Desk):
    assert desk.run(lambda _: None).result(30) is DONE
    assert not desk.attention.was_interrupted


def test_a_stop_ends_the_job_and_keeps_the_next_from_beginning(desk: Desk):
    ended = begin(desk)
    desk.process.is_stopping = True
    desk.process._interrupt()
    outcome = ended.result(30)
    assert isinstance(outcome, Interrupted)
    assert isinstance(outcome.reason, JobInterrupted)
    assert desk.attention.was_interrupted
    later: list[int] = []
    assert isinstance(desk.run(lambda _: later.append(1)).result(30), Interrupted)
    assert later == []


def test_the_time_limit_of_a_job_ends_it_with_its_seconds(desk: Desk):
    loop = Loop()

    def limited(_: object) -> None:
        desk.attention.limit(3, 60)
        loop(None)

    ended = desk.run(limited)
    loop.has_begun.wait(30)
    desk.attention.interrupt_for_its_reason()  # it has time yet
    assert not ended.done()
    desk.clock.advance(4)
    desk.attention.interrupt_for_its_reason()
    outcome = ended.result(30)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, JobTimeout)
    assert str(outcome.error) == "it ran longer than its time_limit of 3 s"
    assert not desk.attention.was_interrupted
    assert desk.board.limit(1, 1) is not None
    desk.attention.reclaim()
    assert desk.board.limit(1, 1) is None


def test_a_cancelled_job_is_ended(desk: Desk):
    show_job(desk.slot, "default", "Job", "aa", 1.0)
    ended = begin(desk)
    desk.board.cancel(1, "bb", 1)
    desk.attention.interrupt_for_its_reason()  # another job is meant
    assert not ended.done()
    desk.board.cancel(1, "aa", 1)
    desk.attention.interrupt_for_its_reason()
    outcome = ended.result(30)
    assert isinstance(outcome, Interrupted)
    assert isinstance(outcome.reason, JobCancelled)


def test_a_job_is_ended_only_once(desk: Desk):
    go_on = threading.Event()

    def swallow(_: object) -> None:
        try:
            loop(None)
        except JobInterrupted:
            go_on.wait(30)

    loop = Loop()
    ended = desk.run(swallow)
    loop.has_begun.wait(30)
    desk.attention.interrupt()
    desk.attention.interrupt()
    go_on.set()
    assert ended.result(30) is DONE


def test_what_is_asked_between_two_jobs_ends_neither(desk: Desk):
    desk.attention.interrupt()
    assert desk.run(lambda _: None).result(30) is DONE
    desk.attention.interrupt()
    assert desk.run(lambda _: None).result(30) is DONE


def test_a_job_that_ends_itself_is_not_ended_by_others_any_more(desk: Desk):
    def stop(_: object) -> None:
        desk.attention.end_job(JobInterrupted())

    outcome = desk.run(stop).result(30)
    assert isinstance(outcome, Interrupted)
    assert desk.attention.was_interrupted
    desk.attention.interrupt()
    assert desk.run(lambda _: None).result(30) is DONE


def test_an_interruption_never_comes_up_outside_of_the_job(desk: Desk):
    outcomes: Counter[type] = Counter()

    def work(steps: int) -> None:
        for _ in range(steps):
            pass

    def run_many() -> None:
        # As a processor does: what came up between two calls of execute() would end this.
        while outcomes[Interrupted] < 20:
            outcome = execute(desk.attention.interruptible, work, outcomes.total() % 50 * 100)
            settled = [number * number for number in range(20)]
            assert len(settled) == 20
            outcomes[type(outcome)] += 1

    running = desk.aside(run_many)
    while not running.done():
        desk.attention.interrupt()
    running.result()
    assert outcomes.keys() <= {Interrupted, type(DONE)}
