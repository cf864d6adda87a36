"""Pushing many: in slices, with one look at each."""

from collections.abc import Iterator
from typing import Any

import pytest

from jobd.errors import (
    InvalidArguments,
    InvalidJob,
    RedisUnavailable,
)
from jobd.middleware import ClientCall
from jobd.payload import Payload
from tests.client.parts import IN_2030, NOW_S, a_client, an_item, lists, only_odd
from tests.support.recording_store import RecordingStore


def test_a_bulk_goes_in_slices_of_a_thousand_in_order(store: RecordingStore) -> None:
    jids = a_client(store).push_bulk(an_item(args=lists(2_500)))
    assert [len(batches["default"]) for _, batches in store.writes] == [1000, 1000, 500]
    assert [payload["args"][0] for payload in store.pushed] == list(range(2_500))
    assert [payload["jid"] for payload in store.pushed] == jids
    assert len(set(jids)) == 2_500


def test_a_scheduled_bulk_goes_in_slices_of_a_hundred(store: RecordingStore) -> None:
    a_client(store).push_bulk(an_item(args=lists(250)), at=60)
    assert [len(entries) for _, entries in store.writes] == [100, 100, 50]
    assert {at_s for at_s, _ in store.scheduled} == {NOW_S + 60}


def test_the_size_of_a_slice_can_be_chosen(store: RecordingStore) -> None:
    a_client(store).push_bulk(an_item(args=lists(5), batch_size=2))
    assert len(store.writes) == 3


def test_an_empty_bulk_writes_nothing(store: RecordingStore) -> None:
    assert a_client(store).push_bulk(an_item(args=[])) == []
    assert store.writes == []


def test_lazy_arguments_are_read_slice_by_slice(store: RecordingStore) -> None:
    written: list[int] = []

    def lazily() -> Iterator[tuple[int]]:
        for index in range(2_001):
            written.append(len(store.writes))
            yield (index,)

    a_client(store).push_bulk(an_item(args=lazily()))
    assert (written[0], written[1000], written[2000]) == (0, 1, 2)


def test_jids_stand_where_their_arguments_stood_and_none_where_a_push_was_stopped(
    store: RecordingStore,
) -> None:
    jids = a_client(store, only_odd).push_bulk(an_item(args=lists(4)))
    assert [jid is None for jid in jids] == [True, False, True, False]
    assert [payload["jid"] for payload in store.pushed] == [jids[1], jids[3]]


def test_each_job_of_a_bulk_may_have_its_own_time(store: RecordingStore) -> None:
    a_client(store).push_bulk(an_item(args=lists(3)), at=[60, 0, IN_2030])
    assert [(at_s, payload["args"]) for at_s, payload in store.scheduled] == [
        (NOW_S + 60, [0]),
        (IN_2030, [2]),
    ]
    assert [payload["args"] for payload in store.pushed] == [[1]]


def test_times_are_matched_to_lazy_arguments_too(store: RecordingStore) -> None:
    a_client(store).push_bulk(an_item(args=iter(lists(2))), at=[60, 120])
    assert [at_s for at_s, _ in store.scheduled] == [NOW_S + 60, NOW_S + 120]


def test_a_spread_bulk_is_spread_over_the_interval(store: RecordingStore) -> None:
    a_client(store).push_bulk(an_item(args=lists(200)), spread_interval=1)
    scores = [at_s for at_s, _ in store.scheduled]
    assert len(store.scheduled) + len(store.pushed) == 200
    assert all(NOW_S <= at_s < NOW_S + 5 for at_s in scores)
    assert max(scores) - min(scores) > 3


def test_middleware_may_send_the_jobs_of_one_slice_to_several_queues(
    store: RecordingStore,
) -> None:
    def by_parity(payload: Payload, proceed: ClientCall) -> Payload | None:
        payload["queue"] = f"q{payload['args'][0] % 2}"
        return proceed(payload)

    a_client(store, by_parity).push_bulk(an_item(args=lists(5)))
    ((_, batches),) = store.writes
    assert {queue: len(raws) for queue, raws in batches.items()} == {"q0": 3, "q1": 2}


@pytest.mark.parametrize(
    ("item", "options", "says"),
    [
        (an_item(args=[1, 2]), {}, r"args\[0\]: each job of a bulk has a list of its own"),
        (an_item(args=["ab"]), {}, r"args\[0\]: each job"),
        (an_item(args="ab"), {}, "a bulk takes a list of argument lists"),
        (an_item(args={"a": 1}), {}, "a bulk takes a list of argument lists"),
        (an_item(args=5), {}, "a bulk takes a list of argument lists"),
        ({"class": "Echo"}, {}, "a bulk takes a list of argument lists"),
        (an_item(args=lists(2), jid="x"), {}, "2 jobs cannot share one"),
        (an_item(args=lists(2)), {"at": [1]}, "1 times for 2 jobs"),
        (an_item(args=iter(lists(2))), {"at": [1, 2, 3]}, "3 times for 2 jobs"),
        (an_item(args=lists(2)), {"at": 5, "spread_interval": 9}, "exclude each other"),
        (an_item(args=lists(2)), {"at": "soon"}, "is no time"),
        (an_item(args=lists(2)), {"spread_interval": 0}, "seconds above 0"),
        (an_item(args=lists(2)), {"batch_size": 0}, "at least 1"),
        (an_item(args=lists(2), queue="a b"), {}, "queue: "),
        (an_item(args=[[1], [(2,)]]), {}, r"Echo: args\[0\] is a tuple"),
    ],
)
def test_a_wrong_bulk_is_refused_before_anything_is_written(
    store: RecordingStore, item: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidJob, match=says):
        a_client(store).push_bulk(item, **options)
    assert store.writes == []


def test_a_refused_job_of_a_bulk_is_told_by_its_place(store: RecordingStore) -> None:
    with pytest.raises(InvalidArguments) as caught:
        a_client(store).push_bulk(an_item(args=[[1], [(2,)]]))
    assert caught.value.__notes__ == ["this is argument list 1 of the bulk, counted from 0"]


def test_a_single_job_of_a_bulk_may_have_a_given_jid(store: RecordingStore) -> None:
    assert a_client(store).push_bulk(an_item(args=[[1]], jid="x")) == ["x"]


def test_a_bulk_that_fails_midway_tells_how_much_was_pushed(store: RecordingStore) -> None:
    store.fails_after = 2
    with pytest.raises(RedisUnavailable) as caught:
        a_client(store).push_bulk(an_item(args=lists(2_500)))
    assert caught.value.__notes__ == ["2000 jobs of this bulk were pushed before"]
