"""Pushing: which keys hold what, byte for byte."""

import pytest

from jobd.connection import Connection
from jobd.errors import RedisRejected
from jobd.keys import Keys
from jobd.store import Store
from tests.conformance.parts import KEYS, ODD, a_holder, claim, payloads, raws_of
from tests.support.servers import Raw

pytestmark = pytest.mark.redis


def test_a_push_names_its_queue_and_puts_the_payload_at_its_head(store: Store, store_raw: Raw):
    store.push({"default": [b"one"]})
    store.push({"default": [b"two"]})

    assert store_raw.smembers("queues") == {b"default"}
    assert store_raw.lrange("queue:default", 0, -1) == [b"two", b"one"]


def test_the_first_payload_of_a_push_runs_first(store: Store):
    store.push({"default": payloads(3)})
    holder = a_holder()

    assert raws_of(claim(store, holder, limit=3)) == payloads(3)


def test_one_push_may_fill_several_queues(store: Store, store_raw: Raw):
    store.push({"high": [b"a", b"b"], "low": [b"c"]})

    assert store_raw.smembers("queues") == {b"high", b"low"}
    assert store_raw.lrange("queue:high", 0, -1) == [b"b", b"a"]
    assert store_raw.lrange("queue:low", 0, -1) == [b"c"]


def test_a_push_touches_nothing_else(store: Store, store_raw: Raw):
    store.push({"default": [b"one"]})

    assert set(store_raw.keys()) == {b"queues", b"queue:default"}


def test_scheduled_payloads_lie_in_schedule_by_their_time(store: Store, store_raw: Raw):
    store.schedule([(1_800_000_000.5, b"later"), (1_700_000_000.0, b"sooner")])

    assert store_raw.zrange("schedule", 0, -1, withscores=True) == [
        (b"sooner", 1_700_000_000.0),
        (b"later", 1_800_000_000.5),
    ]
    assert set(store_raw.keys()) == {b"schedule"}


def test_scores_keep_their_microseconds(store: Store, store_raw: Raw):
    store.schedule([(1_800_000_000.123457, b"a")])

    assert store_raw.zscore("schedule", b"a") == 1_800_000_000.123457


@pytest.mark.parametrize("payload", ODD.values(), ids=ODD)
def test_every_payload_comes_back_as_it_went_in(store: Store, store_raw: Raw, payload: bytes):
    holder = a_holder()
    store.push({"default": [payload]})
    store.schedule([(1.0, payload)])

    assert raws_of(claim(store, holder)) == [payload]
    assert store.due(KEYS.schedule, limit=9).raws == (payload,)
    assert store.give_back(holder.privates[0], "default", [(payload, payload)]) == 1
    assert store_raw.lrange("queue:default", 0, -1) == [payload]


def test_a_push_to_what_is_no_queue_is_rejected(store: Store, store_raw: Raw):
    store_raw.set("queue:default", "a string")

    with pytest.raises(RedisRejected, match="WRONGTYPE"):
        store.push({"default": [b"one"]})


def test_a_prefix_stands_before_every_key(connection: Connection, store_raw: Raw):
    keys = Keys("{jobs}:")
    store = Store(connection, keys)
    holder = type(a_holder()).of(keys, "host:1:abc", "1.0.1", ["default"])
    store.push({"default": payloads(3)})
    store.schedule([(1.0, b"later")])

    for raw in raws_of(claim(store, holder, limit=2)):
        store.retry(holder.privates[0], raw, raw, 2.0)
    claim(store, holder)

    assert all(name.startswith(b"{jobs}:") for name in store_raw.keys("*"))
    assert store_raw.lrange(holder.privates[0], 0, -1) == payloads(3)[2:]
