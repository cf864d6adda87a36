"""Promotion: by the server's clock, and each job once."""

import contextlib
import threading

import pytest

from jobd.config import RedisSettings
from jobd.connection import Connection
from jobd.errors import RedisRejected
from jobd.store import Promotion, Store
from tests.conformance.parts import KEYS, ODD, a_payload, payloads
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

ZSETS = pytest.mark.parametrize("zset", [KEYS.schedule, KEYS.retry])


def server_s(raw: Raw) -> float:
    seconds, micros = raw.time()
    return seconds + micros / 1e6


def test_due_means_due_by_the_servers_clock(store: Store, store_raw: Raw):
    before_s = server_s(store_raw)
    store.schedule([(before_s - 10, b"past"), (before_s, b"now"), (before_s + 60, b"future")])

    due = store.due(KEYS.schedule, limit=10)

    assert due.raws == (b"past", b"now")
    assert due.next_s == before_s - 10
    assert before_s <= due.now_s <= server_s(store_raw)


def test_nothing_is_due_in_an_empty_set(store: Store):
    due = store.due(KEYS.schedule, limit=10)

    assert (due.raws, due.next_s) == ((), None)


def test_the_next_time_is_told_when_nothing_is_due(store: Store, store_raw: Raw):
    at_s = server_s(store_raw) + 3600
    store.schedule([(at_s, b"future")])

    assert store.due(KEYS.schedule, limit=10)[1:] == (at_s, ())


def test_due_jobs_come_in_slices_the_earliest_first(store: Store):
    store.schedule([(float(number), a_payload(number)) for number in range(5)])

    slices = [store.due(KEYS.schedule, limit=2, offset=offset).raws for offset in (0, 2, 4)]

    assert [raw for slice_ in slices for raw in slice_] == payloads(5)


def test_an_offset_past_the_end_falls_back_to_the_first_slice(store: Store):
    store.schedule([(1.0, b"one")])

    assert store.due(KEYS.schedule, limit=10, offset=500).raws == (b"one",)


@ZSETS
def test_a_promoted_job_goes_to_the_end_of_its_queue(store: Store, store_raw: Raw, zset: str):
    store_raw.zadd(zset, {b"due": 1})
    store.push({"low": [b"earlier"]})

    moved = store.promote(zset, [Promotion(b"due", "low", b"as it goes on")])

    assert moved == 1
    assert store_raw.smembers("queues") == {b"low"}
    assert store_raw.lrange("queue:low", 0, -1) == [b"as it goes on", b"earlier"]
    assert not store_raw.exists(zset)


@ZSETS
def test_only_what_is_still_there_is_promoted(store: Store, store_raw: Raw, zset: str):
    store_raw.zadd(zset, {b"here": 1})

    moved = store.promote(zset, [Promotion(b"gone", "a", b"x"), Promotion(b"here", "b", b"y")])

    assert moved == 1
    assert set(store_raw.keys()) == {b"queues", b"queue:b"}
    assert store_raw.smembers("queues") == {b"b"}


def test_one_promotion_serves_several_queues(store: Store, store_raw: Raw):
    store.schedule([(1.0, b"1"), (2.0, b"2"), (3.0, b"3")])
    moves = [Promotion(b"1", "a", b"1"), Promotion(b"2", "b", b"2"), Promotion(b"3", "a", b"3")]

    assert store.promote(KEYS.schedule, moves) == 3
    assert store_raw.lrange("queue:a", 0, -1) == [b"3", b"1"]
    assert store_raw.lrange("queue:b", 0, -1) == [b"2"]


def test_a_queue_that_is_no_list_keeps_its_due_jobs_in_the_set(store: Store, store_raw: Raw):
    store.schedule([(1.0, b"1"), (2.0, b"2")])
    store_raw.set("queue:a", "not a list")

    with pytest.raises(RedisRejected, match="WRONGTYPE"):
        store.promote(KEYS.schedule, [Promotion(b"1", "a", b"1"), Promotion(b"2", "b", b"2")])

    assert store_raw.zrange("schedule", 0, -1) == [b"1"]
    assert store_raw.lrange("queue:b", 0, -1) == [b"2"]


@pytest.mark.parametrize("payload", ODD.values(), ids=ODD)
def test_odd_payloads_are_promoted_as_they_are(store: Store, store_raw: Raw, payload: bytes):
    store.schedule([(1.0, payload)])

    store.promote(KEYS.schedule, [Promotion(payload, "default", payload)])

    assert store_raw.lrange("queue:default", 0, -1) == [payload]


def test_many_pollers_promote_each_job_once(settings: RedisSettings, store: Store, store_raw: Raw):
    count, pollers = 400, 6
    store.schedule([(float(number), a_payload(number)) for number in range(count)])
    start = threading.Barrier(pollers)
    moved: list[int] = []

    def poll(number: int) -> None:
        with contextlib.closing(Connection(settings)) as connection:
            mine = Store(connection, KEYS)
            start.wait()
            while raws := mine.due(KEYS.schedule, limit=20, offset=number % 2 * 20).raws:
                moved.append(
                    mine.promote(KEYS.schedule, [Promotion(r, "default", r) for r in raws])
                )

    threads = [threading.Thread(target=poll, args=(number,)) for number in range(pollers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    assert sum(moved) == count
    assert sorted(store_raw.lrange("queue:default", 0, -1)) == sorted(payloads(count))


@ZSETS
def test_what_is_no_job_is_buried_as_it_is_and_once(store: Store, store_raw: Raw, zset: str):
    store_raw.zadd(zset, {b"{not json": 1})

    assert store.bury_due(zset, b"{not json", 1_800_000_000.5)
    assert not store.bury_due(zset, b"{not json", 1_800_000_001.5)
    assert store_raw.zrange("dead", 0, -1, withscores=True) == [(b"{not json", 1_800_000_000.5)]
    assert not store_raw.exists(zset)
