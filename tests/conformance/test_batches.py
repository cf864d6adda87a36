"""Claims of several jobs: nothing waits behind a long one, nothing is lost, nothing runs twice."""

import contextlib
import random
import threading
from collections import Counter

import pytest

from jobd import faults
from jobd.errors import RedisUnavailable
from jobd.store import Store
from jobd.worker.fetch import Draw, Fetcher, Grave, UnitOfWork
from tests.conformance.parts import (
    Lossy,
    a_bench,
    a_capsule,
    a_payload,
    calls,
    calls_since,
    payloads,
)
from tests.conformance.test_lost_replies import SETTLE, insist, must_get, size
from tests.conftest import again
from tests.support.clock import FakeClock
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

ON_TWO = pytest.mark.parametrize("store_url", ["valkey-tcp", again("redis-unix")], indirect=True)


def take_all(fetcher: Fetcher, unit: UnitOfWork | None) -> list[bytes]:
    """Finish this job and those that came with it."""
    ran: list[bytes] = []
    while unit is not None:
        ran.append(unit.raw)
        fetcher.acknowledge(unit)
        unit = fetcher.take()
    return ran


def waiting(raw: Raw, queue: str = "default") -> list[bytes]:
    """The jobs of a queue, the one that runs next first."""
    return list(reversed(raw.lrange(f"queue:{queue}", 0, -1)))


def test_a_batch_runs_in_order_for_one_round_trip_and_is_acknowledged_by_the_next(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"default": payloads(25)})
    with a_bench(store_url) as bench:
        bench.clock = FakeClock()
        fetcher = bench.reliable(batch=10)
        ran = take_all(fetcher, fetcher.retrieve())
        before = calls(store_raw)
        ran += take_all(fetcher, fetcher.retrieve())
        assert calls_since(store_raw, before)["evalsha"] == 1
        assert store_raw.lrange(bench.holder.privates[0], 0, -1) == payloads(25)[19:9:-1]

        ran += take_all(fetcher, fetcher.retrieve())
        fetcher.flush()

        assert ran == payloads(25)
        assert not store_raw.exists(bench.holder.privates[0])


def test_what_is_done_is_acknowledged_before_the_wait(store_url: str, store: Store, store_raw: Raw):
    store.push({"default": payloads(5)})
    with a_bench(store_url) as bench:
        fetcher = bench.reliable(batch=10)
        take_all(fetcher, fetcher.retrieve())
        bench.bell.ring()

        assert fetcher.retrieve() is None
        assert not store_raw.exists(bench.holder.privates[0])
        fetcher.close()


@pytest.mark.parametrize("done", [0, 3])
def test_jobs_behind_a_long_one_go_back_in_order_and_what_is_done_is_acknowledged(
    store_url: str, store: Store, store_raw: Raw, done: int
):
    store.push({"default": payloads(20)})
    with a_bench(store_url) as bench:
        fetcher = bench.reliable(batch=10)
        unit = must_get(fetcher)
        for _ in range(done):
            fetcher.acknowledge(unit)
            unit = fetcher.take() or must_get(fetcher)

        eventually(lambda: waiting(store_raw) == payloads(20)[done + 1 :])
        eventually(lambda: store_raw.lrange(bench.holder.privates[0], 0, -1) == [unit.raw])

        assert unit.raw == a_payload(done)
        assert bench.long_jobs >= 1
        assert fetcher.take() is None
        fetcher.acknowledge(unit)
        assert must_get(fetcher).raw == a_payload(done + 1)


def test_of_each_queue_of_a_claim_the_oldest_job_is_told(store_url: str, store: Store):
    store.push({"a": [b"1", b"2"], "b": [b"3", b"4"]})
    with a_bench(store_url, "a", "b") as bench:
        assert must_get(bench.reliable(batch=10)).raw == b"1"
        assert bench.sampled == [("a", b"1"), ("b", b"3")]


def test_every_queue_gets_its_own_back(store_url: str, store: Store, store_raw: Raw):
    store.push({"a": [b"1", b"2"], "b": [b"3", b"4"]})
    with a_bench(store_url, "a", "b") as bench:
        fetcher = bench.reliable(batch=10)
        assert must_get(fetcher).raw == b"1"

        eventually(lambda: waiting(store_raw, "b") == [b"3", b"4"])
        eventually(lambda: waiting(store_raw, "a") == [b"2"])


def test_a_pause_holds_for_jobs_that_waited_behind_a_long_one(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"default": payloads(5)})
    with a_bench(store_url) as bench:
        fetcher = bench.reliable(batch=10)
        unit = must_get(fetcher)
        store_raw.sadd("paused", "default")
        eventually(lambda: len(waiting(store_raw)) == 4)

        fetcher.acknowledge(unit)
        bench.bell.ring()

        assert fetcher.retrieve() is None
        assert waiting(store_raw) == payloads(5)[1:]
        fetcher.close()


def test_a_job_given_back_runs_before_those_that_were_claimed_with_it(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"default": payloads(5)})
    with a_bench(store_url) as bench:
        bench.clock = FakeClock()
        fetcher = bench.reliable(batch=4)

        assert fetcher.give_back(must_get(fetcher))

        assert waiting(store_raw) == payloads(5)
        assert fetcher.take() is None


def test_flush_gives_a_batch_back_in_order(store_url: str, store: Store, store_raw: Raw):
    store.push({"default": payloads(9)})
    with a_bench(store_url) as bench:
        bench.clock = FakeClock()
        fetcher = bench.reliable(batch=8)
        fetcher.acknowledge(must_get(fetcher))

        fetcher.flush()

        assert waiting(store_raw) == payloads(9)[1:]
        assert not store_raw.exists(bench.holder.privates[0])


def test_a_claim_older_than_a_second_is_forgotten_for_others_may_have_its_jobs(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"default": payloads(6)})
    with a_bench(store_url) as bench:
        bench.clock = clock = FakeClock()
        fetcher = bench.reliable(batch=4)
        ran = [must_get(fetcher)]
        # Suspended for a minute: another instance recovers all but one, and one of them is done.
        held = [(raw, raw) for raw in payloads(6)[3:0:-1]]
        store.give_back(bench.holder.privates[0], "default", held)
        store_raw.rpop("queue:default")
        clock.suspend(60)

        fetcher.acknowledge(ran[0])
        assert fetcher.take() is None
        again = take_all(fetcher, must_get(fetcher))

        assert again[0] == a_payload(2)
        assert a_payload(1) not in again


def test_a_strict_order_asks_the_first_queue_for_all(store_url: str, store: Store):
    store.push({"high": payloads(3), "low": payloads(9)[3:]})
    with a_bench(store_url, "high", "low") as bench:
        bench.clock = FakeClock()
        fetcher = bench.reliable(batch=5)

        assert take_all(fetcher, fetcher.retrieve()) == payloads(9)[:5]


# Weights


@pytest.mark.parametrize("jobs", [2, 3, 10, 50, 128])
def test_drawn_shares_are_the_weights(jobs: int):
    draw = Draw(a_capsule(("a", 6), ("b", 3), ("c", 1)), random.Random(7))
    total: Counter[int] = Counter()
    while total.total() < 50_000:
        shares = draw.shares(jobs)
        assert sum(shares) == jobs
        total.update(dict(enumerate(shares)))

    drawn = [total[index] / total.total() for index in range(3)]
    assert drawn == pytest.approx([0.6, 0.3, 0.1], rel=0.05)


@pytest.mark.parametrize("jobs", [17, 100, 128])
def test_a_claim_asks_few_of_many_queues_and_none_goes_short(jobs: int):
    draw = Draw(a_capsule(*((f"q{number}", 1) for number in range(50))), random.Random(7))
    total: Counter[int] = Counter()
    while total.total() < 50_000:
        shares = draw.shares(jobs)
        assert sum(map(bool, shares)) <= 16
        total.update(dict(enumerate(shares)))

    # Drawn one by one, each would have 1,000 +- 31: a whole tenth too few or too many at times.
    assert [total[index] / total.total() for index in range(50)] == pytest.approx(
        [0.02] * 50, rel=0.05
    )


def test_the_first_of_a_drawn_order_is_drawn_by_weight():
    draw = Draw(a_capsule(("a", 6), ("b", 3), ("c", 1)), random.Random(7))
    first = Counter(next(iter(draw.order())) for _ in range(50_000))

    drawn = [first[index] / first.total() for index in range(3)]
    assert drawn == pytest.approx([0.6, 0.3, 0.1], rel=0.05)


@pytest.mark.slow
@pytest.mark.unmeasured
@pytest.mark.parametrize("store_url", ["redis-unix"], indirect=True)
@pytest.mark.parametrize("batch", [2, 10, 128])
def test_over_50_000_jobs_queues_are_served_by_weight(store_url: str, store_raw: Raw, batch: int):
    # The rarest queue has 5,000 +- 67 of them: 5 % is nearly four standard deviations.
    for name in "abc":
        store_raw.lpush(f"queue:{name}", *[name] * 50_000)
    with a_bench(store_url, ("a", 6), ("b", 3), ("c", 1)) as bench:
        bench.clock = FakeClock()
        fetcher = bench.reliable(batch=batch)
        served: Counter[bytes] = Counter()
        while served.total() < 50_000:
            served.update(take_all(fetcher, must_get(fetcher)))
        fetcher.flush()

    shares = [served[name] / served.total() for name in (b"a", b"b", b"c")]
    assert shares == pytest.approx([0.6, 0.3, 0.1], rel=0.05)


@ON_TWO
def test_the_share_of_an_empty_queue_goes_to_the_others(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"b": payloads(100)})
    with a_bench(store_url, ("a", 9), ("b", 1)) as bench:
        bench.clock = FakeClock()
        fetcher = bench.reliable(batch=50)

        assert len(take_all(fetcher, fetcher.retrieve())) == 50


# Lost replies


@pytest.mark.parametrize("lose", ["drop_request_once", "drop_reply_once"])
@pytest.mark.parametrize("command", ["give_back", "claim"])
def test_a_return_that_got_no_reply_is_sent_again_and_no_job_runs_twice(
    lossy: Lossy,
    lose: str,
    command: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    may_rescue = threading.Event()
    monkeypatch.setattr(faults, "point", lambda name: may_rescue.wait(PATIENCE_S))
    lossy.raw.lpush("queue:default", *payloads(10))
    with a_bench(lossy.url) as bench:
        fetcher = bench.reliable(batch=5)
        first = must_get(fetcher)
        fetcher.acknowledge(first)
        long = must_get(fetcher)
        connections = lossy.proxy.connections
        getattr(lossy.proxy, lose)(command)
        may_rescue.set()
        eventually(lambda: lossy.proxy.connections > connections)  # the keeper's
        eventually(lambda: bench.long_jobs)

        fetcher.acknowledge(long)
        ran = [first.raw, long.raw]
        while len(ran) < 10:
            ran += take_all(fetcher, must_get(fetcher))
        fetcher.flush()

        assert ran == payloads(10)
        assert not lossy.raw.exists("queue:default", bench.holder.privates[0])
        assert "ownership lost" not in capfd.readouterr().out


class Scissors:
    """Cuts the connection of one command in twenty, before it arrives or before its reply does."""

    def __init__(self, lossy: Lossy, rng: random.Random) -> None:
        self._proxy = lossy.proxy
        self._rng = rng
        self.cuts = 0

    def near(self, command: str) -> None:
        if self._rng.random() < 0.05:
            self.cuts += 1
            lose = self._rng.choice(["drop_request_once", "drop_reply_once"])
            getattr(self._proxy, lose)(command)


def settle(fetcher: Fetcher, unit: UnitOfWork, how: str) -> None:
    grave = Grave(unit.raw, 9.0, 100_000, 9.0)
    match how:
        case "acknowledge":
            fetcher.acknowledge(unit)
        case "retry":
            insist(lambda: fetcher.retry(unit, unit.raw, 5.0))
        case "bury":
            insist(lambda: fetcher.bury(unit, grave))
        case _:
            insist(lambda: fetcher.give_back(unit))


@pytest.mark.slow
@pytest.mark.parametrize("batch", [10, 128])
def test_with_one_connection_in_twenty_cut_every_job_of_every_batch_runs_once(
    lossy: Lossy, batch: int, capfd: pytest.CaptureFixture[str]
):
    count, rng = 6_000, random.Random(7)
    lossy.raw.lpush("queue:a", *payloads(count)[::2])
    lossy.raw.lpush("queue:b", *payloads(count)[1::2])
    ran: Counter[bytes] = Counter()
    settled: Counter[str] = Counter()
    scissors = Scissors(lossy, rng)

    with a_bench(lossy.url, ("a", 2), ("b", 1)) as bench:
        fetcher = bench.reliable(batch=batch)
        while ran.total() < count:
            scissors.near("claim")
            try:
                unit = fetcher.take() or must_get(fetcher)
            except RedisUnavailable:
                continue
            how = rng.choices(["acknowledge", *SETTLE], [97, 1, 1, 1])[0]
            scissors.near(how)
            settle(fetcher, unit, how)
            settled[how] += 1
            ran[unit.raw] += how != "give_back"
        lossy.proxy.heal()
        fetcher.flush()

        assert +ran == Counter(payloads(count))
        assert scissors.cuts > count * 0.05
        assert lossy.proxy.connections > 30
        assert (size(lossy, "retry"), size(lossy, "dead")) == (settled["retry"], settled["bury"])
        assert not lossy.raw.exists("queue:a", "queue:b", *bench.holder.privates)
        assert "ownership lost" not in capfd.readouterr().out


def test_what_a_claim_without_a_reply_had_taken_comes_back_whole(lossy: Lossy):
    lossy.raw.lpush("queue:default", *payloads(12))
    with a_bench(lossy.url) as bench:
        bench.clock = FakeClock()
        fetcher = bench.reliable(batch=6)
        lossy.proxy.drop_reply_once("claim")

        with pytest.raises(RedisUnavailable):
            fetcher.retrieve()

        assert take_all(fetcher, must_get(fetcher)) == payloads(12)[:6]
        held = payloads(12)[:6]
        assert bench.store.claim(bench.holder, done=[held], order=(), limit=0).lost == 0


def test_what_is_done_before_a_long_job_at_the_end_of_a_batch_is_acknowledged(
    store_url: str, store: Store, store_raw: Raw
):
    store.push({"default": payloads(3)})
    with a_bench(store_url) as bench:
        fetcher = bench.reliable(batch=3)
        fetcher.acknowledge(must_get(fetcher))
        fetcher.acknowledge(fetcher.take() or must_get(fetcher))
        long = fetcher.take() or must_get(fetcher)

        eventually(lambda: store_raw.lrange(bench.holder.privates[0], 0, -1) == [long.raw])

        assert long.raw == a_payload(2)


def test_while_the_server_is_away_the_keeper_tries_again_once_a_second(lossy: Lossy):
    lossy.raw.lpush("queue:default", *payloads(5))
    with a_bench(lossy.url) as bench:
        fetcher = bench.reliable(batch=5)
        unit = must_get(fetcher)
        lossy.proxy.refuse()
        eventually(lambda: bench.long_jobs)
        lossy.proxy.heal()

        eventually(lambda: waiting(lossy.raw) == payloads(5)[1:])

        assert bench.long_jobs < 20
        fetcher.acknowledge(unit)
        with contextlib.suppress(RedisUnavailable):  # what was connected before is cut
            fetcher.flush()
        fetcher.flush()
        assert not lossy.raw.exists(bench.holder.privates[0])
