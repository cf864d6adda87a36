"""A job's life from the claim to the settlement, with real Redis, real fetchers and real jobs."""

import json
import random
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from jobd.errors import UnknownJob
from jobd.jobs import Job
from jobd.metrics import Counts
from jobd.scoreboard import State, fingerprint
from jobd.tallies import by_class, waits
from tests.support import wire as by_hand
from tests.worker.bench_jobs import (
    NOW_S,
    BenchAdvised,
    BenchBroken,
    BenchEcho,
    BenchFail,
    BenchFork,
    BenchModest,
    OddAttributes,
)
from tests.worker.conftest import Bench, MakeBench, record_handlers

pytestmark = pytest.mark.usefixtures("jobs_as_new")


# Done


def test_a_job_runs_with_its_arguments_its_jid_and_its_queue(bench: Bench) -> None:
    payload = bench.knows(BenchEcho).push("BenchEcho", 1, "ä", None, {"k": [2]})
    assert bench.step()
    assert BenchEcho.ran == [(payload["jid"], "default", 1, "ä", None, {"k": [2]})]
    bench.fetcher.flush()
    assert (bench.held(), bench.queued()) == (0, [])


def test_a_done_job_is_counted_and_waits_in_the_ring_until_it_is_acknowledged(
    make_bench: MakeBench,
) -> None:
    bench = make_bench().knows(BenchEcho)
    raw = by_hand.encode(bench.push("BenchEcho"))
    bench.step()
    assert bench.counts() == {"processed": 1, "failed": 0}
    assert (bench.slot.finished, bench.held()) == ((fingerprint(raw),), 1)
    bench.fetcher.flush()
    assert (bench.slot.finished, bench.held()) == ((), 0)


def test_a_running_job_shows_in_its_slot(bench: Bench) -> None:
    seen = []

    def look(job: Job, payload: dict[str, Any], proceed: Callable[..., object]) -> None:
        seen.append(bench.slot)
        proceed(job, payload)

    bench.middleware.add(look)
    payload = bench.knows(BenchEcho).push("BenchEcho", queue="low")
    bench.step()
    (state,) = seen
    assert (state.state, state.name, state.jid) == (State.RUNNING, "BenchEcho", payload["jid"])
    assert (state.queue, state.started) == ("low", NOW_S)
    assert not bench.slot.is_busy


@pytest.mark.parametrize("jid", [..., None, 17, "", ["odd"], "x" * 300, "ä\n"])
def test_any_jid_or_none_will_do(bench: Bench, jid: object) -> None:
    bench.knows(BenchEcho).push("BenchEcho", jid=jid)
    assert bench.step()
    assert len(BenchEcho.ran) == 1
    assert bench.counts() == {"processed": 1, "failed": 0}


def test_a_job_without_a_jid_is_not_told_from_its_twin_so_its_end_is_not_remembered(
    make_bench: MakeBench,
) -> None:
    bench = make_bench().knows(BenchEcho)
    bench.push("BenchEcho", jid=...)
    bench.step()
    assert bench.slot.finished == ()


# Failed


def test_a_failure_goes_to_retry_with_the_fields_of_sidekiq(bench: Bench) -> None:
    payload = bench.knows(BenchFail).push("BenchFail", 1, cattr={"user": 7})
    bench.step()
    assert bench.only("retry") == payload | {
        "error_message": "as told",
        "error_class": "ValueError",
        "failed_at": NOW_S * 1000,
        "retry_count": 0,
    }
    assert bench.counts() == {"processed": 1, "failed": 1}
    assert (bench.held(), bench.queued(), bench.slot.finished) == (0, [], ())


@pytest.mark.parametrize(("retries", "place"), [(25, "retry"), (2, "dead")])
def test_who_fails_again_leaves_the_error_before_beside_the_job(
    bench: Bench, retries: int, place: str
) -> None:
    before = {"error_class": "IOError", "error_message": "x" * 999, "failed_at": 7}
    before |= {"retried_at": 9, "retry_count": 1}
    payload = bench.knows(BenchFail).push("BenchFail", retry=retries, **before)
    bench.step()
    assert bench.only(place)["error_message"] == "as told"
    (kept,) = bench.raw.lrange(f"jobd:errors:{payload['jid']}", 0, -1)
    assert json.loads(kept) == {
        "error_class": "IOError",
        "error_message": "x" * 200,
        "at": 9,
        "failed_at": 7,
    }


def test_a_first_failure_leaves_nothing_beside_the_job(bench: Bench) -> None:
    bench.knows(BenchFail).push("BenchFail")
    bench.step()
    assert bench.only("retry")
    assert bench.raw.keys("jobd:errors:*") == []


def test_wire_7_writes_float_seconds(make_bench: MakeBench) -> None:
    bench = make_bench(wire=7).knows(BenchFail)
    bench.push("BenchFail")
    bench.step()
    assert b'"failed_at":1800000000.0' in bench.raw.zrange("retry", 0, -1)[0]


def test_the_retry_is_due_by_the_servers_clock(bench: Bench) -> None:
    bench.board.set_clock_offset(-100)
    bench.knows(BenchFail).push("BenchFail")
    bench.step()
    jitter = random.Random(1).randrange(10)
    ((_, score),) = bench.raw.zrange("retry", 0, -1, withscores=True)
    assert score == NOW_S - 100 + 15 + jitter


def test_a_retry_is_stored_before_the_error_handlers_hear_of_it(make_bench: MakeBench) -> None:
    bench = make_bench().knows(BenchAdvised)
    seen = record_handlers(bench)
    bench.push("BenchAdvised")
    bench.step()
    assert seen == [("retry_in", 0, 0, 1), ("error", 1, 0, 0)]


def test_a_death_is_stored_before_the_death_handlers_hear_of_it(make_bench: MakeBench) -> None:
    bench = make_bench().knows(BenchAdvised)
    seen = record_handlers(bench)
    bench.push("BenchAdvised", retry=0)
    bench.step()
    assert seen == [("exhausted", 0, 0, 1), ("death", 0, 1, 0), ("error", 0, 1, 0)]


def test_error_handlers_get_the_job_as_it_was_fetched(bench: Bench) -> None:
    heard: list[tuple[BaseException, dict[str, Any]]] = []
    bench.hooks.error_handlers.append(lambda error, context: heard.append((error, context)))
    payload = bench.knows(BenchFail).push("BenchFail")
    bench.step()
    ((error, context),) = heard
    assert str(error) == "as told"
    assert context["job"] == payload


def test_what_middleware_did_to_a_payload_is_not_kept(bench: Bench) -> None:
    def meddle(job: Job, payload: dict[str, Any], proceed: Callable[..., object]) -> None:
        payload |= {"args": ["changed"], "retry": 0, "secret": "token", "class": "Other"}
        proceed(job, payload)

    bench.middleware.add(meddle)
    bench.knows(BenchFail).push("BenchFail", "kept")
    bench.step()
    failed = bench.only("retry")
    assert (failed["args"], failed["retry"], failed["class"]) == (["kept"], True, "BenchFail")
    assert "secret" not in failed


def test_a_middleware_that_raises_is_a_failure_of_the_job(bench: Bench) -> None:
    def refuse(job: Job, payload: dict[str, Any], proceed: Callable[..., object]) -> NoReturn:
        raise PermissionError("not today")

    bench.middleware.add(refuse)
    bench.knows(BenchEcho).push("BenchEcho")
    bench.step()
    assert bench.only("retry")["error_class"] == "PermissionError"


def test_a_job_that_cannot_be_made_fails(bench: Bench) -> None:
    bench.knows(BenchBroken).push("BenchBroken")
    bench.step()
    assert bench.only("retry")["error_message"] == "in __init__"


def test_arguments_that_perform_does_not_take_are_a_failure(bench: Bench) -> None:
    bench.knows(BenchFork).push("BenchFork", "one too many")
    bench.step()
    assert bench.only("retry")["error_class"] == "TypeError"


@pytest.mark.parametrize(
    "error",
    [
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        RecursionError,
        MemoryError,
        OddAttributes,
        lambda: ValueError("\ud800"),
        lambda: ValueError("x" * 1_000_000),
    ],
    ids=["exit", "interrupt", "generator", "recursion", "memory", "odd", "surrogate", "long"],
)
def test_whatever_is_raised_is_stored_as_a_failure_of_that_job(
    make_bench: MakeBench, error: Callable[[], BaseException]
) -> None:
    bench = make_bench().knows(BenchFail, BenchEcho)
    BenchFail.error = error
    bench.push("BenchFail", backtrace=True)
    bench.push("BenchEcho")
    assert bench.step()
    assert bench.step()
    assert bench.only("retry")["retry_count"] == 0
    assert len(BenchEcho.ran) == 1


def test_an_unknown_name_is_an_ordinary_failure(bench: Bench) -> None:
    heard: list[BaseException] = []
    bench.hooks.error_handlers.append(lambda error, context: heard.append(error))
    bench.push("NobodyDefinedMe", retry=...)
    bench.step()
    failed = bench.only("retry")
    assert (failed["retry"], failed["error_class"]) == (True, "jobd.errors.UnknownJob")
    assert "NobodyDefinedMe" in failed["error_message"]
    assert type(heard[0]) is UnknownJob
    assert bench.counts() == {"processed": 1, "failed": 1}


@pytest.mark.parametrize("name", ["No\0Such", "\0", "Nö\n", "x" * 5_000, "os.system", "a b"])
def test_any_name_may_be_unknown(bench: Bench, name: str) -> None:
    bench.push(name)
    bench.step()
    assert bench.only("retry")["class"] == name


@pytest.mark.parametrize("retry", [..., None])
def test_a_payload_without_retry_follows_its_class(bench: Bench, retry: object) -> None:
    bench.knows(BenchModest).push("BenchModest", retry=retry)
    bench.step()
    assert bench.only("dead")["retry"] == 0


def test_with_retry_false_nothing_is_kept_and_death_handlers_hear_of_it(bench: Bench) -> None:
    deaths: list[dict[str, Any]] = []
    bench.hooks.death_handlers.append(lambda payload, error: deaths.append(payload))
    bench.knows(BenchFail).push("BenchFail", retry=False)
    bench.step()
    bench.fetcher.flush()
    assert (bench.entries("retry"), bench.entries("dead"), bench.held()) == ([], [], 0)
    assert [death["discarded_at"] for death in deaths] == [NOW_S * 1000]
    assert bench.counts() == {"processed": 1, "failed": 1}


# What it cost


def test_a_done_job_is_measured_by_the_class_behind_its_wrapper(bench: Bench) -> None:
    def take(job: Job, payload: dict[str, Any], proceed: Callable[..., object]) -> None:
        bench.clock.advance(0.0255)
        payload["wrapped"] = "what middleware says is not asked"
        proceed(job, payload)

    bench.middleware.add(take)
    bench.knows(BenchEcho).push("BenchEcho")
    bench.push("BenchEcho", wrapped="WelcomeMail")
    for _ in range(2):
        bench.step()
    once = Counts(1, 0, 25, (0, 1, *[0] * 24))
    assert by_class(bench.tallies.added()) == {"BenchEcho": once, "WelcomeMail": once}


def test_a_failed_job_is_counted_but_not_its_time(bench: Bench) -> None:
    bench.knows(BenchFail).push("BenchFail")
    bench.step()
    assert by_class(bench.tallies.added()) == {"BenchFail": Counts(1, 1, 0)}


@pytest.mark.parametrize("text", [b"{", b'{"class":"Nobody","args":[],"jid":"1"}'])
def test_what_no_class_has_run_is_not_measured(bench: Bench, text: bytes) -> None:
    bench.raw.lpush("queue:default", text)
    bench.step()
    assert by_class(bench.tallies.added()) == {}


def test_how_long_the_oldest_job_of_a_claim_has_waited_is_measured(bench: Bench) -> None:
    bench.knows(BenchEcho)
    now_ms = bench.clock.now_ms()
    for waited_ms in (25, 24, 3):
        bench.push("BenchEcho", enqueued_at=now_ms - waited_ms)
    bench.step()
    bench.step()  # within the same millisecond
    bench.clock.advance(0.002)
    bench.step()
    assert waits(bench.tallies.added()) == {"default": Counts(2, 0, 30, (1, 1, *[0] * 24))}


# What is no job


@pytest.mark.parametrize(
    "text",
    [b"{", b"[]", b"17", b"\xff\xfe", b'{"class":"BenchEcho"}', b'{"args":[]}', b"[" * 5_000],
)
def test_what_is_no_job_is_buried_as_it_is(bench: Bench, text: bytes) -> None:
    seen = record_handlers(bench)
    bench.knows(BenchEcho)
    bench.raw.lpush("queue:default", text)
    assert bench.step()
    assert bench.raw.zrange("dead", 0, -1) == [text]
    assert bench.counts() == {"processed": 0, "failed": 0}
    assert seen == [("error", 0, 1, 0)]
    assert bench.held() == 0
