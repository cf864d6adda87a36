"""jobd as a Django app: settings, transactions, and what a project's own tests see."""

import contextlib
import json
import unittest
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import TestCase, override_settings

import jobd
from jobd.app import App
from jobd.contrib.django import preferences
from jobd.errors import InvalidJob, RedisUnavailable
from jobd.jobs import registry
from jobd.testing import assert_enqueued
from tests.support.recording_store import RecordingStore

Apply: TypeAlias = Callable[[Mapping[str, Any]], App]


pytestmark = pytest.mark.measured


@contextlib.contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def apply(app: App) -> Iterator[Apply]:
    """Apply a setting ``JOBD`` to an app of its own."""

    def run(given: Mapping[str, Any], *, is_server: bool = False) -> App:
        fresh = App(is_server=is_server)
        with override_settings(JOBD=given):
            preferences.apply(fresh)
        return fresh

    return run


def push_greeting(**options: Any) -> str | None:
    return jobd.push({"class": "greet", "args": ["Ada"], **options})


# Settings


def test_settings_are_those_of_configure_client(apply: Apply) -> None:
    redis = {"url": "redis://db/3", "size": 9, "network_timeout": 2.5}
    options = {"retry": 3}
    app = apply({"REDIS": redis, "WIRE": 7, "STRICT": "warn", "DEFAULT_JOB_OPTIONS": options})
    assert app.redis is not None
    assert (app.redis.url, app.redis.size, app.redis.network_timeout) == ("redis://db/3", 9, 2.5)
    assert (app.wire, app.strict, app.default_job_options) == (7, "warn", options)


def test_redis_may_be_a_url_alone(apply: Apply) -> None:
    app = apply({"REDIS": "redis://db/4"})
    assert app.redis is not None
    assert app.redis.url == "redis://db/4"


def test_redis_without_a_url_is_that_of_the_environment(
    apply: Apply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://env/5")
    app = apply({"REDIS": {"size": 2}})
    assert app.redis is not None
    assert (app.redis.url, app.redis.size) == ("redis://env/5", 2)


def test_without_the_setting_everything_is_as_elsewhere(apply: Apply) -> None:
    assert (apply({}).redis, apply({}).wire) == (None, 8)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"REDIS_URL": "x"}, 'no setting "REDIS_URL": there are REDIS, WIRE'),
        ({"Redis": "x"}, 'did you mean "REDIS"?'),
        ({"REDIS": {"urll": "redis://x"}}, 'did you mean "url"?'),
        ({"REDIS": {"url": "redis://x", "size": 0}}, "redis.size: a number of connections, not 0"),
        ({"WIRE": 6}, 'JOBD["WIRE"]: wire: 7 or 8, not 6'),
        ({"STRICT": True}, 'JOBD["STRICT"]: strict: "raise"'),
        ({"DEFAULT_JOB_OPTIONS": {"retry": "x"}}, 'JOBD["DEFAULT_JOB_OPTIONS"]: retry'),
        ({"ENQUEUE_ON_COMMIT": "nowhere"}, "True, False or an alias of DATABASES, not 'nowhere'"),
        ("redis://x", "a dict such as"),
    ],
)
def test_a_wrong_setting_is_refused_at_the_start(
    apply: Apply, given: Mapping[str, Any], complaint: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        apply(given)
    assert complaint in str(refused.value)


def test_all_wrong_settings_are_told_at_once(apply: Apply) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        apply({"WIRE": 6, "STRICT": 1, "PORT": 1})
    assert len(str(refused.value).splitlines()) == 3


def test_jobs_of_installed_apps_are_found(app: App) -> None:
    assert {"Confirm", "greet"} <= set(registry.names())


# After commit


def test_outside_of_a_transaction_a_push_is_written_at_once(store: RecordingStore) -> None:
    jid = push_greeting()
    assert [job["jid"] for job in store.pushed] == [jid]


def test_in_a_transaction_a_push_waits_for_the_commit_and_has_its_jid(
    store: RecordingStore,
) -> None:
    with transaction.atomic():
        jid = push_greeting()
        assert jid is not None
        assert store.pushed == []
    assert [job["jid"] for job in store.pushed] == [jid]


def test_a_rollback_drops_the_push(store: RecordingStore) -> None:
    with rolled_back():
        assert push_greeting()
    assert store.writes == []


def test_a_rollback_of_a_savepoint_drops_what_was_pushed_in_it(store: RecordingStore) -> None:
    with transaction.atomic():
        kept = push_greeting()
        with rolled_back():
            push_greeting()
    assert [job["jid"] for job in store.pushed] == [kept]


def test_scheduled_jobs_wait_too(store: RecordingStore) -> None:
    with transaction.atomic():
        jid = push_greeting(at=60)
        assert store.scheduled == []
    ((_, payload),) = store.scheduled
    assert payload["jid"] == jid


def test_bulk_waits_too_and_has_its_jids(store: RecordingStore) -> None:
    with transaction.atomic():
        jids = jobd.push_bulk({"class": "greet", "args": [["a"], ["b"]]}, batch_size=1)
        assert len(set(jids)) == 2
        assert store.pushed == []
    assert [job["jid"] for job in store.pushed] == jids


def test_job_classes_and_functions_wait_too(shop: Any, store: RecordingStore) -> None:
    with transaction.atomic():
        jids = [shop.jobs.Confirm.perform_async(1), shop.jobs.greet.perform_async("Ada")]
        assert store.pushed == []
    assert [job["jid"] for job in store.pushed] == jids


@pytest.mark.parametrize("jobs", ["one", "bulk"])
def test_a_push_may_choose_not_to_wait(shop: Any, store: RecordingStore, jobs: str) -> None:
    eager = shop.jobs.greet.set(enqueue_on_commit=False)
    with transaction.atomic():
        _ = eager.perform_async("Ada") if jobs == "one" else eager.perform_bulk([["Ada"]])
        assert len(store.pushed) == 1


def test_a_job_class_may_choose_not_to_wait(shop: Any, store: RecordingStore) -> None:
    with transaction.atomic():
        shop.jobs.Careless.perform_async()
        assert len(store.pushed) == 1


def test_the_choice_is_never_written(shop: Any, store: RecordingStore, app: App) -> None:
    app.default_job_options["enqueue_on_commit"] = True
    shop.jobs.Careless.perform_async()
    with transaction.atomic():
        shop.jobs.greet.set(enqueue_on_commit=True).perform_bulk([["Ada"]])
    push_greeting(enqueue_on_commit="other", at=60)
    push_greeting()
    payloads = [*store.pushed, *(payload for _, payload in store.scheduled)]
    assert len(payloads) == 4
    assert not [payload for payload in payloads if "enqueue_on_commit" in payload]


def test_a_job_that_runs_inline_does_not_see_the_choice(shop: Any, app: App) -> None:
    seen: list[dict[str, Any]] = []
    app.server_middleware.add(look := lambda _job, payload, _proceed: seen.append(payload))
    try:
        shop.jobs.Careless.perform_inline()
    finally:
        app.server_middleware.remove(look)
    assert "enqueue_on_commit" not in seen[0]


def test_the_default_of_the_setting_can_be_turned_off(store: RecordingStore) -> None:
    with override_settings(JOBD={"ENQUEUE_ON_COMMIT": False}), transaction.atomic():
        push_greeting()
        assert len(store.pushed) == 1


def test_a_push_waits_for_the_database_it_names(store: RecordingStore) -> None:
    with transaction.atomic(using="other"):
        push_greeting(enqueue_on_commit="other")
        push_greeting()  # of "default" no transaction is open
        assert len(store.pushed) == 1
    assert len(store.pushed) == 2


def test_the_setting_may_name_a_database(store: RecordingStore) -> None:
    with override_settings(JOBD={"ENQUEUE_ON_COMMIT": "other"}):
        with transaction.atomic(using="other"):
            push_greeting()
            assert store.pushed == []
        assert len(store.pushed) == 1


@pytest.mark.parametrize("choice", ["nowhere", 3, ["default"]])
def test_a_choice_that_cannot_be_is_refused(store: RecordingStore, choice: object) -> None:
    with pytest.raises(InvalidJob, match="True, False or an alias of DATABASES"):
        push_greeting(enqueue_on_commit=choice)
    assert store.writes == []


def test_wrong_arguments_are_told_before_the_commit(store: RecordingStore) -> None:
    with transaction.atomic(), pytest.raises(InvalidJob):
        jobd.push({"class": "greet", "args": [object()]})


def test_time_in_the_queue_is_counted_from_the_commit(store: RecordingStore) -> None:
    with transaction.atomic():
        push_greeting(created_at=1)
    (payload,) = store.pushed
    assert payload["enqueued_at"] > 1_700_000_000_000
    assert payload["created_at"] == 1


def test_after_the_commit_a_redis_that_is_away_is_told_with_the_jid(store: RecordingStore) -> None:
    store.fails_after = 0
    jid = ""
    with pytest.raises(RedisUnavailable) as away, transaction.atomic():
        jid = push_greeting()
    assert away.value.jid == jid
    assert "the transaction is committed" in away.value.__notes__[0]


def test_who_listens_to_pushes_hears_of_them_after_the_commit(
    app: App, store: RecordingStore
) -> None:
    heard: list[str] = []
    with transaction.atomic():
        item = {"class": "greet", "args": ["Ada"]}
        jid = app.client.push(item, on_pushed=lambda job: heard.append(job.payload["jid"]))
        assert heard == []
    assert heard == [jid]


def test_djangos_test_cases_run_what_waits_when_told(store: RecordingStore) -> None:
    with rolled_back():  # as around each test
        with TestCase.captureOnCommitCallbacks(execute=True):
            push_greeting()
        assert len(store.pushed) == 1


# In tests of a project: Django's TestCase never commits


def in_a_test_case(test: Callable[[Any], object]) -> None:
    """Run it as the one test of a TestCase."""
    case = type("Case", (TestCase,), {"test": test, "databases": {"default", "other"}})("test")
    result = unittest.TestResult()
    unittest.TestSuite([case]).run(result)
    assert result.testsRun == 1
    assert result.errors + result.failures == []


def kept() -> list[str]:
    return [payload["args"][0] for payload in jobd.Job.jobs]


def test_fake_mode_keeps_at_once_what_is_pushed_outside_of_the_tests_own_transactions(
    shop: Any, jobd_fake: object
) -> None:
    def test(case: TestCase) -> None:
        shop.jobs.greet.perform_async("Ada")
        shop.jobs.greet.perform_in(60, "Bob")
        assert kept() == ["Ada", "Bob"]
        assert_enqueued(shop.jobs.greet, args=["Ada"])

    in_a_test_case(test)


def test_fake_mode_keeps_what_was_pushed_in_a_transaction_when_that_is_over(
    shop: Any, jobd_fake: object
) -> None:
    def test(case: TestCase) -> None:
        with transaction.atomic():
            with transaction.atomic():
                shop.jobs.greet.perform_async("Ada")
            shop.jobs.greet.perform_bulk([["Bob"]])
            assert kept() == []
        shop.jobs.greet.perform_async("Cid")
        assert kept() == ["Ada", "Bob", "Cid"]
        assert kept() == ["Ada", "Bob", "Cid"]
        assert jobd.Job.drain() == 3

    in_a_test_case(test)


def test_fake_mode_keeps_nothing_of_what_is_rolled_back(shop: Any, jobd_fake: object) -> None:
    def test(case: TestCase) -> None:
        with rolled_back():
            shop.jobs.greet.perform_async("Ada")
        with transaction.atomic():
            with rolled_back():
                shop.jobs.greet.perform_async("Bob")
            shop.jobs.greet.perform_async("Cid")
        assert kept() == ["Cid"]

    in_a_test_case(test)
    assert kept() == ["Cid"]


@pytest.mark.parametrize("looks", [True, False])
def test_captured_callbacks_push_nothing_twice(shop: Any, jobd_fake: object, looks: bool) -> None:
    def test(case: TestCase) -> None:
        with case.captureOnCommitCallbacks(execute=True) as callbacks:
            with transaction.atomic():
                shop.jobs.greet.perform_async("Ada")
            assert not looks or kept() == ["Ada"]
        assert len(callbacks) == 1
        assert kept() == ["Ada"]

    in_a_test_case(test)


def test_each_database_has_transactions_of_its_own_in_tests_too(
    shop: Any, jobd_fake: object
) -> None:
    def test(case: TestCase) -> None:
        with transaction.atomic(using="other"):
            shop.jobs.greet.perform_async("Ada")
            shop.jobs.greet.set(enqueue_on_commit="other").perform_async("Bob")
            assert kept() == ["Ada"]
        assert kept() == ["Ada", "Bob"]

    in_a_test_case(test)


def test_inline_mode_runs_at_once_what_is_pushed_outside_of_the_tests_own_transactions(
    shop: Any, jobd_inline: object, tmp_path: Path
) -> None:
    def test(case: TestCase) -> None:
        shop.jobs.greet.perform_async("Ada")
        with transaction.atomic():
            shop.jobs.greet.perform_async("Bob")
        with case.captureOnCommitCallbacks(execute=True), transaction.atomic():
            shop.jobs.greet.perform_async("Cid")

    in_a_test_case(test)
    ran = [json.loads(line)["name"] for line in Path("ran.jsonl").read_text().splitlines()]
    assert ran == ["Ada", "Cid"]


def test_without_a_test_mode_a_test_case_pushes_nothing(shop: Any, store: RecordingStore) -> None:
    def test(case: TestCase) -> None:
        assert shop.jobs.greet.perform_async("Ada")

    in_a_test_case(test)
    assert store.writes == []


# Async jobs, inline


def test_inline_an_async_job_is_in_the_transaction_of_its_caller(
    shop: Any, jobd_inline: None
) -> None:
    with rolled_back():
        order = shop.models.Order.objects.create(name="tea")
        shop.jobs.ConfirmAsync.perform_async(order.pk)
        shop.jobs.ConfirmAsync.perform_inline(order.pk)
        with pytest.raises(shop.models.Order.DoesNotExist):
            shop.jobs.ConfirmAsync.perform_inline(order.pk + 1)


def test_in_a_test_case_an_async_job_sees_the_rows_of_the_test(
    shop: Any, jobd_fake: object
) -> None:
    class Drains(TestCase):
        databases = frozenset({"default"})

        def test_it(self) -> None:
            order = shop.models.Order.objects.create(name="tea")
            shop.jobs.ConfirmAsync.perform_async(order.pk)
            assert shop.jobs.ConfirmAsync.drain() == 1

        async def test_it_in_a_loop(self) -> None:
            order = await shop.models.Order.objects.acreate(name="tea")
            await shop.jobs.ConfirmAsync.aperform_async(order.pk)
            assert await sync_to_async(shop.jobs.ConfirmAsync.drain)() == 1

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Drains).run(result)
    assert (result.testsRun, result.errors, result.failures) == (2, [], [])
