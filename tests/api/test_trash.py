"""What was purged within a day, and the way back."""

import itertools
import json

import pytest

from jobd.api import Access, DeadSet, Queue, RetrySet, ScheduledSet, Tally, Trash, set_of
from jobd.errors import RedisRejected
from jobd.keys import Keys
from jobd.store import PURGED_FOR_S, Store
from tests.api.parts import a_job, fill
from tests.support import wire
from tests.support.servers import Raw

pytestmark = pytest.mark.redis


def args_of(raw: Raw, queue: str) -> list[list[object]]:
    """In the order in which they will run."""
    return [json.loads(job)["args"] for job in reversed(raw.lrange(f"queue:{queue}", 0, -1))]


def test_a_purged_queue_is_gone_and_kept_for_a_day(raw: Raw, access: Access):
    for number in range(3):
        wire.push(raw, "Echo", number)
    queue = Queue(access=access)
    assert queue.pause()
    before_s = wire.now_ms() / 1000

    assert queue.purge() == 3
    assert (queue.size, queue.is_known, queue.is_paused) == (0, False, True)
    (purged,) = Trash(access=access).all()
    assert (purged.place, purged.queue, purged.size) == ("queue", "default", 3)
    assert abs(purged.at.timestamp() - before_s) < 60
    assert (purged.until - purged.at).total_seconds() == PURGED_FOR_S == 86_400
    assert raw.keys("jobd:*") != []
    assert all(86_400 < raw.ttl(key) <= 90_000 for key in raw.keys("jobd:*"))


def test_a_queue_is_put_back_as_it_was(raw: Raw, access: Access):
    for number in range(1200):
        wire.push(raw, "Echo", number)
    before = raw.lrange("queue:default", 0, -1)
    Queue(access=access).purge()
    (purged,) = Trash(access=access).all()

    assert Trash(access=access).put_back(purged).done == 1200
    assert raw.lrange("queue:default", 0, -1) == before
    assert (raw.ttl("queue:default"), raw.smembers("queues")) == (-1, {b"default"})
    assert raw.keys("jobd:*") == []
    assert Trash(access=access).put_back(purged) == Tally()


def test_what_is_put_back_runs_before_what_has_come_since(raw: Raw, access: Access):
    for number in range(1200):
        wire.push(raw, "Echo", number)
    Queue(access=access).purge()
    wire.push(raw, "Echo", "late")
    (purged,) = Trash(access=access).all()
    reports: list[Tally] = []

    assert Trash(access=access).put_back(purged, progress=reports.append).done == 1200
    assert args_of(raw, "default") == [*([n] for n in range(1200)), ["late"]]
    assert [tally.done for tally in reports] == [500, 1000, 1200]
    assert raw.keys("jobd:*") == []


@pytest.mark.parametrize("name", ["schedule", "retry", "dead"])
@pytest.mark.parametrize("others", [0, 1])
def test_a_set_is_put_back_with_its_times(raw: Raw, access: Access, name: str, others: int):
    fill(raw, name, 1200)
    jobs = set_of(name, access=access)  # type: ignore[arg-type] # one of the three
    before = raw.zrange(name, 0, -1, withscores=True)

    assert jobs.purge() == 1200
    assert raw.exists(name) == 0
    late = {b"late": 1.5} if others else {}
    if late:
        raw.zadd(name, late)
    (purged,) = Trash(access=access).all()
    assert (purged.place, purged.queue, purged.size) == (name, "", 1200)
    assert Trash(access=access).put_back(purged).done == 1200
    after = raw.zrange(name, 0, -1, withscores=True)
    assert sorted(after) == sorted([*before, *late.items()])
    assert raw.ttl(name) == -1
    assert raw.keys("jobd:*") == []


def test_a_way_back_that_is_ended_in_its_midst_is_gone_on_with(raw: Raw, access: Access):
    for number in range(1200):
        wire.push(raw, "Echo", number)
    Queue(access=access).purge()
    wire.push(raw, "Echo", "late")
    (purged,) = Trash(access=access).all()

    def end(tally: Tally) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Trash(access=access).put_back(purged, progress=end)
    (rest,) = Trash(access=access).all()
    assert (rest.id, rest.size, raw.llen("queue:default")) == (purged.id, 700, 501)
    assert Trash(access=access).put_back(rest).done == 700
    assert args_of(raw, "default") == [*([n] for n in range(1200)), ["late"]]


def test_the_newest_purge_comes_first_and_each_is_told_apart(raw: Raw, access: Access):
    for number, name in enumerate(["one", "two", "two"]):
        wire.push(raw, "Echo", number, queue=name)
        Queue(name, access=access).purge()
    trash = Trash(access=access)
    raw.zadd("jobd:trash", {f"{each.id}:queue:{each.queue}": 5e9 for each in trash.all()[-1:]})

    found = trash.all()
    assert len({each.id for each in found}) == 3
    assert found[0].at >= found[1].at >= found[2].at
    assert trash.find(found[1].id) == found[1]
    trash.delete(found[1])
    assert trash.all() == [found[0], found[2]]
    assert raw.exists(f"jobd:trash:{found[1].id}") == 0


@pytest.mark.parametrize("name", [b"", b"\xff\xfe", b"a:b:c", "ä ö".encode()])
def test_a_queue_of_any_name_is_put_back(raw: Raw, access: Access, name: bytes):
    raw.sadd("queues", name)
    raw.lpush(b"queue:" + name, a_job())
    (queue,) = Queue.all(access=access)
    queue.purge()
    (purged,) = Trash(access=access).all()

    assert purged.queue == queue.name
    assert Trash(access=access).put_back(purged).done == 1
    assert (raw.llen(b"queue:" + name), raw.smembers("queues")) == (1, {name})


def test_purging_nothing_keeps_nothing(raw: Raw, access: Access):
    raw.sadd("queues", "default")

    assert Queue(access=access).purge() == 0
    assert [kind(access=access).purge() for kind in (ScheduledSet, RetrySet, DeadSet)] == [0] * 3
    assert (raw.smembers("queues"), Trash(access=access).all()) == (set(), [])


def test_a_full_server_can_be_purged_and_put_back(raw: Raw, access: Access):
    wire.push(raw, "Echo")
    raw.config_set("maxmemory", "1")
    try:
        assert Queue(access=access).purge() == 1
        (purged,) = Trash(access=access).all()
        assert Trash(access=access).put_back(purged).done == 1
    finally:
        raw.config_set("maxmemory", "0")


@pytest.mark.parametrize("key", ["queue:default", "jobd:trash"])
def test_a_purge_that_a_key_of_another_type_refuses_moves_nothing(
    raw: Raw, access: Access, key: str
):
    wire.push(raw, "Echo")
    raw.delete(key)
    raw.set(key, "something else")
    before = {each: raw.dump(each) for each in raw.keys("*")}

    with pytest.raises(RedisRejected, match="WRONGTYPE"):
        Queue(access=access).purge()
    assert {each: raw.dump(each) for each in raw.keys("*")} == before


def test_a_poller_forgets_what_was_purged_a_day_ago(raw: Raw, access: Access):
    for name in ("old", "new"):
        wire.push(raw, "Echo", queue=name)
        Queue(name, access=access).purge()
    new, old = sorted(Trash(access=access).all(), key=lambda purged: purged.queue)
    raw.zadd("jobd:trash", {f"{old.id}:queue:old": wire.now_ms() / 1000 - PURGED_FOR_S - 1})
    store = Store(access.redis, Keys())

    emptied = [store.empty_trash(wire.now_ms() / 1000) for _ in range(2)]

    assert emptied == [1, 0]
    assert [each.id for each in Trash(access=access).all()] == [new.id]
    left = itertools.chain.from_iterable(raw.scan(match="jobd:*")[1:])
    assert sorted(left) == [b"jobd:trash", b"jobd:trash:" + new.id.encode()]
