"""Requests and replies that are lost: nothing is lost with them, nothing happens twice."""

import contextlib
import random
from collections import Counter
from collections.abc import Callable

import pytest

from jobd.connection import Connection
from jobd.errors import RedisUnavailable
from jobd.pool import Pool
from jobd.store import Promotion, Store
from jobd.worker.fetch import Fetcher, Grave, UnitOfWork
from tests.conformance.parts import (
    IDENTITY,
    KEYS,
    Bench,
    Lossy,
    a_bench,
    a_payload,
    blocked,
    payloads,
)
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

GRAVE = Grave(b"grave", 9.0, 10, 10.0)

SETTLE: dict[str, Callable[[Fetcher, UnitOfWork], bool]] = {
    "retry": lambda fetcher, unit: fetcher.retry(unit, b"again", 5.0),
    "bury": lambda fetcher, unit: fetcher.bury(unit, GRAVE),
    "give_back": lambda fetcher, unit: fetcher.give_back(unit),
}
WHERE = {"retry": "retry", "bury": "dead", "give_back": "queue:default"}

LOSE = pytest.mark.parametrize("lose", ["drop_request_once", "drop_reply_once"])


def lose_next(lossy: Lossy, lose: str, command: str) -> None:
    getattr(lossy.proxy, lose)(command)


def size(lossy: Lossy, key: str) -> int:
    kind = lossy.raw.type(key)
    return {b"list": lossy.raw.llen, b"zset": lossy.raw.zcard}.get(kind, lambda _: 0)(key)


def a_late_claim(lossy: Lossy, bench: Bench) -> None:
    """Do what a lost claim does that arrives at last, from a network that held it back."""
    with lossy.raw.pipeline(transaction=True) as late:
        late.lpush("queue:default", b"one")
        late.lmove("queue:default", bench.holder.privates[0], "RIGHT", "LEFT")
        late.execute()


def must_get(fetcher: Fetcher) -> UnitOfWork:
    unit = fetcher.retrieve()
    assert unit is not None
    return unit


# Push


@pytest.mark.parametrize("kind", [Connection, Pool])
@pytest.mark.parametrize(("lose", "arrived"), [("drop_request_once", 0), ("drop_reply_once", 1)])
def test_D6_a_push_is_never_sent_again(lossy: Lossy, kind: type, lose: str, arrived: int):
    with contextlib.closing(kind(lossy.settings)) as client:
        store = Store(client, KEYS)
        store.push({"low": [b"before"]})
        lose_next(lossy, lose, "LPUSH")

        with pytest.raises(RedisUnavailable):
            store.push({"default": [b"one"]})

        assert lossy.proxy.seen["LPUSH"] == 2
        assert lossy.raw.llen("queue:default") == arrived
        store.push({"default": [b"two"]})
        assert lossy.raw.llen("queue:default") == arrived + 1


@LOSE
def test_a_scheduled_push_is_never_sent_again(lossy: Lossy, lose: str):
    with contextlib.closing(Pool(lossy.settings)) as pool:
        lose_next(lossy, lose, "ZADD")

        with pytest.raises(RedisUnavailable):
            Store(pool, KEYS).schedule([(1.0, b"one")])

        assert lossy.proxy.seen["ZADD"] == 1


# Claim


@LOSE
def test_a_claim_sent_again_brings_the_same_job(lossy: Lossy, lose: str):
    lossy.raw.lpush("queue:default", *payloads(3))
    with a_bench(lossy.url) as bench:
        fetcher = bench.reliable()
        lose_next(lossy, lose, "claim")

        with pytest.raises(RedisUnavailable):
            fetcher.retrieve()

        assert must_get(fetcher).raw == a_payload(0)
        assert lossy.raw.lrange(bench.holder.privates[0], 0, -1) == [a_payload(0)]
        assert lossy.raw.llen("queue:default") == 2


@LOSE
def test_an_acknowledgement_sent_again_is_not_ownership_lost(
    lossy: Lossy, lose: str, capfd: pytest.CaptureFixture[str]
):
    lossy.raw.lpush("queue:default", *payloads(3))
    with a_bench(lossy.url) as bench:
        fetcher = bench.reliable()
        fetcher.acknowledge(must_get(fetcher))
        lose_next(lossy, lose, "claim")

        with pytest.raises(RedisUnavailable):
            fetcher.retrieve()

        assert bench.acknowledgements == 1
        assert must_get(fetcher).raw == a_payload(1)
        assert bench.acknowledgements == 2
        assert lossy.raw.lrange(bench.holder.privates[0], 0, -1) == [a_payload(1)]
        assert "ownership lost" not in capfd.readouterr().out


@LOSE
@pytest.mark.parametrize("command", ["BLMOVE", "SISMEMBER"])
def test_a_job_whose_wait_was_lost_is_brought_by_the_next_claim(
    lossy: Lossy, lose: str, command: str
):
    with a_bench(lossy.url) as bench:
        fetcher = bench.reliable()
        lose_next(lossy, lose, command)
        wait = bench.aside(fetcher.retrieve)
        if lose == "drop_request_once":
            eventually(wait.done)
        else:
            eventually(lambda: blocked(lossy.raw) == 1)
        lossy.raw.lpush("queue:default", b"one")
        with pytest.raises(RedisUnavailable):
            wait.result(timeout=PATIENCE_S)

        assert must_get(fetcher).raw == b"one"
        assert not lossy.raw.exists("queue:default")
        assert bench.store.private_lists() == list(bench.holder.privates)
        fetcher.close()


@LOSE
def test_a_job_is_handed_over_once(lossy: Lossy, lose: str):
    other = KEYS.private(IDENTITY, "1.7.1", "default")
    with a_bench(lossy.url) as bench:
        fetcher = bench.reliable()
        bench.store.push({"default": payloads(2)})
        unit = must_get(fetcher)
        lose_next(lossy, lose, "hand_over")

        with pytest.raises(RedisUnavailable):
            fetcher.hand_over(unit, other)
        assert fetcher.hand_over(unit, other)

        following = must_get(fetcher)
        assert [unit.raw, following.raw] == payloads(2)
        fetcher.acknowledge(following)
        fetcher.flush()
        assert lossy.raw.lrange(other, 0, -1) == [unit.raw]
        assert not lossy.raw.exists("queue:default", *bench.holder.privates)
        fetcher.close()


def test_losers_that_could_not_be_given_back_run_next(lossy: Lossy):
    with a_bench(lossy.url, "a", "b") as bench:
        fetcher = bench.reliable()
        wait = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(lossy.raw) == 2)
        lossy.proxy.drop_reply_once("give_back")
        with lossy.raw.pipeline(transaction=True) as together:
            together.lpush("queue:a", b"1").lpush("queue:b", b"2").execute()
        ran: list[bytes] = []
        with contextlib.suppress(RedisUnavailable):  # if both came, the second's way back is cut
            unit = wait.result(timeout=PATIENCE_S)
            ran.append(unit.raw)
            fetcher.acknowledge(unit)
        lossy.proxy.heal()

        while len(ran) < 2:
            unit = must_get(fetcher)
            ran.append(unit.raw)
            fetcher.acknowledge(unit)
        fetcher.flush()

        assert sorted(ran) == [b"1", b"2"]
        assert not lossy.raw.exists("queue:a", "queue:b", *bench.holder.privates)
        fetcher.close()


def test_a_request_that_arrives_after_its_successors_is_healed(lossy: Lossy):
    with a_bench(lossy.url) as bench:
        fetcher = bench.reliable()
        lossy.proxy.drop_request_once("claim")
        with pytest.raises(RedisUnavailable):
            fetcher.retrieve()
        wait = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(lossy.raw) == 1)

        a_late_claim(lossy, bench)

        assert wait.result(timeout=PATIENCE_S) is None
        assert must_get(fetcher).raw == b"one"
        fetcher.close()


def test_a_quiet_worker_gives_back_what_a_late_request_brought(lossy: Lossy):
    with a_bench(lossy.url) as bench:
        fetcher = bench.reliable()
        lossy.proxy.drop_request_once("claim")
        with pytest.raises(RedisUnavailable):
            fetcher.retrieve()
        fetcher.flush()
        a_late_claim(lossy, bench)

        fetcher.flush()

        assert lossy.raw.lrange("queue:default", 0, -1) == [b"one"]


# Settle


@LOSE
@pytest.mark.parametrize("settle", SETTLE)
def test_a_settlement_sent_again_is_done_once_and_not_ownership_lost(
    lossy: Lossy, lose: str, settle: str
):
    lossy.raw.lpush("queue:default", b"one")
    with a_bench(lossy.url) as bench:
        fetcher = bench.reliable()
        unit = must_get(fetcher)
        lose_next(lossy, lose, settle)

        with pytest.raises(RedisUnavailable):
            SETTLE[settle](fetcher, unit)

        assert SETTLE[settle](fetcher, unit)
        assert size(lossy, WHERE[settle]) == 1
        assert not lossy.raw.exists(*bench.holder.privates)


def test_certainty_returns_with_the_next_answer(lossy: Lossy):
    lossy.raw.lpush("queue:default", *payloads(2))
    with a_bench(lossy.url) as bench:
        fetcher = bench.reliable()
        unit = must_get(fetcher)
        lossy.proxy.drop_reply_once("retry")
        with pytest.raises(RedisUnavailable):
            fetcher.retry(unit, b"again", 5.0)
        fetcher.retry(unit, b"again", 5.0)
        second = must_get(fetcher)
        lossy.raw.delete(*bench.holder.privates)  # somebody recovered it

        assert not fetcher.retry(second, b"again", 5.0)


@LOSE
def test_an_acknowledgement_by_a_command_of_its_own_may_be_repeated(lossy: Lossy, lose: str):
    private = "jobd:private:h:1:x:1.0.1:default"
    lossy.raw.rpush(private, b"one", b"two")
    with contextlib.closing(Connection(lossy.settings)) as connection:
        store = Store(connection, KEYS)
        lose_next(lossy, lose, "LREM")

        with pytest.raises(RedisUnavailable):
            store.acknowledge(private, b"one")
        store.acknowledge(private, b"one")

        assert lossy.raw.lrange(private, 0, -1) == [b"two"]


@LOSE
@pytest.mark.parametrize("command", ["promote", "due"])
def test_a_promotion_sent_again_moves_each_job_once(lossy: Lossy, lose: str, command: str):
    lossy.raw.zadd("schedule", {raw: number for number, raw in enumerate(payloads(5))})
    with contextlib.closing(Connection(lossy.settings)) as connection:
        store = Store(connection, KEYS)
        lose_next(lossy, lose, command)

        def promote() -> None:
            raws = store.due(KEYS.schedule, limit=9).raws
            store.promote(KEYS.schedule, [Promotion(raw, "default", raw) for raw in raws])

        with pytest.raises(RedisUnavailable):
            promote()
        promote()

        assert lossy.raw.lrange("queue:default", 0, -1) == payloads(5)[::-1]
        assert not lossy.raw.exists("schedule")


# Everything at once


def test_with_one_connection_in_twenty_cut_every_job_runs_once(
    lossy: Lossy, capfd: pytest.CaptureFixture[str]
):
    count, rng = 2000, random.Random(7)
    lossy.raw.lpush("queue:a", *payloads(count)[::2])
    lossy.raw.lpush("queue:b", *payloads(count)[1::2])
    ran: Counter[bytes] = Counter()
    settled: Counter[str] = Counter()

    with a_bench(lossy.url, ("a", 2), ("b", 1)) as bench:
        fetcher = bench.reliable()
        while ran.total() < count:
            command = rng.choice(["claim", "claim", "claim", *SETTLE])
            if rng.random() < 0.05:
                lose_next(lossy, rng.choice(["drop_request_once", "drop_reply_once"]), command)
            try:
                unit = must_get(fetcher)
            except RedisUnavailable:
                continue
            how = rng.choice(["acknowledge"] * 7 + list(SETTLE))
            settled[how] += 1
            if how == "acknowledge":
                fetcher.acknowledge(unit)
            elif how == "retry":
                insist(lambda unit=unit: fetcher.retry(unit, unit.raw, 5.0))
            elif how == "bury":
                insist(lambda unit=unit: fetcher.bury(unit, Grave(unit.raw, 9.0, count, 9.0)))
            else:
                insist(lambda unit=unit: fetcher.give_back(unit))
                continue
            ran[unit.raw] += 1
        lossy.proxy.heal()
        fetcher.flush()

        assert ran == Counter(payloads(count))
        assert lossy.proxy.connections > count * 0.03
        assert size(lossy, "retry") == settled["retry"]
        assert size(lossy, "dead") == settled["bury"]
        assert not lossy.raw.exists("queue:a", "queue:b", *bench.holder.privates)
        assert "ownership lost" not in capfd.readouterr().out


def insist(settle: Callable[[], bool]) -> None:
    """As a worker does: again, until there is an answer."""
    while True:
        with contextlib.suppress(RedisUnavailable):
            assert settle()
            return


def test_jobs_that_come_one_by_one_while_connections_are_cut_run_once(lossy: Lossy):
    count, rng = 100, random.Random(7)
    with contextlib.ExitStack() as ends:
        benches = [
            ends.enter_context(a_bench(lossy.url, "a", "b", processor=f"{slot}.0.1"))
            for slot in (1, 2)
        ]
        workers = [bench.aside(work, bench, lossy.raw) for bench in benches]
        for number in range(count):
            lossy.raw.lpush(rng.choice(["queue:a", "queue:b"]), a_payload(number))
            if rng.random() < 0.08:
                rng.choice([lossy.proxy.cut, lossy.proxy.reset])()
            eventually(lambda: lossy.raw.llen("ran") > number)  # noqa: B023 - called now
        for bench in benches:
            bench.bell.ring()
        for worker in workers:
            worker.result(timeout=PATIENCE_S)

        assert Counter(lossy.raw.lrange("ran", 0, -1)) == Counter(payloads(count))
        privates = [name for bench in benches for name in bench.holder.privates]
        assert not lossy.raw.exists("queue:a", "queue:b", *privates)


def work(bench: Bench, raw: Raw) -> None:
    """Run jobs until the bell rings, and note them past the proxy's reach."""
    fetcher = bench.reliable()
    while not bench.bell.has_rung:
        with contextlib.suppress(RedisUnavailable):
            unit = fetcher.retrieve()
            if unit is not None:
                raw.rpush("ran", unit.raw)
                fetcher.acknowledge(unit)
    fetcher.flush()
    fetcher.close()
