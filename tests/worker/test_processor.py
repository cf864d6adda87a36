"""A job's life from the claim to the settlement, with real Redis, real fetchers and real jobs."""

import os
import random
import signal
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import pytest

from jobd.errors import JobInterrupted, RedisRejected, UnknownJob, WorkerKilled
from jobd.jobs import Job, RetryIn
from jobd.jobs.iterating import Nowhere
from jobd.metrics import Counts
from jobd.payload import Payload
from jobd.scoreboard import State, fingerprint
from jobd.tallies import by_class
from tests.support import wire as by_hand
from tests.worker.conftest import SLOT, Bench, MakeBench

NOW_S = 1_800_000_000


class BenchEcho(Job):
    """Keeps what it was called with."""

    ran: ClassVar[list[tuple[Any, ...]]] = []

    def perform(self, *args: Any) -> None:
        self.ran.append((self.jid, self.queue, *args))


class BenchFail(Job):
    """Raises what its class variable says."""

    error: ClassVar[Callable[[], BaseException]] = lambda: ValueError("as told")

    def perform(self, *_args: Any) -> NoReturn:
        raise BenchFail.error()


class BenchAdvised(BenchFail):
    """Has hooks, which do what the test says."""

    on_retry: ClassVar[Callable[..., Any]] = lambda count, error, payload: None
    on_exhausted: ClassVar[Callable[..., Any]] = lambda payload, error: None

    @classmethod
    def retry_in(cls, count: int, error: BaseException, payload: dict[str, Any]) -> RetryIn:
        advice: RetryIn = BenchAdvised.on_retry(count, error, payload)
        return advice

    @classmethod
    def retries_exhausted(cls, payload: dict[str, Any], error: BaseException) -> Any:
        return BenchAdvised.on_exhausted(payload, error)


class BenchModest(BenchFail):
    """Has an option of its own."""

    retry = 0


class BenchBroken(Job):
    """Cannot even be made."""

    def __init__(self) -> None:
        raise RuntimeError("in __init__")

    def perform(self) -> None:
        pass


class BenchFork(Job):
    """Forks, and lets its child return."""

    statuses: ClassVar[list[int]] = []

    def perform(self) -> None:
        pid = os.fork()  # noqa: TID251 - what this job is for
        if pid:
            self.statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


class OddAttributes(Exception):
    @property
    def __cause__(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no cause")

    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")


@pytest.fixture(autouse=True)
def _jobs_as_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BenchEcho, "ran", [])
    monkeypatch.setattr(BenchFork, "statuses", [])
    monkeypatch.setattr(BenchFail, "error", lambda: ValueError("as told"))
    monkeypatch.setattr(BenchAdvised, "on_retry", lambda count, error, payload: None)
    monkeypatch.setattr(BenchAdvised, "on_exhausted", lambda payload, error: None)


def record_handlers(bench: Bench) -> list[tuple[str, int, int, int]]:
    """Where the job is whenever the app is called: (who, in retry, in dead, held)."""
    seen: list[tuple[str, int, int, int]] = []

    def note(who: str) -> None:
        raw = bench.raw
        seen.append((who, raw.zcard("retry"), raw.zcard("dead"), bench.held()))

    bench.hooks.error_handlers.append(lambda error, context: note("error"))
    bench.hooks.death_handlers.append(lambda payload, error: note("death"))
    BenchAdvised.on_exhausted = lambda payload, error: note("exhausted")
    BenchAdvised.on_retry = lambda count, error, payload: note("retry_in")
    return seen


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
