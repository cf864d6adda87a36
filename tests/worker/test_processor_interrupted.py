"""Jobs that are interrupted, and settlements that Redis refuses."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from jobd.errors import JobInterrupted, RedisRejected
from jobd.jobs import Job
from jobd.metrics import Counts
from jobd.scoreboard import State
from jobd.tallies import by_class
from tests.support import wire as by_hand
from tests.worker.bench_jobs import BenchEcho, BenchFail
from tests.worker.conftest import SLOT, Bench, MakeBench

pytestmark = pytest.mark.usefixtures("jobs_as_new")


# Interrupted


def test_an_interruption_that_the_job_made_up_is_a_failure(bench: Bench) -> None:
    BenchFail.error = JobInterrupted
    bench.knows(BenchFail).push("BenchFail")
    bench.step()
    (job,) = bench.entries("retry")
    assert job["error_class"] == "jobd.errors.JobInterrupted"
    assert by_class(bench.tallies.added()) == {"BenchFail": Counts(1, 1, 0)}
    assert bench.counts() == {"processed": 1, "failed": 1}


def test_an_interrupted_job_goes_back_unchanged_to_run_next(bench: Bench) -> None:
    def interrupted() -> BaseException:
        bench.attention.is_stopping = True
        bench.attention._on_arrival(signal.SIGUSR2)
        raise AssertionError("it should have raised")

    BenchFail.error = interrupted
    payload = bench.knows(BenchFail).push("BenchFail")
    bench.push("BenchEcho")
    bench.step()
    assert bench.queued()[0] == payload
    assert by_class(bench.tallies.added()) == {}
    assert (bench.entries("retry"), bench.held(), bench.slot.is_busy) == ([], 0, False)
    assert bench.counts() == {"processed": 0, "failed": 0}


def test_a_cancelled_job_that_runs_is_ended_and_neither_retried_nor_dead(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[bool] = []

    def cancelled() -> BaseException:
        bench.board.cancel(SLOT, payload["jid"])
        bench.attention._on_arrival(signal.SIGUSR2)
        raise AssertionError("it should have raised")

    def around(job: Job, payload: dict[str, Any], proceed: Callable[..., object]) -> None:
        asked.append(job.cancelled)
        try:
            proceed(job, payload)
        finally:
            asked.append(job.cancelled)

    BenchFail.error = cancelled
    bench.middleware.add(around)
    bench.hooks.error_handlers.append(lambda *_: asked.append(False))
    payload = bench.knows(BenchFail).push("BenchFail")
    processor = bench.make_processor()
    processor.step()
    bench.fetcher.flush()
    assert asked == [False, True]
    assert (bench.held(), bench.raw.exists("retry", "dead", "queue:default")) == (0, 0)
    assert bench.counts() == {"processed": 1, "failed": 0}
    assert by_class(bench.tallies.added()) == {}
    assert f"cancelled class=BenchFail jid={payload['jid']}" in capfd.readouterr().out


def test_an_order_to_cancel_one_job_does_not_end_another(bench: Bench) -> None:
    def late() -> BaseException:
        bench.board.cancel(SLOT, "another")
        bench.attention._on_arrival(signal.SIGUSR2)
        return ValueError("it ran on")

    BenchFail.error = late
    bench.knows(BenchFail).push("BenchFail")
    bench.step()
    assert bench.only("retry")["error_message"] == "it ran on"


@pytest.mark.parametrize("fields", [{}, {"recovered": 3}, {"timed_out": 1}])
def test_a_job_that_is_cancelled_before_it_begins_is_dropped(
    bench: Bench, fields: dict[str, Any]
) -> None:
    jid = bench.knows(BenchEcho).push("BenchEcho", 1, **fields)["jid"]
    bench.attention.cancelled_jids = {jid}
    BenchEcho.ran.clear()
    assert bench.step()
    bench.fetcher.flush()
    assert BenchEcho.ran == []
    assert (bench.held(), bench.raw.exists("retry", "dead", "queue:default")) == (0, 0)
    assert bench.counts() == {"processed": 0, "failed": 0}


def test_a_job_whose_worker_was_killed_for_its_time_limit_has_failed(bench: Bench) -> None:
    handled: list[BaseException] = []
    bench.hooks.error_handlers.append(lambda error, _: handled.append(error))
    BenchEcho.ran.clear()
    bench.knows(BenchEcho).push("BenchEcho", timed_out=2.5, recovered=1)
    bench.step()
    failed = bench.only("retry")
    assert failed["error_class"] == "jobd.errors.JobTimeout"
    assert "its time_limit of 2.5 s and did not end" in failed["error_message"]
    assert (failed["retry_count"], failed["recovered"]) == (0, 1)
    assert "timed_out" not in failed
    assert [type(error).__name__ for error in handled] == ["JobTimeout"]
    assert (BenchEcho.ran, bench.counts()) == ([], {"processed": 1, "failed": 1})


def test_a_job_whose_worker_was_killed_for_its_memory_has_failed(bench: Bench) -> None:
    BenchEcho.ran.clear()
    bench.knows(BenchEcho).push("BenchEcho", outgrown=120_000_000)
    bench.step()
    failed = bench.only("retry")
    assert failed["error_class"] == "jobd.errors.JobTooBig"
    assert "worker.max_memory (120000000 bytes)" in failed["error_message"]
    assert failed["retry_count"] == 0
    assert "outgrown" not in failed
    assert (BenchEcho.ran, bench.counts()) == ([], {"processed": 1, "failed": 1})


def test_a_time_limit_that_another_client_made_up_is_a_failure(bench: Bench) -> None:
    bench.knows(BenchEcho).push("BenchEcho", time_limit="soon")
    bench.step()
    assert "time_limit: seconds above 0" in bench.only("retry")["error_message"]


@pytest.mark.parametrize("state", ["is_quiet", "is_stopping"])
def test_a_job_that_was_claimed_as_the_signal_came_goes_back(bench: Bench, state: str) -> None:
    payload = bench.knows(BenchEcho).push("BenchEcho")
    bench.push("BenchEcho")
    setattr(bench.attention, state, True)
    assert bench.step()
    assert (BenchEcho.ran, bench.queued()[0]) == ([], payload)


# Redis says no


def test_a_job_that_cannot_be_settled_in_time_stays_held(
    make_bench: MakeBench, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = make_bench().knows(BenchFail)
    bench.push("BenchFail")
    bench.raw.set("retry", "not a sorted set")
    bench.attention.is_out_of_time = True
    bench.step()
    assert bench.held() == 1
    assert "the job could not be settled" in capfd.readouterr().out


def test_a_settlement_is_tried_until_the_server_takes_it(
    make_bench: MakeBench, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = make_bench().knows(BenchFail)
    bench.push("BenchFail")
    bench.raw.set("retry", "not a sorted set")
    tries: list[float] = []

    def heal(seconds: float) -> None:
        tries.append(seconds)
        if len(tries) == 3:
            bench.raw.delete("retry")

    bench.attention.wait = heal  # type: ignore[method-assign]  # instead of waiting
    bench.step()
    assert len(bench.entries("retry")) == 1
    assert len(tries) == 3
    assert "level=error" in capfd.readouterr().out


def test_a_job_that_somebody_else_recovered_is_not_settled_again(
    make_bench: MakeBench, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = make_bench().knows(BenchFail)

    def rob(job: Job, payload: dict[str, Any], proceed: Callable[..., object]) -> None:
        bench.raw.delete(*by_hand.privates(bench.raw))
        proceed(job, payload)

    bench.middleware.add(rob)
    bench.push("BenchFail")
    bench.step()
    assert bench.entries("retry") == []
    told = capfd.readouterr().out
    assert "ownership lost" in told
    assert "or the store was emptied" in told


def test_a_fetch_that_fails_is_the_callers_to_handle(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.raw.set("jobd:privates", "not a set")
    with pytest.raises(RedisRejected):
        bench.step()
    assert bench.slot.state is not State.RUNNING
