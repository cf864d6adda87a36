"""Pushing by name: what reaches the store, and in how many round trips."""

from typing import Any

import pytest

from jobd.errors import (
    InvalidArguments,
    InvalidJob,
    RedisUnavailable,
)
from jobd.middleware import ClientCall
from jobd.payload import Payload
from tests.client.parts import NOW_S, a_client, an_item, only_odd, with_locale
from tests.support.recording_store import RecordingStore

# push


def test_a_push_writes_one_payload_to_its_queue(store: RecordingStore) -> None:
    jid = a_client(store).push(an_item(queue="low"))
    assert store.pushed == [
        {
            "retry": True,
            "queue": "low",
            "class": "Echo",
            "args": [1],
            "jid": jid,
            "created_at": NOW_S * 1000,
            "enqueued_at": NOW_S * 1000,
        }
    ]
    assert [list(batches) for _, batches in store.writes] == [["low"]]


def test_defaults_fill_in_what_the_item_leaves_out(store: RecordingStore) -> None:
    client = a_client(store, defaults={"queue": "low", "retry": 3})
    client.push(an_item(retry=0))
    assert (store.pushed[0]["queue"], store.pushed[0]["retry"]) == ("low", 0)


def test_wire_7_writes_float_seconds(store: RecordingStore) -> None:
    a_client(store, wire=7).push(an_item())
    assert [repr(store.pushed[0][key]) for key in ("created_at", "enqueued_at")] == [
        "1800000000.0"
    ] * 2


def test_a_scheduled_job_has_a_score_and_neither_at_nor_enqueued_at(store: RecordingStore) -> None:
    a_client(store).push(an_item(at=60))
    ((at_s, payload),) = store.scheduled
    assert at_s == NOW_S + 60
    assert not {"at", "enqueued_at"} & payload.keys()
    assert store.pushed == []


@pytest.mark.parametrize("at", [0, NOW_S, NOW_S - 5, 1_000_000_000])
def test_a_job_that_is_due_already_goes_to_its_queue(store: RecordingStore, at: int) -> None:
    a_client(store).push(an_item(at=at))
    assert len(store.pushed) == 1
    assert store.scheduled == []


@pytest.mark.parametrize("item", [an_item(args=[(1,)]), an_item(queue=""), an_item(at="soon")])
def test_nothing_is_written_of_a_job_that_is_refused(
    store: RecordingStore, item: dict[str, Any]
) -> None:
    with pytest.raises(InvalidJob):
        a_client(store).push(item)
    assert store.writes == []


def test_the_message_about_an_argument_names_the_job(store: RecordingStore) -> None:
    with pytest.raises(InvalidArguments, match=r"^Echo: args\[0\] is a tuple"):
        a_client(store).push(an_item(args=[(1,)]))


def test_a_failed_push_names_the_job_that_may_have_arrived(store: RecordingStore) -> None:
    store.fails_after = 0
    with pytest.raises(RedisUnavailable) as caught:
        a_client(store).push(an_item(jid="7"))
    assert caught.value.jid == "7"


def test_with_strict_off_arguments_go_as_the_json_module_writes_them(
    store: RecordingStore, caplog: pytest.LogCaptureFixture
) -> None:
    a_client(store, strict="off").push(an_item(args=[(1, 2)]))
    a_client(store, strict="warn").push(an_item(args=[{3: 4}]))
    assert [payload["args"] for payload in store.pushed] == [[[1, 2]], [{"3": 4}]]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Echo: args[0] has the key 3" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800"])
def test_even_with_strict_off_nothing_is_pushed_that_is_not_json(
    store: RecordingStore, value: object
) -> None:
    with pytest.raises(InvalidArguments):
        a_client(store, strict="off").push(an_item(args=[value]))
    assert store.writes == []


# middleware


def to_low(payload: Payload, proceed: ClientCall) -> Payload | None:
    return proceed({**payload, "queue": "low"})


def test_middleware_may_change_the_payload_and_its_queue(store: RecordingStore) -> None:
    a_client(store, with_locale, to_low).push(an_item())
    assert (store.pushed[0]["locale"], store.pushed[0]["queue"]) == ("de", "low")
    assert list(store.writes[0][1]) == ["low"]


def test_middleware_may_stop_a_push(store: RecordingStore) -> None:
    client = a_client(store, only_odd)
    assert client.push(an_item(args=[2])) is None
    assert store.writes == []


def test_middleware_sees_and_may_move_the_time_of_a_scheduled_job(store: RecordingStore) -> None:
    def an_hour_later(payload: Payload, proceed: ClientCall) -> Payload | None:
        if "at" in payload:
            payload["at"] += 3600
        return proceed(payload)

    client = a_client(store, an_hour_later)
    client.push(an_item(at=60))
    client.push(an_item())
    assert store.scheduled[0][0] == NOW_S + 3660
    assert "at" not in store.scheduled[0][1]
    assert len(store.pushed) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"args": [(1,)]}, r"args\[0\] is a tuple"),
        ({"queue": ""}, "queue: "),
        ({"extra": {1}}, "extra is a set"),
        ({"at": "soon"}, "is no time"),
    ],
)
def test_what_middleware_did_is_checked(
    store: RecordingStore, changes: dict[str, Any], says: str
) -> None:
    client = a_client(store, lambda payload, proceed: proceed({**payload, **changes}))
    with pytest.raises(InvalidJob, match=says):
        client.push(an_item())
    assert store.writes == []


def test_middleware_that_returns_something_else_is_told_so(store: RecordingStore) -> None:
    def wrong(payload: Payload, proceed: ClientCall) -> Any:
        return True

    client = a_client(store, wrong)
    with pytest.raises(InvalidJob, match="client middleware returned True; return what proceed"):
        client.push(an_item())
