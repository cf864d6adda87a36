"""Settling: every move is one step, and only the holder's."""

import pytest

from jobd.errors import RedisRejected
from jobd.store import Holder, PastError, Store
from tests.conformance.parts import (
    IDENTITY,
    KEYS,
    ODD,
    a_holder,
    a_payload,
    claim,
    payloads,
    raws_of,
)
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

NOW_S = 1_800_000_000.25
OTHER = KEYS.private(IDENTITY, "1.7.1", "default")


@pytest.fixture
def holder() -> Holder:
    return a_holder()


@pytest.fixture
def private(holder: Holder) -> str:
    return holder.privates[0]


def held(store: Store, holder: Holder, *raws: bytes) -> None:
    store.push({"default": list(raws)})
    assert raws_of(claim(store, holder, limit=len(raws))) == list(raws)


def bury(store: Store, private: str | None, raw: bytes, grave: bytes, **limits: float) -> bool:
    rules = {"now_s": NOW_S, "max_jobs": 100, "timeout_s": 1000.0} | limits
    return store.bury(private, raw, grave, **rules)


# Acknowledge


def test_an_acknowledged_job_is_gone(store: Store, store_raw: Raw, holder: Holder, private: str):
    held(store, holder, b"one", b"two")

    assert store.acknowledge(private, b"one")
    assert store_raw.lrange(private, 0, -1) == [b"two"]


def test_acknowledging_what_is_not_held_says_so(store: Store, private: str):
    assert not store.acknowledge(private, b"one")


def test_jobs_of_several_lists_are_acknowledged_at_once(
    store: Store, store_raw: Raw, holder: Holder, private: str
):
    held(store, holder, b"one", b"two")
    store.hand_over(private, OTHER, b"two")

    assert store.acknowledge_held([(private, b"one"), (OTHER, b"two"), (OTHER, b"three")]) == 2
    assert not store_raw.exists(private, OTHER)


# Hand over


def test_a_job_that_is_handed_over_is_in_the_other_list_alone(
    store: Store, store_raw: Raw, holder: Holder, private: str
):
    held(store, holder, b"one", b"two")

    assert store.hand_over(private, OTHER, b"one")
    assert store_raw.lrange(private, 0, -1) == [b"two"]
    assert store_raw.lrange(OTHER, 0, -1) == [b"one"]
    assert OTHER in store.private_lists()


def test_a_job_that_is_handed_over_again_is_there_once(
    store: Store, store_raw: Raw, holder: Holder, private: str
):
    held(store, holder, b"one")

    assert [store.hand_over(private, OTHER, b"one") for _ in range(3)] == [True] * 3
    assert store_raw.lrange(OTHER, 0, -1) == [b"one"]


@pytest.mark.parametrize("key", [OTHER, KEYS.privates])
def test_a_job_that_could_not_be_handed_over_is_still_held(
    store: Store, store_raw: Raw, holder: Holder, private: str, key: str
):
    held(store, holder, b"one")
    store_raw.delete(key)
    store_raw.set(key, "not what it should be")

    with pytest.raises(RedisRejected):
        store.hand_over(private, OTHER, b"one")
    assert store_raw.lrange(private, 0, -1) == [b"one"]


def test_a_job_that_is_not_held_any_more_is_not_handed_over(
    store: Store, store_raw: Raw, private: str
):
    assert not store.hand_over(private, OTHER, b"one")
    assert not store_raw.exists(OTHER)


# Retry


def test_a_failed_job_goes_from_its_private_list_to_retry(
    store: Store, store_raw: Raw, holder: Holder, private: str
):
    held(store, holder, b"one")

    assert store.retry(private, b"one", b"one again", NOW_S)
    assert store_raw.zrange("retry", 0, -1, withscores=True) == [(b"one again", NOW_S)]
    assert not store_raw.exists(private)


def test_a_retry_of_what_is_not_held_writes_nothing(store: Store, store_raw: Raw, private: str):
    assert not store.retry(private, b"one", b"again", NOW_S)
    assert not store_raw.exists("retry")


def test_a_retry_of_what_is_held_nowhere_is_written(store: Store, store_raw: Raw):
    assert not store.retry(None, b"one", b"again", NOW_S)
    assert store_raw.zrange("retry", 0, -1) == [b"again"]


def test_the_error_before_the_last_is_kept_beside_the_job(
    store: Store, store_raw: Raw, holder: Holder, private: str
):
    for number in range(12):
        raw = b"%d" % number
        held(store, holder, raw)
        assert store.retry(private, raw, b"again", NOW_S, PastError("abc", raw, 100))
    kept = store_raw.lrange("jobd:errors:abc", 0, -1)
    assert kept == [b"%d" % number for number in range(11, 1, -1)]
    assert 0 < store_raw.ttl("jobd:errors:abc") <= 100
    held(store, holder, b"last")
    grave = {"now_s": NOW_S, "max_jobs": 9, "timeout_s": 9.0}
    assert store.bury(private, b"last", b"dead", past=PastError("abc", b"x", 500), **grave)
    assert store_raw.lindex("jobd:errors:abc", 0) == b"x"
    assert store_raw.ttl("jobd:errors:abc") > 100


def test_a_settlement_that_is_sent_again_keeps_the_error_once(store: Store, store_raw: Raw):
    for _ in range(2):
        store.retry(None, b"one", b"again", NOW_S, PastError("abc", b"boom", 100))
    assert store_raw.lrange("jobd:errors:abc", 0, -1) == [b"boom"]


def test_an_error_that_cannot_be_kept_keeps_nobody_from_settling(
    store: Store, store_raw: Raw, holder: Holder, private: str
):
    store_raw.set("jobd:errors:abc", "no list")
    held(store, holder, b"one")
    assert store.retry(private, b"one", b"again", NOW_S, PastError("abc", b"boom", 100))
    assert store_raw.zrange("retry", 0, -1) == [b"again"]
    assert not store_raw.exists(private)


# Bury


def test_a_dead_job_goes_from_its_private_list_to_dead(
    store: Store, store_raw: Raw, holder: Holder, private: str
):
    held(store, holder, b"one")

    assert bury(store, private, b"one", b"grave")
    assert store_raw.zrange("dead", 0, -1, withscores=True) == [(b"grave", NOW_S)]
    assert not store_raw.exists(private)


def test_burying_what_is_not_held_writes_and_trims_nothing(
    store: Store, store_raw: Raw, private: str
):
    store_raw.zadd("dead", {b"old": 1})

    assert not bury(store, private, b"one", b"grave")
    assert store_raw.zrange("dead", 0, -1) == [b"old"]


def test_burying_what_is_held_nowhere_is_written(store: Store, store_raw: Raw):
    assert not bury(store, None, b"one", b"grave")
    assert store_raw.zrange("dead", 0, -1) == [b"grave"]


@pytest.mark.parametrize("max_jobs", [0, 1, 3])
def test_dead_keeps_exactly_the_newest_so_many(store: Store, store_raw: Raw, max_jobs: int):
    for number in range(5):
        bury(store, None, b"", b"%d" % number, now_s=NOW_S + number, max_jobs=max_jobs)

    assert store_raw.zrange("dead", 0, -1) == [b"0", b"1", b"2", b"3", b"4"][5 - max_jobs :]


def test_dead_forgets_what_is_too_old(store: Store, store_raw: Raw):
    store_raw.zadd("dead", {b"too old": NOW_S - 10, b"young enough": NOW_S - 9.99})

    bury(store, None, b"", b"new", timeout_s=10.0)

    assert store_raw.zrange("dead", 0, -1) == [b"young enough", b"new"]


# Give back


def test_a_job_given_back_runs_next(store: Store, store_raw: Raw, holder: Holder, private: str):
    held(store, holder, a_payload(0))
    store.push({"default": [a_payload(1)]})
    store_raw.delete("queues")

    assert store.give_back(private, "default", [(a_payload(0), a_payload(0))]) == 1
    assert store_raw.smembers("queues") == {b"default"}
    assert raws_of(claim(store, holder, limit=9)) == payloads(2)


def test_the_last_one_given_back_runs_first(store: Store, holder: Holder, private: str):
    held(store, holder, *payloads(3))

    count = store.give_back(private, "default", [(raw, raw) for raw in reversed(payloads(3))])

    assert count == 3
    assert raws_of(claim(store, holder, limit=3)) == payloads(3)


def test_a_job_may_go_back_rewritten(store: Store, store_raw: Raw, holder: Holder, private: str):
    held(store, holder, b"one")

    store.give_back(private, "default", [(b"one", b"one, recovered")])

    assert store_raw.lrange("queue:default", 0, -1) == [b"one, recovered"]


def test_only_what_is_held_goes_back(store: Store, store_raw: Raw, holder: Holder, private: str):
    held(store, holder, b"one")

    assert store.give_back(private, "default", [(b"other", b"other"), (b"one", b"one")]) == 1
    assert store.give_back(private, "default", [(b"one", b"one")]) == 0
    assert store_raw.lrange("queue:default", 0, -1) == [b"one"]


def test_a_job_held_nowhere_goes_back_to_run_next(store: Store, store_raw: Raw):
    store.push({"default": [b"two"]})

    store.requeue("default", b"one")

    assert store_raw.lrange("queue:default", 0, -1) == [b"two", b"one"]


# What must hold for all of them


@pytest.mark.parametrize("payload", ODD.values(), ids=ODD)
def test_odd_payloads_are_settled_as_they_are(
    store: Store, store_raw: Raw, holder: Holder, private: str, payload: bytes
):
    held(store, holder, payload, payload)

    assert store.retry(private, payload, payload, NOW_S)
    assert bury(store, private, payload, payload)
    assert store_raw.zrange("retry", 0, -1) == store_raw.zrange("dead", 0, -1) == [payload]


def test_a_settlement_that_is_refused_leaves_the_job_held(
    store: Store, store_raw: Raw, holder: Holder, private: str
):
    held(store, holder, b"one")
    for name in ("retry", "dead", "queue:default"):
        store_raw.set(name, "not what it should be")

    for settle in (
        lambda: store.retry(private, b"one", b"one", NOW_S),
        lambda: bury(store, private, b"one", b"one"),
        lambda: store.give_back(private, "default", [(b"one", b"one")]),
    ):
        with pytest.raises(RedisRejected, match="WRONGTYPE"):
            settle()
        assert store_raw.lrange(private, 0, -1) == [b"one"]


def test_a_retry_at_no_time_at_all_leaves_the_job_held(
    store: Store, store_raw: Raw, holder: Holder, private: str
):
    held(store, holder, b"one")

    with pytest.raises(RedisRejected, match="float"):
        store.retry(private, b"one", b"one", float("nan"))

    assert store_raw.lrange(private, 0, -1) == [b"one"]
