"""The server, the counters and the days; the audit log; the states of iterable jobs."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from jobd.api import Access, Audit, Stats, iteration_states
from tests.api.parts import ODD, a_job, fill
from tests.support import wire
from tests.support.servers import Raw, Server

pytestmark = pytest.mark.redis


def test_totals_are_what_redis_says(raw: Raw, access: Access):
    raw.mset({"stat:processed": 1234, "stat:failed": 5})
    fill(raw, "schedule", 3)
    fill(raw, "retry", 2)
    fill(raw, "dead", 1)
    wire.push(raw, "Echo")
    wire.push(raw, "Echo", queue="low")
    raw.sadd("processes", "a", "b", "gone")
    raw.hset("a", "busy", 2)
    raw.hset("b", "busy", 3)

    totals = Stats(access=access).totals()

    assert (totals.processed, totals.failed, totals.busy) == (1234, 5, 5)
    assert (totals.scheduled, totals.retries, totals.dead) == (3, 2, 1)
    assert (totals.enqueued, totals.processes) == (2, 2)


def test_an_empty_redis_has_nothing(access: Access):
    stats = Stats(access=access)

    assert stats.totals().enqueued == stats.totals().processed == 0
    assert stats.queues() == []


def test_queues_are_told_with_latency_and_pause(raw: Raw, access: Access):
    seconds = wire.now_ms() / 1000
    raw.sadd("queues", "float", "int", "bad", "empty", b"\xff")
    raw.lpush("queue:float", a_job(enqueued_at=seconds - 100))
    raw.lpush("queue:int", a_job(enqueued_at=wire.now_ms() - 100_000))
    raw.lpush("queue:bad", *ODD.values())
    raw.sadd("paused", "int")

    found = {queue.name: queue for queue in Stats(access=access).queues()}

    assert 100 <= found["float"].latency_s < 160
    assert abs(found["float"].latency_s - found["int"].latency_s) < 1
    assert (found["bad"].size, found["bad"].latency_s) == (len(ODD), 0.0)
    assert [name for name, queue in found.items() if queue.is_paused] == ["int"]
    assert found["empty"].size == found["\udcff"].size == 0


def test_the_history_has_a_day_for_each_day(raw: Raw, access: Access):
    raw.mset({"stat:processed:2026-11-20": 7, "stat:failed:2026-11-20": 2})

    days = Stats(access=access).history(3, until=date(2026, 11, 21))

    assert [(day.date.day, day.processed, day.failed) for day in days] == [
        (19, 0, 0),
        (20, 7, 2),
        (21, 0, 0),
    ]


def test_the_history_ends_today_by_the_servers_clock(raw: Raw, access: Access):
    before = datetime.fromtimestamp(raw.time()[0], UTC).date()

    days = Stats(access=access).history(1825)

    after = datetime.fromtimestamp(raw.time()[0], UTC).date()
    assert len(days) == 1825
    assert before <= days[-1].date <= after
    assert days[0].date == days[-1].date - timedelta(days=1824)


@pytest.mark.parametrize("days", [0, -1, 1826])
def test_more_history_than_is_kept_is_refused(access: Access, days: int):
    with pytest.raises(ValueError, match="1 to 1,825"):
        Stats(access=access).history(days)


def test_counters_are_reset_as_asked(raw: Raw, access: Access):
    stats = Stats(access=access)
    raw.mset({"stat:processed": 7, "stat:failed": 2, "stat:failed:2026-11-20": 2})

    stats.reset("failed")
    assert (raw.get("stat:processed"), raw.get("stat:failed")) == (b"7", b"0")
    stats.reset()
    assert stats.totals().processed == 0
    assert raw.get("stat:failed:2026-11-20") == b"2"
    with pytest.raises(ValueError, match='no counter "procesed"'):
        stats.reset("procesed")


def test_the_health_of_the_server(raw: Raw, access: Access, server: Server):
    health = Stats(access=access).health()

    assert (health.kind, health.policy) == (server.kind, "noeviction")
    assert health.version == Stats(access=access).server().version
    assert health.rtt_us > 0
    assert health.used_memory > 0
    assert health.connected_clients >= 1
    assert not health.may_lose_jobs
    assert health.is_persisting
    assert not health.is_aof
    raw.config_set("maxmemory", "64mb")
    raw.config_set("maxmemory-policy", "allkeys-lru")
    health = Stats(access=access).health()
    assert (health.max_memory, health.may_lose_jobs) == (64 * 1024 * 1024, True)


def test_acts_are_recorded_with_the_newest_first(raw: Raw, access: Access):
    audit = Audit(access=access)

    audit.record("ann", "retry", target="retry", count=12, detail={"class": "Echo"})
    audit.record("bob", "clear", target="é" * 3000)

    newest, oldest = audit.entries()
    assert (oldest.who, oldest.what, oldest.target, oldest.count) == ("ann", "retry", "retry", 12)
    assert oldest.detail == {"class": "Echo"}
    assert (newest.who, newest.count, len(newest.target)) == ("bob", 1, 1000)
    assert newest.at is not None
    assert abs(newest.at.timestamp() - raw.time()[0]) < 60
    assert json.dumps(newest.as_dict())
    assert raw.type("jobd:audit") == b"list"


def test_the_audit_log_keeps_its_limit_and_has_pages(access: Access):
    audit = Audit(access=access, limit=30)
    for number in range(50):
        audit.record("ann", "delete", count=number)

    assert audit.size == 30
    assert [entry.count for entry in audit.entries(2, 10)] == list(range(39, 29, -1))
    assert audit.entries(4, 10) == []


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_broken_entry_of_the_audit_log_is_empty(raw: Raw, access: Access, odd: bytes):
    raw.lpush("jobd:audit", odd)

    (entry,) = Audit(access=access).entries()

    assert (entry.who, entry.at) == ("", None)


def test_states_of_iterable_jobs_are_read_at_once(raw: Raw, access: Access):
    raw.hset("it-a", mapping={"ex": 2, "c": "[1,2]", "rt": 1.5, "cancelled": 1_795_000_000})
    raw.hset("it-b", mapping={"cancelled": 1_795_000_000})
    raw.hset("it-c", mapping={"ex": "x", "c": "{bad", "rt": b"\xff", "cancelled": "never"})

    states = iteration_states(["a", "b", "c", "d", "a", ""], access=access)

    assert list(states) == ["a", "b", "c"]
    assert (states["a"].executions, states["a"].cursor, states["a"].runtime_s) == (2, [1, 2], 1.5)
    assert states["a"].cancelled_at == datetime.fromtimestamp(1_795_000_000, UTC)
    assert (states["b"].cursor, states["b"].executions) == (None, 0)
    assert (states["c"].cursor, states["c"].executions, states["c"].cancelled_at) == (None, 0, None)
    assert iteration_states([], access=access) == {}
    assert json.dumps(states["a"].as_dict())


def test_of_a_job_on_jobd_the_items_are_told_too(raw: Raw, access: Access):
    raw.hset("it-a", mapping={"ex": 2, "c": "7", "rt": "1.5", "n": 7})
    raw.hset("it-b", mapping={"ex": 2, "c": "7", "rt": "1.5", "n": 7, "done": 1})
    states = iteration_states(["a", "b"], access=access)
    assert [(state.items, state.is_done) for state in states.values()] == [(7, False), (7, True)]
