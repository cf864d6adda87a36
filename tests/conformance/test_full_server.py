"""A server at its maxmemory refuses what is new and still lets everything out."""

from collections.abc import Callable

import pytest

from jobd.config import RedisSettings
from jobd.errors import RedisFull
from jobd.fleet import Fleet
from jobd.jobs.iterating import Reached
from jobd.metrics import Counts
from jobd.pool import Pool
from jobd.pulse import Counted, Pulse
from jobd.store import Held, PastError, Promotion, Store
from tests.conformance.parts import (
    IDENTITY,
    KEYS,
    a_bench,
    a_holder,
    a_payload,
    blocked,
    calls,
    calls_since,
    claim,
    payloads,
    progress,
    raws_of,
)
from tests.conftest import again
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.servers import Raw

pytestmark = [
    pytest.mark.redis,
    pytest.mark.parametrize("store_url", ["valkey-tcp", again("redis-tcp")], indirect=True),
]

PULSE = Pulse(
    work={"1.0.1": b"{}"},
    process={"info": "{}"},
    instance={"state": "running"},
    counted=Counted(processed=1, failed=1, tallies={"Echo": Counts(executions=1, failures=1)}),
    number="1",
    at_s=1_795_293_395.0,
)
HOLDER = a_holder()
PRIVATE = HOLDER.privates[0]

# What must work, beginning with one job held and two queued; and what each answers.
DRAINS: dict[str, tuple[Callable[[Store], object], object]] = {
    "acknowledge": (lambda store: store.acknowledge(PRIVATE, a_payload(0)), True),
    "retry": (lambda store: store.retry(PRIVATE, a_payload(0), b"again", 1.0), True),
    "retry, with its last error": (
        lambda store: store.retry(
            PRIVATE, a_payload(0), b"again", 1.0, PastError("jid", b"error", 60)
        ),
        True,
    ),
    "retry, held nowhere": (lambda store: store.retry(None, b"", b"again", 1.0), False),
    "put off": (lambda store: store.put_off(PRIVATE, a_payload(0), 1.0), True),
    "begin to iterate": (lambda store: progress(store).begin({"jid": "j"}).run, 1),
    "save how far it is": (
        lambda store: progress(store).save({"jid": "j"}, Reached(1, 5, 0.5, 5)),
        "saved",
    ),
    "bury": (
        lambda store: store.bury(
            PRIVATE, a_payload(0), b"grave", now_s=9.0, max_jobs=9, timeout_s=9.0
        ),
        True,
    ),
    "bury, held nowhere": (
        lambda store: store.bury(None, b"", b"grave", now_s=9.0, max_jobs=9, timeout_s=9.0),
        False,
    ),
    "give back": (
        lambda store: store.give_back(PRIVATE, "default", [(a_payload(0), a_payload(0))]),
        1,
    ),
    "hand over": (lambda store: store.hand_over(PRIVATE, "other", a_payload(0)), True),
    "requeue": (lambda store: store.requeue("default", b"one"), None),
    "recover": (
        lambda store: store.give_back(PRIVATE, "default", [(a_payload(0), b"one, recovered")]),
        1,
    ),
    "confirm": (lambda store: store.confirm(HOLDER, Held(0, a_payload(0))), True),
    "forget": (lambda store: store.forget("jobd:private:h:1:x:1.0.1:q"), False),
    "beat": (lambda store: fleet(store).beat(IDENTITY, PULSE).known, False),
    "renew": (lambda store: fleet(store).renew(IDENTITY), None),
    "leave": (lambda store: fleet(store).leave(IDENTITY), None),
    "sweep": (lambda store: fleet(store).sweep(), 0),
    "empty the trash": (lambda store: store.empty_trash(1e9), 0),
    "bury what is due": (lambda store: store.bury_due(KEYS.retry, b"due", 1.0), True),
    "promote": (
        lambda store: store.promote(KEYS.retry, [Promotion(b"due", "default", b"due")]),
        1,
    ),
}


def fleet(store: Store) -> Fleet:
    return Fleet(store.redis, KEYS)


def fill(raw: Raw) -> None:
    raw.config_set("maxmemory", "1")


def refusals(raw: Raw) -> int:
    return raw.info("commandstats")["cmdstat_blmove"]["rejected_calls"]


def test_a_push_is_refused_and_writes_nothing(
    settings: RedisSettings, store: Store, store_raw: Raw
):
    fill(store_raw)

    for push in (store.push, Store(Pool(settings), KEYS).push):
        with pytest.raises(RedisFull, match="maxmemory"):
            push({"default": [b"one"], "low": [b"two"]})
    with pytest.raises(RedisFull):
        store.schedule([(1.0, b"later")])

    assert store_raw.keys() == []


@pytest.mark.parametrize("limit", [1, 2])
def test_claims_go_on_until_every_queue_is_empty(store: Store, store_raw: Raw, limit: int):
    store.push({"default": payloads(3)})
    fill(store_raw)

    ran: list[bytes] = []
    done = claim(store, HOLDER, limit=limit).jobs
    while done:
        ran += [raw for _, raw in done]
        done = claim(store, HOLDER, *done).jobs

    assert ran == payloads(3)
    assert not store_raw.exists(PRIVATE, "queue:default")


@pytest.mark.parametrize("name", DRAINS)
def test_what_drains_works(store: Store, store_raw: Raw, name: str):
    drain, answer = DRAINS[name]
    store.push({"default": payloads(3)})
    store_raw.zadd("retry", {b"due": 1})
    assert raws_of(claim(store, HOLDER)) == [a_payload(0)]
    fill(store_raw)
    store_raw.script_flush()  # also when the script is not there yet

    assert drain(store) == answer


def test_a_worker_claims_once_a_second_where_it_cannot_block(store_url: str, store_raw: Raw):
    with a_bench(store_url, "high", "low", "lowest") as bench:
        fetcher = bench.reliable()
        fill(store_raw)
        assert fetcher.retrieve() is None
        before, refused = calls(store_raw), refusals(store_raw)

        assert fetcher.retrieve() is None

        assert calls_since(store_raw, before)["evalsha"] == 1
        assert refusals(store_raw) - refused == 3
        fetcher.close()


def test_a_full_servers_jobs_are_run(store_url: str, store: Store, store_raw: Raw):
    with a_bench(store_url, "high", "low") as bench:
        fetcher = bench.reliable()
        fill(store_raw)
        assert fetcher.retrieve() is None

        store_raw.config_set("maxmemory", "0")
        store.push({"low": [b"one"]})
        fill(store_raw)
        unit = fetcher.retrieve()

        assert unit is not None
        assert (unit.queue, unit.raw) == ("low", b"one")
        fetcher.acknowledge(unit)
        fetcher.flush()
        assert not store_raw.exists(bench.holder.privates[1])
        fetcher.close()


def test_a_wait_that_began_before_the_server_was_full_brings_its_job(
    store_url: str, store: Store, store_raw: Raw
):
    with a_bench(store_url) as bench:
        fetcher = bench.reliable()
        unit = bench.aside(fetcher.retrieve)
        eventually(lambda: blocked(store_raw) == 1)

        store.push({"default": [b"one"]})
        fill(store_raw)

        assert unit.result(timeout=PATIENCE_S).raw == b"one"
        fetcher.close()
