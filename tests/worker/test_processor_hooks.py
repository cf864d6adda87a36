"""What a job's own hooks decide, and jobs that kill their worker."""

import os
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from jobd.errors import WorkerKilled
from jobd.jobs.iterating import Nowhere
from jobd.payload import Payload
from tests.worker.bench_jobs import (
    NOW_S,
    BenchAdvised,
    BenchEcho,
    BenchFail,
    BenchFork,
)
from tests.worker.conftest import Bench, MakeBench

pytestmark = pytest.mark.usefixtures("jobs_as_new")


# The job's own hooks


def test_retry_in_sets_the_delay(bench: Bench) -> None:
    BenchAdvised.on_retry = lambda count, error, payload: 3_000
    bench.knows(BenchAdvised).push("BenchAdvised")
    bench.step()
    ((_, score),) = bench.raw.zrange("retry", 0, -1, withscores=True)
    assert NOW_S + 3_000 <= score < NOW_S + 3_010


def test_retry_in_is_told_the_count_the_error_and_the_payload(bench: Bench) -> None:
    asked: list[tuple[int, str, str]] = []

    def note(count: int, error: BaseException, payload: dict[str, Any]) -> None:
        asked.append((count, str(error), payload["error_message"]))

    BenchAdvised.on_retry = note
    bench.knows(BenchAdvised).push("BenchAdvised", retry_count=4)
    bench.step()
    assert asked == [(5, "as told", "as told")]


@pytest.mark.parametrize(("advice", "dead"), [("kill", 1), ("discard", 0)])
def test_retry_in_may_end_it(bench: Bench, advice: str, dead: int) -> None:
    deaths: list[dict[str, Any]] = []
    bench.hooks.death_handlers.append(lambda payload, error: deaths.append(payload))
    BenchAdvised.on_retry = lambda count, error, payload: advice
    bench.knows(BenchAdvised).push("BenchAdvised")
    bench.step()
    assert (len(bench.entries("dead")), bench.entries("retry"), len(deaths)) == (dead, [], 1)


def raise_it(*args: Any) -> NoReturn:
    raise ZeroDivisionError


def spoil(*args: Any) -> None:
    """Make of the payload what cannot be stored."""
    (payload,) = (arg for arg in args if isinstance(arg, dict))
    payload["args"] = object()
    del payload["error_message"]


@pytest.mark.parametrize("hook", [raise_it, spoil])
def test_a_retry_in_that_raises_or_spoils_the_payload_costs_nothing(
    bench: Bench, hook: Callable[..., Any]
) -> None:
    BenchAdvised.on_retry = hook
    bench.knows(BenchAdvised).push("BenchAdvised", "kept")
    bench.step()
    assert bench.only("retry")["args"] == ["kept"]


@pytest.mark.parametrize("hook", [raise_it, spoil])
def test_an_exhausted_hook_that_raises_or_spoils_the_payload_costs_nothing(
    bench: Bench, hook: Callable[..., Any]
) -> None:
    BenchAdvised.on_exhausted = hook
    bench.knows(BenchAdvised).push("BenchAdvised", "kept", retry=0)
    bench.step()
    assert bench.only("dead")["args"] == ["kept"]


@pytest.mark.parametrize("fields", [{"dead": False}, {}], ids=["dead: false", "the hook's word"])
def test_a_death_may_leave_nothing_behind(bench: Bench, fields: dict[str, Any]) -> None:
    deaths: list[dict[str, Any]] = []
    bench.hooks.death_handlers.append(lambda payload, error: deaths.append(payload))
    BenchAdvised.on_exhausted = lambda payload, error: None if fields else "discard"
    bench.knows(BenchAdvised).push("BenchAdvised", retry=0, **fields)
    bench.step()
    bench.fetcher.flush()
    assert (bench.entries("dead"), bench.held(), len(deaths)) == ([], 0, 1)


def test_handlers_that_raise_do_not_stop_the_others(bench: Bench) -> None:
    heard: list[str] = []
    for handlers in (bench.hooks.error_handlers, bench.hooks.death_handlers):
        handlers += [raise_it, lambda *args: heard.append("heard")]
    bench.knows(BenchFail).push("BenchFail", retry=0)
    bench.step()
    assert heard == ["heard", "heard"]


def test_the_dead_set_keeps_as_many_as_it_may(bench: Bench) -> None:
    bench.dead_max_jobs = 2
    bench.knows(BenchFail)
    for n in range(3):
        bench.push("BenchFail", n, retry=0)
        bench.step()
        bench.clock.advance(1)
    assert [entry["args"] for entry in bench.entries("dead")] == [[1], [2]]


# Killers


def test_a_job_that_killed_three_workers_is_buried_unrun_with_the_reason(bench: Bench) -> None:
    asked: list[str] = []
    deaths: list[BaseException] = []
    BenchAdvised.on_exhausted = lambda payload, error: asked.append(str(error))
    bench.hooks.death_handlers.append(lambda payload, error: deaths.append(error))
    bench.knows(BenchAdvised).push("BenchAdvised", recovered=3, recovered_reason="SIGSEGV")
    bench.step()
    dead = bench.only("dead")
    assert dead["error_class"] == "jobd.errors.WorkerKilled"
    assert dead["error_message"].endswith("the last time of: SIGSEGV")
    assert asked == [dead["error_message"]]
    assert type(deaths[0]) is WorkerKilled
    assert bench.counts() == {"processed": 0, "failed": 0}


def test_a_killer_that_an_operator_retries_is_run_again(bench: Bench) -> None:
    bench.knows(BenchEcho).push("BenchEcho", recovered=3)
    bench.step()
    bench.raw.lpush("queue:default", *bench.raw.zrange("dead", 0, -1))
    bench.step()
    assert len(BenchEcho.ran) == 1


def test_a_killer_shows_in_the_slot_while_its_hooks_run(bench: Bench) -> None:
    # So that one whose hook kills the worker too is charged, and does not loop.
    seen: list[bool] = []
    BenchAdvised.on_exhausted = lambda payload, error: seen.append(bench.slot.is_busy)
    bench.knows(BenchAdvised).push("BenchAdvised", recovered=3)
    bench.step()
    assert seen == [True]
    assert not bench.slot.is_busy


def test_a_killer_whose_hook_killed_a_worker_is_buried_without_it(bench: Bench) -> None:
    BenchAdvised.on_exhausted = lambda payload, error: os._exit(9)
    bench.knows(BenchAdvised).push("BenchAdvised", recovered=4)
    bench.step()
    assert len(bench.entries("dead")) == 1


def test_only_an_iterable_job_may_make_up_for_the_deaths_of_its_workers(bench: Bench) -> None:
    class Lenient(Nowhere):
        def forgiven(self, payload: Payload) -> int:
            return int(payload["recovered"])  # as if Redis had not answered

    bench.attention.progress = Lenient()
    bench.knows(BenchEcho).push("BenchEcho", recovered=3)
    bench.step()
    assert BenchEcho.ran == []
    assert bench.only("dead")["error_class"].endswith("WorkerKilled")


@pytest.mark.parametrize("recovered", [2, "3", None])
def test_fewer_deaths_do_not_keep_it_from_running(bench: Bench, recovered: object) -> None:
    bench.knows(BenchEcho).push("BenchEcho", recovered=recovered)
    bench.step()
    assert len(BenchEcho.ran) == 1


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_child_of_a_job_that_forks_does_not_settle_it(make_bench: MakeBench) -> None:
    bench = make_bench().knows(BenchFork)
    bench.push("BenchFork")
    bench.step()
    bench.fetcher.flush()
    assert BenchFork.statuses == [70]
    assert bench.counts() == {"processed": 1, "failed": 0}
    assert (bench.held(), bench.entries("retry")) == (0, [])
