"""Callbacks after a push."""

import logging
from typing import Any

import pytest

from jobd import (
    Job,
    after_enqueue,
)
from jobd.app import App
from jobd.errors import RedisUnavailable
from jobd.payload import Payload
from tests.jobs.parts import RAN
from tests.support.recording_store import RecordingStore


class Sent(Job):
    queue = "mailers"

    @after_enqueue
    @classmethod
    def first(cls, payload: Payload) -> None:
        RAN.append((cls.__name__, payload["jid"], payload["args"], payload.get("at")))

    def perform(self, n: int) -> None: ...


class SentToo(Sent):
    @classmethod
    @after_enqueue
    def second(cls, payload: Payload) -> None:
        RAN.append(f"second {payload['args']}")

    def perform(self, n: int) -> None: ...


def test_after_enqueue_is_told_what_was_pushed(store: RecordingStore, app: App) -> None:
    def add_ten(payload: Payload, proceed: Any) -> Any:
        payload["args"] = [payload["args"][0] + 10]
        return proceed(payload)

    app.client_middleware.add(add_ten)
    jid = Sent.perform_async(1)
    assert [("Sent", jid, [11], None)] == RAN
    assert store.pushed[0]["jid"] == jid


def test_after_enqueue_is_told_when_a_job_will_run(store: RecordingStore) -> None:
    Sent.perform_in(60, 1)
    Sent.perform_at(4_102_444_800, 2)
    Sent.set(wait=60).perform_async(3)
    assert [ran[3] for ran in RAN] == [at_s for at_s, _ in store.scheduled]


def test_after_enqueue_is_called_for_each_job_of_a_bulk(store: RecordingStore) -> None:
    jids = Sent.perform_bulk([[n] for n in range(5)], batch_size=2)
    assert [("Sent", jid, [n], None) for n, jid in enumerate(jids)] == RAN


def test_after_enqueue_of_a_class_comes_before_that_of_its_base(store: RecordingStore) -> None:
    jid = SentToo.perform_async(1)
    assert ["second [1]", ("SentToo", jid, [1], None)] == RAN


def test_after_enqueue_is_not_called_for_what_was_not_pushed(
    store: RecordingStore, app: App
) -> None:
    store.fails_after = 0
    with pytest.raises(RedisUnavailable):
        Sent.perform_async(1)
    Sent.perform_inline(1)
    app.client_middleware.add(lambda payload, proceed: None)
    assert Sent.perform_async(1) is None
    assert RAN == []


def test_after_enqueue_of_a_bulk_that_broke_off_is_called_for_what_was_pushed(
    store: RecordingStore,
) -> None:
    store.fails_after = 1
    with pytest.raises(RedisUnavailable):
        Sent.perform_bulk([[n] for n in range(5)], batch_size=2)
    assert [args for _, _, args, _ in RAN] == [[0], [1]]


def test_after_enqueue_that_raises_does_not_hide_that_the_job_was_pushed(
    store: RecordingStore, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising(Sent):
        @after_enqueue
        @classmethod
        def unlucky(cls, payload: Payload) -> None:
            payload.clear()
            raise OSError("no metrics today")

        def perform(self, n: int) -> None: ...

    caplog.set_level(logging.ERROR)
    jid = Raising.perform_async(1)
    assert [("Raising", jid, [1], None)] == RAN
    assert "unlucky raised, and was ignored" in caplog.text
    assert "no metrics today" in caplog.text
