"""The claim: it acknowledges, takes, and heals itself."""

import pytest

from jobd.store import Held, Store
from tests.conformance.parts import (
    ODD,
    a_holder,
    a_payload,
    brought,
    calls,
    calls_since,
    claim,
    payloads,
    raws_of,
)
from tests.support.servers import Raw

pytestmark = pytest.mark.redis


def test_jobs_are_claimed_first_in_first_out(store: Store):
    holder = a_holder()
    store.push({"default": payloads(4)})

    first = claim(store, holder)
    second = claim(store, holder, *first.jobs, limit=2)
    third = claim(store, holder, *second.jobs, limit=9)

    assert [raws_of(c) for c in (first, second, third)] == [
        payloads(4)[:1],
        payloads(4)[1:3],
        payloads(4)[3:],
    ]


def test_a_claimed_job_lies_in_its_private_list_and_nowhere_else(store: Store, store_raw: Raw):
    holder = a_holder("high", "low")
    store.push({"low": [b"one"]})

    claimed = claim(store, holder)

    assert claimed.jobs == (Held(1, b"one"),)
    assert store_raw.lrange(holder.privates[1], 0, -1) == [b"one"]
    assert not store_raw.exists("queue:low", holder.privates[0])


def test_a_claim_acknowledges_by_value_what_is_done(store: Store, store_raw: Raw):
    holder = a_holder("high", "low")
    store.push({"high": [b"a"], "low": [b"b"]})
    held = claim(store, holder, limit=2).jobs

    claimed = claim(store, holder, *held)

    assert claimed == (0, (), frozenset(), "")
    assert not store_raw.exists(*holder.privates)


def test_only_one_of_two_equal_jobs_is_acknowledged(store: Store, store_raw: Raw):
    holder = a_holder()
    store.push({"default": [b"same", b"same"]})
    held = claim(store, holder, limit=2).jobs

    claimed = claim(store, holder, held[0])

    assert claimed.jobs == (Held(0, b"same"),)
    assert store_raw.llen(holder.privates[0]) == 1


def test_a_batch_that_ended_in_order_is_acknowledged_by_its_ends(store: Store, store_raw: Raw):
    holder, batch = a_holder("high", "low"), payloads(100)
    store.push({"high": batch[:60], "low": batch[60:]})
    held = claim(store, holder, limit=100).jobs
    store.push({"high": [b"next"]})
    before = calls(store_raw)

    claimed = claim(store, holder, *held, limit=2, in_order=True)

    spent = calls_since(store_raw, before)
    assert (claimed.lost, raws_of(claimed)) == (0, [b"next"])
    assert (spent["ltrim"], spent["lindex"], spent.get("lrem", 0)) == (3, 4, 0)
    assert store_raw.lrange(holder.privates[0], 0, -1) == [b"next"]
    assert not store_raw.exists(holder.privates[1])


IN_ORDER = [
    *([], [0], [4], [0, 1, 2], [2, 3], [3, 4], [0, 1, 2, 3, 4]),
    *([1, 2], [0, 2], [0, 2, 3], [0, 4], [0, 1, 4], [1, 3, 4]),  # others failed, say
]


@pytest.mark.parametrize(
    ("done", "in_order"),
    [*((done, True) for done in IN_ORDER), *((done, False) for done in [*IN_ORDER, [2, 1, 0]])],
)
def test_what_is_done_leaves_and_nothing_else(
    store: Store, store_raw: Raw, done: list[int], in_order: bool
):
    holder, batch = a_holder("high", "low"), payloads(6)
    store.push({"high": batch[:5], "low": batch[5:]})
    held = claim(store, holder, limit=6).jobs

    claimed = claim(store, holder, *(held[n] for n in done), held[5], limit=2, in_order=in_order)

    rest = [raw for number, raw in enumerate(batch[:5]) if number not in done]
    assert (claimed.lost, raws_of(claimed)) == (0, rest)
    assert store_raw.lrange(holder.privates[0], 0, -1) == rest[::-1]
    assert not store_raw.exists(holder.privates[1])


def test_what_is_not_held_any_more_takes_no_other_job_along(store: Store, store_raw: Raw):
    holder, batch = a_holder(), payloads(4)
    store.push({"default": batch})
    held = claim(store, holder, limit=4).jobs
    store_raw.lrem(holder.privates[0], 1, batch[1])  # recovered by somebody

    claimed = claim(store, holder, *held[:3], in_order=True)

    assert (claimed.lost, raws_of(claimed)) == (1, [batch[3]])
    assert claim(store, holder, *held[:3], in_order=True).lost == 3


def test_a_claim_returns_what_is_held_and_moves_nothing(store: Store, store_raw: Raw):
    holder = a_holder()
    store.push({"default": payloads(3)})

    again = [claim(store, holder, limit=k) for k in (1, 1, 5)]

    assert [raws_of(c) for c in again] == [[a_payload(0)]] * 3
    assert store_raw.llen("queue:default") == 2


def test_what_is_held_comes_back_oldest_first_whatever_the_limit(store: Store):
    holder = a_holder("high", "low")
    store.push({"high": [b"a", b"b"], "low": [b"c"]})
    claim(store, holder, limit=3)

    healed = claim(store, holder, limit=0)

    assert healed.jobs == (Held(0, b"a"), Held(0, b"b"), Held(1, b"c"))


def test_a_claim_that_arrives_late_and_twice_takes_nothing_more(store: Store, store_raw: Raw):
    holder = a_holder()
    store.push({"default": payloads(3)})
    done = claim(store, holder).jobs
    running = claim(store, holder, *done).jobs

    late = claim(store, holder, *done)  # the same request once more, from a slow connection

    assert (late.lost, late.jobs) == (1, running)
    assert store_raw.lrange(holder.privates[0], 0, -1) == [a_payload(1)]
    assert store_raw.lrange("queue:default", 0, -1) == [a_payload(2)]


def test_a_claim_counts_the_finished_jobs_that_somebody_took(store: Store, store_raw: Raw):
    holder = a_holder()
    store.push({"default": payloads(3)})
    done = claim(store, holder, limit=2).jobs
    store.give_back(holder.privates[0], "default", [(done[0][1], done[0][1])])

    claimed = claim(store, holder, *done)

    assert claimed.lost == 1
    assert claimed.jobs == (done[0],)  # it runs again: somebody gave it back


def test_nothing_in_any_queue_is_an_empty_claim(store: Store):
    assert claim(store, a_holder("high", "low")) == (0, (), frozenset(), "")


def test_the_order_given_is_the_order_of_the_queues(store: Store):
    holder = a_holder("a", "b", "c")
    store.push({"a": [b"1"], "b": [b"2"], "c": [b"3"]})

    claimed = brought(store.claim(holder, done=(), order=(2, 0, 1), limit=2))

    assert claimed.jobs == (Held(2, b"3"), Held(0, b"1"))


def test_a_queue_that_is_not_in_the_order_is_left_alone(store: Store):
    holder = a_holder("a", "b")
    store.push({"b": [b"2"]})

    assert not store.claim(holder, done=(), order=(0,), limit=5).jobs


def test_the_first_queue_is_asked_for_all_before_the_second(store: Store):
    holder = a_holder("a", "b")
    store.push({"a": [b"1", b"2"], "b": [b"3", b"4"]})

    assert raws_of(claim(store, holder, limit=3)) == [b"1", b"2", b"3"]


def test_each_queue_is_asked_for_its_share_and_the_order_fills_what_is_left(store: Store):
    holder = a_holder("a", "b", "c")
    store.push({"a": [b"1", b"2", b"3"], "b": [b"4"], "c": [b"5", b"6", b"7", b"8"]})

    claimed = brought(store.claim(holder, done=(), order=(2, 1, 0), limit=6, shares=(1, 4, 1)))

    assert raws_of(claimed) == [b"5", b"4", b"1", b"6", b"7", b"8"]


def test_many_are_claimed_in_order_and_lie_in_the_order_of_their_claim(
    store: Store, store_raw: Raw
):
    holder = a_holder()
    store.push({"default": payloads(200)})

    claimed = claim(store, holder, limit=128)

    assert raws_of(claimed) == payloads(200)[:128]
    assert store_raw.lrange(holder.privates[0], 0, -1) == payloads(200)[127::-1]
    assert store_raw.lrange("queue:default", 0, -1) == payloads(200)[:127:-1]


def test_a_paused_queue_is_passed_over_and_reported(store: Store, store_raw: Raw):
    holder = a_holder("a", "b")
    store.push({"a": [b"1"], "b": [b"2"]})
    store_raw.sadd("paused", "a", "elsewhere")

    assert claim(store, holder) == (0, (Held(1, b"2"),), frozenset({0}), "")
    assert store.paused_queues() == {"a", "elsewhere"}
    assert store_raw.lrange("queue:a", 0, -1) == [b"1"]


def test_what_is_held_of_a_paused_queue_still_comes_back(store: Store, store_raw: Raw):
    holder = a_holder()
    store.push({"default": [b"1"]})
    claim(store, holder)
    store_raw.sadd("paused", "default")

    assert claim(store, holder).jobs == (Held(0, b"1"),)


def test_a_claim_notes_the_private_lists_that_it_fills(store: Store):
    holder = a_holder("a", "b")
    store.push({"b": [b"2"]})

    claim(store, holder)

    assert store.private_lists() == [holder.privates[1]]


def test_an_empty_claim_notes_every_private_list_since_a_wait_follows(store: Store):
    holder = a_holder("a", "b", "c")

    claim(store, holder)

    assert set(store.private_lists()) == set(holder.privates)


def test_processors_never_get_the_same_job(store: Store):
    holders = [a_holder(processor=f"{slot}.0.1") for slot in range(1, 5)]
    store.push({"default": payloads(4)})

    got = [raws_of(claim(store, holder)) for holder in holders]

    assert got == [[payload] for payload in payloads(4)]


@pytest.mark.parametrize("payload", ODD.values(), ids=ODD)
def test_odd_payloads_are_acknowledged_as_they_are(store: Store, store_raw: Raw, payload: bytes):
    holder = a_holder()
    store.push({"default": [payload]})

    claimed = claim(store, holder, *claim(store, holder).jobs)

    assert claimed == (0, (), frozenset(), "")
    assert not store_raw.exists(holder.privates[0])


def test_a_confirmed_private_list_is_noted(store: Store, store_raw: Raw):
    holder = a_holder("a", "b")
    store_raw.lpush(holder.privates[1], b"job")

    assert store.confirm(holder, Held(1, b"job"))
    assert store.private_lists() == [holder.privates[1]]


def test_a_confirmation_tells_of_a_pause(store: Store, store_raw: Raw):
    store_raw.sadd("paused", "b")
    holder = a_holder("a", "b")

    for private in holder.privates:
        store_raw.lpush(private, b"job")

    assert store.confirm(holder, Held(0, b"job"))
    assert not store.confirm(holder, Held(1, b"job"))
    assert set(store.private_lists()) == set(holder.privates)


def test_a_job_that_somebody_recovered_is_not_confirmed(store: Store, store_raw: Raw):
    holder = a_holder("a")
    store_raw.lpush(holder.privates[0], b"another")

    assert not store.confirm(holder, Held(0, b"job"))


def test_a_queue_that_is_no_list_is_passed_over_and_told(store: Store, store_raw: Raw):
    holder = a_holder("a", "b")
    store_raw.set("queue:a", "not a list")
    store.push({"b": [b"job"]})

    claimed = claim(store, holder)

    assert raws_of(claimed) == [b"job"]
    assert claimed.paused == {0}
    assert "WRONGTYPE" in claimed.refused


def test_a_blocking_claim_takes_the_job_that_runs_next(store: Store, store_raw: Raw):
    holder = a_holder()
    store.push({"default": [b"1", b"2"]})

    raw = store_raw.execute_command(*store.blocking_claim(holder, 0, 1.0)[0])

    assert raw == b"1"
    assert claim(store, holder).jobs == (Held(0, b"1"),)
