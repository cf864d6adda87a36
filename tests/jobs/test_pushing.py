"""Pushing by class, and by function."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import jobd
from jobd import InvalidArguments, InvalidJob, job
from jobd.app import App
from jobd.jobs import perform, registry
from jobd.payload import Payload
from tests.jobs.parts import RAN, MoodMailJob, Parrot, add, plain
from tests.support.recording_store import RecordingStore

# pushing


def test_perform_later_is_perform_async(store: RecordingStore) -> None:
    assert Parrot.perform_later(1) == store.pushed[0]["jid"]
    assert add.perform_later(1) == store.pushed[1]["jid"]


def test_jobs_are_scheduled_by_seconds_timedelta_datetime_and_epoch(store: RecordingStore) -> None:
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    Parrot.perform_in(3600, 1)
    Parrot.perform_in(timedelta(hours=1), 1)
    Parrot.perform_at(moment, 1)
    Parrot.perform_at(moment.timestamp(), 1)
    add.perform_in(3600, 1, z=5)
    add.perform_at(moment, 1)
    scores = [at_s for at_s, _ in store.scheduled]
    assert scores[0] == pytest.approx(scores[1], abs=5)
    assert scores[2] == scores[3] == scores[5] == moment.timestamp()
    assert store.scheduled[4][1]["args"] == [1, 2, 5]


def test_what_is_due_already_is_pushed_at_once(store: RecordingStore) -> None:
    Parrot.perform_in(0)
    Parrot.perform_at(datetime(2001, 1, 1, tzinfo=UTC))
    assert len(store.pushed) == 2


def test_a_naive_datetime_is_refused(store: RecordingStore) -> None:
    with pytest.raises(InvalidJob, match="no time zone"):
        Parrot.perform_at(datetime(2100, 1, 1))  # noqa: DTZ001 - the point of the test


def test_set_overrides_options_and_can_be_chained(store: RecordingStore) -> None:
    urgent = MoodMailJob.set(queue="critical", retry=0).set(tags=["x"], locale="fr")
    urgent.perform_async("a")
    payload = store.pushed[0]
    assert [payload[key] for key in ("queue", "retry", "tags", "locale")] == [
        "critical",
        0,
        ["x"],
        "fr",
    ]
    MoodMailJob.perform_async("a")
    assert store.pushed[1]["queue"] == "mailers"


def test_set_can_say_when(store: RecordingStore) -> None:
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    Parrot.set(wait=timedelta(hours=1)).perform_async()
    Parrot.set(wait_until=moment).perform_async()
    Parrot.set(wait=60).perform_at(moment)
    assert len(store.scheduled) == 3
    assert store.scheduled[1][0] == store.scheduled[2][0] == moment.timestamp()
    assert not {"wait", "wait_until", "at"} & store.scheduled[0][1].keys()


def test_set_cannot_say_two_times(store: RecordingStore) -> None:
    with pytest.raises(InvalidJob, match="wait and wait_until exclude each other"):
        Parrot.set(wait=1).set(wait_until=2).perform_async()


def test_set_sync_runs_the_job_here(store: RecordingStore) -> None:
    assert Parrot.set(sync=True).perform_async(1) is None
    Parrot.set(sync=False).perform_async(2)
    assert len(RAN) == 1
    assert "sync" not in store.pushed[0]


@pytest.mark.parametrize("options", [{"queue": ""}, {"queues": "x"}, {"retry": -1}, {"args": []}])
def test_a_wrong_set_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob):
        Parrot.set(**options)


def test_bulk_pushes_each_argument_list_and_checks_its_arity(store: RecordingStore) -> None:
    jids = add.perform_bulk([[1], (2, 3)])
    assert [(payload["jid"], payload["args"]) for payload in store.pushed] == [
        (jids[0], [1]),
        (jids[1], [2, 3]),
    ]
    with pytest.raises(InvalidArguments, match="takes 3 arguments, but 4 were given"):
        add.perform_bulk([[1], [1, 2, 3, 4]])
    with pytest.raises(InvalidArguments, match=r"args\[1\]: each job of a bulk has a list"):
        add.perform_bulk([[1], 2])  # type: ignore[list-item]
    assert len(store.pushed) == 2


def test_bulk_takes_times_and_options(store: RecordingStore) -> None:
    Parrot.set(queue="low").perform_bulk(iter([[1], [2]]), at=[60, 120])
    Parrot.set(wait=60).perform_bulk([[3]], batch_size=1)
    Parrot.perform_bulk(([n] for n in range(3)), spread_interval=3600)
    assert len(store.scheduled) == 6
    assert store.scheduled[0][1]["queue"] == "low"


def test_jobs_are_pushed_by_name_without_their_class(store: RecordingStore) -> None:
    jid = jobd.push({"class": "Ruby::Job", "args": [1], "queue": "low"})
    jobd.push_bulk({"class": "Ruby::Job", "args": [[1], [2]]})
    assert store.pushed[0]["jid"] == jid
    assert [payload["class"] for payload in store.pushed] == ["Ruby::Job"] * 3


def test_default_job_options_are_under_those_of_the_class(store: RecordingStore, app: App) -> None:
    app.default_job_options["queue"] = "low"
    Parrot.perform_async()
    MoodMailJob.perform_async("a")
    assert [payload["queue"] for payload in store.pushed] == ["low", "mailers"]
    assert repr(Parrot()) == "<Parrot jid=- queue=low>"


# functions


def test_a_function_that_is_a_job_is_still_the_function() -> None:
    assert add(1, z=4) == 7
    assert (add.__name__, add.__doc__, add.__module__) == (
        "add",
        "Add three numbers.",
        "tests.jobs.parts",
    )
    assert repr(add) == "<job add>"


def test_a_function_has_the_options_of_its_decorator(store: RecordingStore) -> None:
    add.perform_async(1)
    plain.perform_async()
    add.set(queue="high").perform_async(1)
    assert [(payload["class"], payload["queue"], payload["retry"]) for payload in store.pushed] == [
        ("add", "low", 3),
        ("plain", "default", True),
        ("add", "high", 3),
    ]
    assert store.pushed[0]["dead"] is False


def test_the_registry_holds_a_job_class_for_a_function() -> None:
    job_class = registry.find("add")
    assert job_class is add.job_class
    running = job_class.from_payload({"jid": "7"})
    perform(running, {"args": [1]})
    assert RAN == [(1, 2, 3)]


def test_a_function_may_have_another_name_and_the_hooks_of_a_job() -> None:
    def retry_in(count: int, error: BaseException, payload: Payload) -> float:
        return count * 10

    def discard(payload: Payload, error: BaseException) -> str:
        return "discard"

    @job(name="reports.daily", time_limit=9, retry_in=retry_in, retries_exhausted=discard)
    def report(day: str) -> None: ...

    job_class = registry.find("reports.daily")
    assert job_class is report.job_class
    assert job_class.retry_in(3, ValueError(), {}) == 30
    assert job_class.retries_exhausted({}, ValueError()) == "discard"
    assert job_class.time_limit == 9


def test_a_lambda_needs_a_name_or_another_one_would_replace_it() -> None:
    with pytest.raises(InvalidJob, match="a lambda has no name"):
        job(lambda: None)
    first, second = job(name="first_lambda")(lambda: 1), job(name="second_lambda")(lambda: 2)
    assert (first(), second()) == (1, 2)
    assert {"first_lambda", "second_lambda"} <= set(registry.names())
