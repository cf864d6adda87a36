"""The loop around a processor: work, rest, outlive Redis, leave."""

import asyncio
import random
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from jobd.cancelling import Cancelled, cancel
from jobd.connection import Backoff
from jobd.errors import RedisUnavailable
from jobd.fleet import Fleet
from jobd.jobs import Job
from jobd.keys import Keys
from jobd.scoreboard import State
from jobd.store import Store
from jobd.worker.worker import CancelWatch, PollerWatch, Pulse, Worker
from tests.worker.conftest import IDENTITY, Bench, MakeBench


class LoopJob(Job):
    """Does what the test says, then stops the worker if it is the last."""

    act: ClassVar[Callable[[Any], object]] = lambda argument: None

    def perform(self, argument: Any = None) -> None:
        LoopJob.act(argument)


@pytest.fixture
def bench(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(LoopJob, "act", lambda argument: None)
    return make_bench().knows(LoopJob)


def watch(bench: Bench) -> PollerWatch:
    return PollerWatch(Fleet(bench.connection, Keys()), IDENTITY, bench.board, bench.clock)


def run(bench: Bench) -> None:
    """Run a worker until something stops it."""
    Worker(
        processor=bench.make_processor(),
        fetcher=bench.fetcher,
        attention=bench.attention,
        display=bench.display,
        chores=(Pulse(bench.hooks, bench.clock), watch(bench)),
        hooks=bench.hooks,
        backoff=Backoff(random.Random(1)),
    ).run()


def stop_at(bench: Bench, last: Any, seen: list[Any]) -> None:
    def act(argument: Any) -> None:
        seen.append(argument)
        bench.attention.is_stopping = argument == last

    LoopJob.act = act


def script_waits(bench: Bench, *acts: Callable[[], object]) -> list[float]:
    """Do these things one by one instead of waiting; returns how long each wait would have been."""
    waits: list[float] = []
    left = list(acts)

    def wait(seconds: float) -> None:
        waits.append(seconds)
        left.pop(0)()

    bench.attention.wait = wait  # type: ignore[method-assign]  # instead of waiting
    return waits


def test_it_works_in_order_until_it_is_stopped_and_takes_nothing_after_that(bench: Bench) -> None:
    seen: list[Any] = []
    stop_at(bench, 2, seen)
    for n in (1, 2, 3):
        bench.push("LoopJob", n)
    run(bench)
    assert seen == [1, 2]
    assert [job["args"] for job in bench.queued()] == [[3]]
    assert (bench.held(), bench.slot.finished) == (0, ())
    assert bench.slot.state is State.STOPPING


def test_it_leaves_by_way_of_shutdown_and_exit_in_reverse_order(bench: Bench) -> None:
    ran: list[str] = []
    bench.hooks.on("shutdown", lambda: ran.append("shutdown 1"))
    bench.hooks.on("shutdown", lambda: ran.append("shutdown 2"))
    bench.hooks.on("exit", lambda: ran.append(f"exit, holding {bench.held()}"))
    stop_at(bench, 1, [])
    bench.push("LoopJob", 1)
    run(bench)
    assert ran == ["shutdown 2", "shutdown 1", "exit, holding 0"]


def test_a_quiet_worker_rests_until_it_is_resumed(bench: Bench) -> None:
    quieted: list[State] = []
    seen: list[Any] = []
    bench.hooks.on("quiet", lambda: quieted.append(bench.slot.state))
    stop_at(bench, 1, seen)
    bench.attention.is_quiet = True
    bench.push("LoopJob", 1)
    waits = script_waits(
        bench,
        lambda: seen.append(bench.slot.state),
        lambda: setattr(bench.attention, "is_quiet", False),
    )
    run(bench)
    assert (quieted, seen) == ([State.QUIET], [State.QUIET, 1])
    assert waits == [1, 1]


def test_what_redis_refuses_is_told_once_and_tried_with_growing_pauses(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.raw.set("jobd:privates", "not a set")
    stop_at(bench, 1, [])

    def heal() -> None:
        bench.raw.delete("jobd:privates")
        bench.push("LoopJob", 1)

    waits = script_waits(bench, lambda: None, lambda: None, heal)
    run(bench)
    assert len(waits) == 3
    assert all(0.05 <= wait <= 0.1 * 2**n for n, wait in enumerate(waits))
    assert capfd.readouterr().out.count("no job could be fetched") == 1


def test_what_cannot_be_given_back_at_the_end_is_left_to_the_poller(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    def act(argument: Any) -> None:
        bench.raw.acl_setuser("default", enabled=True, commands=["-evalsha"])
        bench.attention.is_stopping = True

    LoopJob.act = act
    bench.push("LoopJob")
    run(bench)
    bench.raw.acl_setuser("default", enabled=True, categories=["+@all"])
    assert bench.held() == 1
    assert "could not give back" in capfd.readouterr().out


# The event beat


def test_beat_comes_at_once_and_then_every_ten_seconds(bench: Bench) -> None:
    ran: list[float] = []
    bench.hooks.on("beat", lambda: ran.append(bench.clock.monotonic()))
    pulse, began = Pulse(bench.hooks, bench.clock), bench.clock.monotonic()
    for _ in range(26):
        pulse.step()
        bench.clock.advance(1)
    assert [at - began for at in ran] == [0, 10, 20]


def test_beat_comes_between_jobs_while_quiet_and_while_redis_is_away(bench: Bench) -> None:
    ran: list[tuple[str, State]] = []
    doing = "waiting for a job"

    def act(argument: Any) -> None:
        nonlocal doing
        doing = "had a job"
        bench.clock.advance(10)
        bench.attention.is_quiet = True

    def rest() -> None:
        nonlocal doing
        bench.clock.advance(10)
        doing, bench.attention.is_quiet = "away", False
        bench.raw.set("queue:default", "not a list")  # no wait succeeds
        bench.raw.set("jobd:privates", "not a set")  # and no claim

    def stop() -> None:
        bench.clock.advance(10)
        bench.attention.is_stopping = True

    LoopJob.act = act
    bench.hooks.on("beat", lambda: ran.append((doing, bench.slot.state)))
    script_waits(bench, rest, lambda: bench.clock.advance(10), stop)
    bench.push("LoopJob")
    run(bench)
    assert ran == [
        ("waiting for a job", State.IDLE),
        ("had a job", State.QUIET),
        ("away", State.IDLE),
        ("away", State.IDLE),
    ]


def test_a_beat_that_raises_or_wants_to_leave_ends_nothing(bench: Bench) -> None:
    seen: list[Any] = []

    def raising() -> None:
        seen.append("beat")
        raise asyncio.CancelledError

    bench.hooks.on("beat", raising)
    bench.hooks.on("beat", lambda: sys.exit(3))
    stop_at(bench, 1, seen)
    bench.push("LoopJob", 1)
    run(bench)
    assert seen == ["beat", 1]


# What is cancelled


def test_a_worker_knows_what_is_cancelled_before_its_first_job_and_then_what_is_new(
    bench: Bench,
) -> None:
    store = Store(bench.connection, Keys())
    cancel(store, "before")
    watcher = CancelWatch(Cancelled(store), bench.board, bench.attention)
    watcher.step()
    assert bench.attention.cancelled_jids == {"before"}
    cancel(store, "later")
    watcher.step()
    assert bench.attention.cancelled_jids == {"before"}  # no round trip before the poller says so
    bench.board.set_newest_cancel(1.5)
    watcher.step()
    assert bench.attention.cancelled_jids == {"before", "later"}


def test_a_key_that_cannot_be_read_keeps_no_job_from_running(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.raw.set("jobd:cancelled", "not a sorted set")
    watcher = CancelWatch(Cancelled(Store(bench.connection, Keys())), bench.board, bench.attention)
    watcher.step()
    watcher.step()
    assert capfd.readouterr().out.count("cancelled jobs cannot be known") == 1


# In the poller's place


def instance_ttl(bench: Bench) -> int:
    return int(bench.raw.ttl(f"jobd:instance:{IDENTITY}"))


@pytest.mark.parametrize(("silent_s", "is_renewed"), [(19, False), (21, True)])
def test_a_worker_beats_for_a_poller_that_has_been_silent_for_20_seconds(
    bench: Bench, silent_s: float, is_renewed: bool
) -> None:
    bench.board.writer(0).beat()
    watcher = watch(bench)
    bench.clock.advance(silent_s)
    watcher.step()
    assert (instance_ttl(bench) > 55) is is_renewed
    assert bool(bench.raw.sismember("processes", IDENTITY)) is is_renewed


def test_it_looks_every_five_seconds_and_sends_nothing_in_between(bench: Bench) -> None:
    watcher = watch(bench)
    bench.clock.advance(30)
    watcher.step()
    bench.raw.flushall()
    bench.clock.advance(4)
    watcher.step()
    assert instance_ttl(bench) == -2
    bench.clock.advance(1)
    watcher.step()
    assert instance_ttl(bench) > 55


def test_a_poller_that_was_only_late_finds_its_instance_alive(bench: Bench) -> None:
    bench.raw.hset(f"jobd:instance:{IDENTITY}", "state", "running")
    bench.raw.expire(f"jobd:instance:{IDENTITY}", 9)
    watcher = watch(bench)
    bench.clock.advance(30)
    watcher.step()
    assert instance_ttl(bench) > 55
    assert bench.raw.hgetall(f"jobd:instance:{IDENTITY}") == {b"state": b"running"}


def test_without_redis_the_watch_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = watch(bench)
    bench.clock.advance(30)

    def fail(*command: Any) -> None:
        raise RedisUnavailable("away")

    monkeypatch.setattr(bench.connection, "call", fail)
    with pytest.raises(RedisUnavailable):
        watcher.step()
