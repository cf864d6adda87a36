"""Cancelling a job that waits, on each server; what a running one makes of it is elsewhere."""

from typing import Any

import pytest

from jobd.cancelling import LIFE_S, Cancelled, cancel
from jobd.errors import InvalidJob, RedisFull
from jobd.keys import Keys
from jobd.store import Store
from tests.support import wire
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

MARKS = Keys().cancelled


@pytest.fixture
def plain(store: Store) -> Store:
    """A store whose keys have no prefix, as those that the tests write by hand."""
    return Store(store.redis, Keys())


def retrying(raw: Raw, **fields: Any) -> str:
    payload = wire.a_payload("Echo", **fields)
    raw.zadd("retry", {wire.encode(payload): 5.5})
    return str(payload["jid"])


def test_a_job_is_taken_out_of_wherever_it_waits_and_no_other(plain: Store, store_raw: Raw) -> None:
    raw = store_raw
    for _ in range(3):
        wire.push(raw, "Echo", queue="low")
        wire.schedule(raw, 60, "Echo")
        retrying(raw)
    waiting = {
        "queue low": wire.push(raw, "Echo", queue="low"),
        "schedule": wire.schedule(raw, 60, "Echo"),
        "retry": retrying(raw),
    }
    assert {cancel(plain, jid): jid for jid in waiting.values()} == waiting
    assert (raw.llen("queue:low"), raw.zcard("schedule"), raw.zcard("retry")) == (3, 3, 3)
    left = wire.queued(raw, "low") + wire.entries(raw, "schedule") + wire.entries(raw, "retry")
    assert not {job["jid"] for job in left} & set(waiting.values())


def test_a_job_that_is_found_nowhere_is_remembered_for_30_days(
    plain: Store, store_raw: Raw
) -> None:
    assert cancel(plain, "b4a5") is None
    assert store_raw.zrange(MARKS, 0, -1) == [b"b4a5"]
    assert LIFE_S - 60 < store_raw.ttl(MARKS) <= LIFE_S == 30 * 86_400


@pytest.mark.parametrize("jid", ["*", "[a-z]?", "a\\b", 'say "it"', "ä\u2028", "x" * 300, "-^"])
def test_any_jid_is_found_and_only_that(plain: Store, store_raw: Raw, jid: str) -> None:
    wire.push(store_raw, "Echo", f"{jid}", jid="other")
    wire.push(store_raw, "Echo", jid=jid)
    retrying(store_raw, args=[jid])
    assert cancel(plain, jid) == "queue default"
    assert [job["jid"] for job in wire.queued(store_raw)] == ["other"]
    retrying(store_raw, jid=jid)
    assert cancel(plain, jid) == "retry"
    assert store_raw.zcard("retry") == 1


def test_all_jobs_of_one_jid_that_stand_together_are_taken_out(
    plain: Store, store_raw: Raw
) -> None:
    for number in range(2):
        wire.push(store_raw, "Echo", number, jid="twice")
    assert cancel(plain, "twice") == "queue default"
    assert wire.queued(store_raw) == []


def test_it_is_found_behind_thousands_and_among_what_is_no_job(
    plain: Store, store_raw: Raw
) -> None:
    jid = wire.push(store_raw, "Echo")
    noise = [b"{", b"[]", b"\xff", jid.encode(), b'"' + jid.encode() + b'"']
    store_raw.rpush("queue:default", *noise * 500)
    store_raw.zadd("retry", dict.fromkeys(noise, 1))
    assert cancel(plain, jid) == "queue default"
    assert store_raw.llen("queue:default") == 2_500


@pytest.mark.parametrize("jid", ["", None, 7])
def test_what_is_no_jid_is_refused(plain: Store, store_raw: Raw, jid: Any) -> None:
    with pytest.raises(InvalidJob, match="what a push returned"):
        cancel(plain, jid)
    assert store_raw.dbsize() == 0


def test_an_iterable_job_of_sidekiq_finds_it_where_it_looks_and_the_first_counts(
    plain: Store, store_raw: Raw
) -> None:
    store_raw.hset("it-known", mapping={"ex": 1, "c": "[3]"})
    store_raw.hset("it-before", mapping={"ex": 1, "cancelled": 5})
    for jid in ("known", "before", "plain"):
        cancel(plain, jid)
    assert 0 <= store_raw.time()[0] - int(store_raw.hget("it-known", "cancelled")) < 60
    assert store_raw.hget("it-before", "cancelled") == b"5"
    assert not store_raw.exists("it-plain")  # Sidekiq stumbles over a hash with that alone


def test_a_copy_learns_what_is_new_and_a_number_tells_that_there_is(plain: Store) -> None:
    copy = Cancelled(plain)
    assert (copy.refresh(), copy.jids) == (0.0, set())
    cancel(plain, "first")
    first = copy.refresh()
    assert (first > 0, copy.refresh() == first, copy.jids) == (True, True, {"first"})
    cancel(plain, "second")
    assert copy.refresh() > first
    assert copy.jids == {"first", "second"}


def test_a_clock_that_goes_back_hides_nothing(plain: Store, store_raw: Raw) -> None:
    copy = Cancelled(plain)
    store_raw.zadd(MARKS, {"by the old primary": store_raw.time()[0] + 3_600})
    copy.refresh()
    cancel(plain, "by the new one")
    copy.refresh()
    assert copy.jids == {"by the old primary", "by the new one"}


def test_what_is_old_and_what_is_too_much_is_forgotten(plain: Store, store_raw: Raw) -> None:
    now_s = store_raw.time()[0]
    marks = {f"{number}": now_s - 100 + number / 1e6 for number in range(10_000)}
    store_raw.zadd(MARKS, {**marks, "old": now_s - LIFE_S - 1})
    cancel(plain, "new")
    assert store_raw.zcard(MARKS) == 10_000
    assert store_raw.zmscore(MARKS, ["old", "0", "1"])[:2] == [None, None]
    copy = Cancelled(plain)
    copy.jids = {f"forgotten {number}" for number in range(20_001)}
    copy.refresh()
    assert len(copy.jids) == 10_000


def test_on_a_full_server_jobs_can_be_cancelled(plain: Store, store_raw: Raw) -> None:
    jid = wire.push(store_raw, "Echo")
    store_raw.config_set("maxmemory", 1)
    try:
        assert cancel(plain, jid) == "queue default"
        with pytest.raises(RedisFull):
            plain.push({"default": [b"{}"]})
    finally:
        store_raw.config_set("maxmemory", 0)
