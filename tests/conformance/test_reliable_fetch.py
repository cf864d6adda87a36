"""The default way of fetching: it waits without polling, and what it holds is never lost."""

import pytest

from jobd.store import Store
from jobd.worker.fetch import Grave, UnitOfWork
from tests.conformance.parts import (
    Bench,
    a_bench,
    a_payload,
    blocked,
    calls,
    calls_since,
    claim,
    payloads,
    raws_of,
)
from tests.conftest import again
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

TEN = tuple("abcdefghij")
ON_TWO = pytest.mark.parametrize("store_url", ["valkey-tcp", again("redis-unix")], indirect=True)


def private_sizes(raw: Raw, bench: Bench) -> list[int]:
    return [raw.llen(name) for name in bench.holder.privates]


def test_jobs_are_run_in_order_and_acknowledged_by_the_next_claim(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"default": payloads(3)})
    with a_bench(store_url) as bench:
        fetcher = bench.reliable()
        ran: list[bytes] = []
        for acknowledged in (1, 2, 3):
            unit = fetcher.retrieve()
            assert unit is not None
            ran.append(unit.raw)
            assert bench.acknowledgements == acknowledged
            assert store_raw.lrange(bench.holder.privates[0], 0, -1) == [unit.raw]
            fetcher.acknowledge(unit)
        fetcher.flush()

        assert ran == payloads(3)
        assert bench.acknowledgements == 4
        assert not store_raw.exists(bench.holder.privates[0])


def test_a_job_that_is_there_costs_one_round_trip(store_url: str, store: Store, store_raw: Raw):
    store.push({"default": payloads(4)})
    with a_bench(store_url) as bench:
        fetcher = bench.reliable()
        fetcher.acknowledge(fetcher.retrieve())
        before = calls(store_raw)

        for _ in range(3):
            fetcher.acknowledge(fetcher.retrieve())

        sent = calls_since(store_raw, before)
        in_the_script = {"srem", "lrem", "exists", "lmove", "sadd"}
        assert {name: n for name, n in sent.items() if name not in in_the_script} == {"evalsha": 3}


@pytest.mark.parametrize("queues", [("a",), ("a", "b", "c"), TEN], ids=len)
def test_a_wait_ends_with_a_push_to_any_queue(
    store_url: str, store: Store, store_raw: Raw, queues: tuple[str, ...]
):
    waiters = min(len(queues), 8)
    with a_bench(store_url, *queues) as bench:
        fetcher = bench.reliable()
        for name in {queues[0], queues[waiters - 1]}:
            unit = bench.aside(fetcher.retrieve)
            eventually(lambda: blocked(store_raw) == waiters)

            store.push({name: [name.encode()]})

            position = queues.index(name)
            assert unit.result(timeout=PATIENCE_S) == UnitOfWork(name, name.encode(), position)
            assert blocked(store_raw) == 0
            assert store_raw.lrange(bench.holder.privates[position], 0, -1) == [name.encode()]
            fetcher.acknowledge(UnitOfWork(name, name.encode(), position))
        fetcher.flush()
        assert private_sizes(store_raw, bench) == [0] * len(queues)
        fetcher.close()


@ON_TWO
def test_queues_beyond_the_eighth_are_looked_at_every_second(
    store_url: str, store: Store, store_raw: Raw
):
    with a_bench(store_url, *TEN) as bench:
        fetcher = bench.reliable()
        first = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(store_raw) == 8)
        store.push({"j": [b"one"]})

        assert first.result(timeout=PATIENCE_S) is None
        assert fetcher.retrieve() == UnitOfWork("j", b"one", 9)
        assert len(store_raw.client_list()) <= 9 + 2  # the worker's, and those of this test
        fetcher.close()


def test_of_jobs_that_come_at_once_one_is_kept_and_the_others_go_back(
    store_url: str, store: Store, store_raw: Raw
):
    with a_bench(store_url, "a", "b", "c") as bench:
        fetcher = bench.reliable()
        unit = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(store_raw) == 3)

        with store_raw.pipeline(transaction=True) as together:
            for name in "abc":
                together.lpush(f"queue:{name}", name)
            together.execute()

        kept = unit.result(timeout=PATIENCE_S)
        back = {name for name in "abc" if store_raw.llen(f"queue:{name}")}
        assert back | {kept.queue} == {"a", "b", "c"}
        assert sum(private_sizes(store_raw, bench)) == 1
        assert blocked(store_raw) == 0
        fetcher.close()


def test_a_job_that_was_waited_for_is_recoverable(store_url: str, store: Store, store_raw: Raw):
    with a_bench(store_url) as bench:
        fetcher = bench.reliable()
        unit = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(store_raw) == 1)
        store_raw.delete("jobd:privates")  # a FLUSHALL, say
        store.push({"default": [b"one"]})

        assert unit.result(timeout=PATIENCE_S).raw == b"one"
        eventually(lambda: store.private_lists() == list(bench.holder.privates))
        fetcher.close()


def test_a_waker_ends_a_wait_and_leaves_no_waiter_behind(
    store_url: str, store: Store, store_raw: Raw
):
    with a_bench(store_url, "a", "b", "c") as bench:
        fetcher = bench.reliable()
        unit = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(store_raw) == 3)

        bench.bell.ring()

        assert unit.result(timeout=PATIENCE_S) is None
        assert blocked(store_raw) == 0
        store.push({"a": [b"one"]})
        assert store_raw.llen("queue:a") == 1
        fetcher.close()


def test_a_waker_that_is_readable_before_the_wait_ends_it_too(store_url: str, store_raw: Raw):
    with a_bench(store_url, "a", "b") as bench:
        fetcher = bench.reliable()
        bench.bell.ring()

        assert [fetcher.retrieve() for _ in range(3)] == [None] * 3
        assert blocked(store_raw) == 0
        fetcher.close()


# Pauses


def test_a_job_of_a_paused_queue_does_not_run(store_url: str, store: Store, store_raw: Raw):
    store.push({"default": [b"one"]})
    store_raw.sadd("paused", "default")
    with a_bench(store_url) as bench:
        fetcher = bench.reliable()

        assert fetcher.retrieve() is None
        assert store_raw.lrange("queue:default", 0, -1) == [b"one"]
        fetcher.close()


def test_a_pause_during_a_wait_is_seen(store_url: str, store: Store, store_raw: Raw):
    with a_bench(store_url) as bench:
        fetcher = bench.reliable()
        unit = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(store_raw) == 1)
        store_raw.sadd("paused", "default")

        store.push({"default": [b"one"]})

        assert unit.result(timeout=PATIENCE_S) is None
        assert store_raw.lrange("queue:default", 0, -1) == [b"one"]
        fetcher.close()


@ON_TWO
def test_a_paused_queue_is_looked_at_once_a_second_and_seen_when_unpaused(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"a": [b"one"]})
    store_raw.sadd("paused", "a")
    with a_bench(store_url, "a", "b") as bench:
        fetcher = bench.reliable()
        before = calls(store_raw)

        assert fetcher.retrieve() is None

        sent = calls_since(store_raw, before)
        assert (sent["evalsha"], sent["blmove"]) == (1, 1)
        store_raw.delete("paused")
        assert fetcher.retrieve() == UnitOfWork("a", b"one", 0)
        fetcher.close()


# Cost


@pytest.mark.slow
@pytest.mark.parametrize("store_url", ["valkey-tcp"], indirect=True)
def test_an_idle_worker_sends_one_command_for_each_queue_in_five_seconds(
    store_url: str, store_raw: Raw
):
    with a_bench(store_url, "a", "b", "c") as bench:
        fetcher = bench.reliable()
        bench.bell.ring()
        assert fetcher.retrieve() is None  # connects, loads the script
        bench.bell.mute()
        before = calls(store_raw)

        assert fetcher.retrieve() is None

        sent = calls_since(store_raw, before)
        assert sent.pop("blmove") == 3
        assert sum(sent.values()) <= 3  # at most one waiter or two had to be told
        fetcher.close()


# Settling


def test_settlements_leave_nothing_held(store_url: str, store: Store, store_raw: Raw):
    store.push({"default": payloads(3)})
    with a_bench(store_url) as bench:
        fetcher = bench.reliable()

        assert fetcher.retry(fetcher.retrieve(), b"again", 5.0)
        assert fetcher.bury(fetcher.retrieve(), Grave(b"grave", 9.0, 10, 10.0))
        assert fetcher.give_back(fetcher.retrieve())

        assert private_sizes(store_raw, bench) == [0]
        assert store_raw.zrange("retry", 0, -1) == [b"again"]
        assert store_raw.zrange("dead", 0, -1) == [b"grave"]
        assert store_raw.lrange("queue:default", 0, -1) == [a_payload(2)]


def test_settling_a_job_that_somebody_recovered_says_so(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"default": [b"one"]})
    with a_bench(store_url) as bench:
        fetcher = bench.reliable()
        unit = fetcher.retrieve()
        assert unit is not None
        store.give_back(bench.holder.privates[0], "default", [(b"one", b"one")])

        assert not fetcher.retry(unit, b"again", 5.0)
        assert not fetcher.bury(unit, Grave(b"grave", 9.0, 10, 10.0))
        assert not fetcher.give_back(unit)
        assert set(store_raw.keys()) == {b"queues", b"queue:default", b"jobd:privates"}


def test_ownership_lost_of_a_finished_job_is_logged(
    store_url: str, store: Store, capfd: pytest.CaptureFixture[str]
):
    store.push({"default": [b"one", b"two"]})
    with a_bench(store_url) as bench:
        fetcher = bench.reliable()
        unit = fetcher.retrieve()
        assert unit is not None
        store.give_back(bench.holder.privates[0], "default", [(b"one", b"one")])

        fetcher.acknowledge(unit)
        again = fetcher.retrieve()

        assert again == unit
        assert "ownership lost" in capfd.readouterr().out


# Leaving


def test_flush_gives_back_what_is_held_and_the_oldest_runs_next(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"a": payloads(4), "b": [b"other"]})
    with a_bench(store_url, "a", "b") as bench:
        claim(store, bench.holder, limit=3)
        fetcher = bench.reliable()
        running = fetcher.retrieve()
        assert running is not None
        fetcher.acknowledge(running)

        fetcher.flush()

        assert private_sizes(store_raw, bench) == [0, 0]
        assert raws_of(claim(store, bench.holder, limit=9)) == [*payloads(4)[1:], b"other"]


def test_flush_gives_back_a_job_that_could_not_be_settled(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"default": [b"one"]})
    with a_bench(store_url) as bench:
        fetcher = bench.reliable()
        assert fetcher.retrieve() is not None

        fetcher.flush()

        assert store_raw.lrange("queue:default", 0, -1) == [b"one"]


def test_what_an_earlier_claim_left_is_run_first(store_url: str, store: Store):
    store.push({"default": payloads(4)})
    with a_bench(store_url) as bench:
        claim(store, bench.holder, limit=2)
        fetcher = bench.reliable()

        ran: list[bytes] = []
        for _ in range(4):
            unit = fetcher.retrieve()
            assert unit is not None
            ran.append(unit.raw)
            fetcher.acknowledge(unit)

        assert ran == payloads(4)
