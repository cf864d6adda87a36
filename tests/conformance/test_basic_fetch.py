"""BRPOP: the plain way."""

import pytest

from jobd.errors import RedisUnavailable
from jobd.store import Store
from jobd.worker.fetch import Grave, UnitOfWork
from tests.conformance.parts import ODD, Lossy, a_bench, blocked, calls, calls_since
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.servers import Raw

pytestmark = pytest.mark.redis


def test_jobs_come_first_in_first_out_and_are_held_nowhere(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"low": [b"3"], "high": [b"1", b"2"]})
    with a_bench(store_url, "high", "low") as bench:
        fetcher = bench.basic()

        units = [fetcher.retrieve() for _ in range(3)]

        assert units == [
            UnitOfWork("high", b"1", 0),
            UnitOfWork("high", b"2", 0),
            UnitOfWork("low", b"3", 1),
        ]
        assert set(store_raw.keys()) == {b"queues"}
        fetcher.close()


def test_a_wait_ends_with_a_push(store_url: str, store: Store, store_raw: Raw):
    with a_bench(store_url, "high", "low") as bench:
        fetcher = bench.basic()
        unit = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(store_raw) == 1)

        store.push({"low": [b"one"]})

        assert unit.result(timeout=PATIENCE_S) == UnitOfWork("low", b"one", 1)
        fetcher.close()


def test_a_waker_ends_a_wait_and_no_job_is_lost_by_it(store_url: str, store: Store, store_raw: Raw):
    with a_bench(store_url) as bench:
        fetcher = bench.basic()
        unit = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(store_raw) == 1)

        bench.bell.ring()

        assert unit.result(timeout=PATIENCE_S) is None
        assert blocked(store_raw) == 0
        store.push({"default": [b"one"]})
        assert store_raw.llen("queue:default") == 1
        fetcher.close()


def test_settling_writes_without_anything_being_held(store_url: str, store: Store, store_raw: Raw):
    store.push({"default": [b"1", b"2", b"3", b"4"]})
    with a_bench(store_url) as bench:
        fetcher = bench.basic()
        one, two, three, four = (fetcher.retrieve() for _ in range(4))
        assert one
        assert two
        assert three
        assert four

        fetcher.acknowledge(one)
        assert fetcher.retry(two, b"2 again", 5.0)
        assert fetcher.bury(three, Grave(b"3", 9.0, 10, 10.0))
        assert fetcher.give_back(four)
        fetcher.flush()

        assert store_raw.zrange("retry", 0, -1) == [b"2 again"]
        assert store_raw.zrange("dead", 0, -1) == [b"3"]
        assert store_raw.lrange("queue:default", 0, -1) == [b"4"]
        fetcher.close()


def test_a_settlement_sent_again_changes_nothing(store_url: str, store_raw: Raw):
    with a_bench(store_url) as bench:
        fetcher, unit = bench.basic(), UnitOfWork("default", b"1", 0)

        assert [fetcher.retry(unit, b"again", 5.0) for _ in range(2)] == [True, True]
        assert [fetcher.bury(unit, Grave(b"1", 9.0, 10, 10.0)) for _ in range(2)] == [True, True]

        assert store_raw.zcard("retry") == store_raw.zcard("dead") == 1


def test_a_paused_queue_is_not_served_and_costs_no_busy_loop(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"default": [b"one"]})
    store_raw.sadd("paused", "default")
    with a_bench(store_url) as bench:
        fetcher = bench.basic()
        before = calls(store_raw)

        assert fetcher.retrieve() is None  # after a second

        assert calls_since(store_raw, before)["smembers"] == 1
        assert "brpop" not in calls_since(store_raw, before)
        store_raw.delete("paused")
        assert eventually(fetcher.retrieve) == UnitOfWork("default", b"one", 0)
        fetcher.close()


@pytest.mark.parametrize("payload", ODD.values(), ids=ODD)
def test_odd_payloads_come_as_they_are(store_url: str, store: Store, payload: bytes):
    store.push({"default": [payload]})
    with a_bench(store_url) as bench:
        fetcher = bench.basic()

        assert fetcher.retrieve() == UnitOfWork("default", payload, 0)
        fetcher.close()


def test_a_wait_that_an_error_broke_off_still_brings_its_job(lossy: Lossy):
    with a_bench(lossy.url) as bench:
        fetcher = bench.basic()
        bench.store.paused_queues()
        lossy.proxy.drop_request_once("CLIENT UNBLOCK")
        unit = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(lossy.raw) == 1)
        bench.bell.ring()
        with pytest.raises(RedisUnavailable):
            unit.result(timeout=PATIENCE_S)
        bench.bell.mute()

        lossy.raw.lpush("queue:default", b"one", b"two")

        assert [fetcher.retrieve() for _ in range(2)] == [
            UnitOfWork("default", b"one", 0),
            UnitOfWork("default", b"two", 0),
        ]
        fetcher.close()


def test_a_job_of_a_wait_that_was_broken_off_is_given_back_at_the_end(lossy: Lossy):
    with a_bench(lossy.url) as bench:
        fetcher = bench.basic()
        bench.store.paused_queues()
        lossy.proxy.drop_request_once("CLIENT UNBLOCK")
        unit = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(lossy.raw) == 1)
        bench.bell.ring()
        with pytest.raises(RedisUnavailable):
            unit.result(timeout=PATIENCE_S)
        lossy.raw.lpush("queue:default", b"one")

        fetcher.flush()

        assert lossy.raw.lrange("queue:default", 0, -1) == [b"one"]
        fetcher.close()
