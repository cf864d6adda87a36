"""Due jobs go to their queues: not early, not twice, and whatever is in their payload."""

import json
import random
from typing import Any

import pytest

from jobd import faults
from jobd.payload import Wire
from jobd.poller.promotion import Promoter
from tests.poller.conftest import Station
from tests.support.wire import a_payload, encode, queued


def promoter(station: Station, *, wire: Wire = 8) -> Promoter:
    return Promoter(station.store, wire=wire, rng=random.Random(1))


def server_s(station: Station) -> float:
    seconds, micros = station.raw.time()
    return float(seconds + micros / 1e6)


def put(
    station: Station, in_s: float = -1.0, zset: str = "schedule", **fields: Any
) -> dict[str, Any]:
    payload = a_payload("Echo", **fields)
    station.raw.zadd(zset, {encode(payload): server_s(station) + in_s})
    return payload


@pytest.mark.parametrize("zset", ["schedule", "retry"])
def test_a_due_job_goes_to_its_queue_which_is_registered(station: Station, zset: str) -> None:
    payload = put(station, zset=zset, queue="low", cattr={"user": 2**60}, tags=[])
    promoter(station).step(1)
    (job,) = queued(station.raw, "low")
    enqueued_at = job.pop("enqueued_at")
    assert job == payload
    assert abs(enqueued_at / 1000 - server_s(station)) < 10
    assert station.raw.smembers("queues") == {b"low"}
    assert not station.raw.exists(zset)


def test_a_queue_that_is_no_list_holds_up_only_its_own_jobs(
    station: Station, capfd: pytest.CaptureFixture[str]
) -> None:
    put(station, queue="broken")
    put(station, queue="low")
    station.raw.set("queue:broken", "not a list")
    one = promoter(station)
    assert one.step(1) > 0, "another step at once would only be refused again"
    one.step(1)
    assert (len(queued(station.raw, "low")), station.raw.zcard("schedule")) == (1, 1)
    assert capfd.readouterr().out.count("WRONGTYPE") == 1
    station.raw.delete("queue:broken")
    one.step(1)
    assert (len(queued(station.raw, "broken")), station.raw.zcard("schedule")) == (1, 0)


def test_wire_7_writes_float_seconds(station: Station) -> None:
    put(station)
    promoter(station, wire=7).step(1)
    (job,) = queued(station.raw)
    assert type(job["enqueued_at"]) is float
    assert job["enqueued_at"] < 10_000_000_000


def test_nothing_is_early_whatever_the_clock_of_this_host_says(station: Station) -> None:
    assert station.clock.now_ms() / 1000 > server_s(station)
    put(station, in_s=60)
    promoter(station).step(1)
    assert (queued(station.raw), station.raw.zcard("schedule")) == ([], 1)


def test_it_sleeps_until_the_earliest_but_not_longer_than_a_second(station: Station) -> None:
    assert 0.5 <= promoter(station).step(1) <= 1
    put(station, in_s=3_600, zset="retry")
    assert 0.5 <= promoter(station).step(1) <= 1
    put(station, in_s=0.4)
    assert promoter(station).step(1) <= 0.4


def test_many_instances_share_the_work(station: Station) -> None:
    assert 2.5 <= promoter(station).step(50) <= 5


def test_those_that_share_promote_everything_whatever_slice_they_draw(station: Station) -> None:
    for n in range(250):
        put(station, n=n)
    promoter(station).step(30)
    assert station.raw.llen("queue:default") == 250


def test_more_than_a_step_can_take_is_gone_on_with_at_once(station: Station) -> None:
    due = server_s(station) - 1
    jobs = {encode(a_payload("Echo", n)): due for n in range(2_100)}
    station.raw.zadd("schedule", jobs)
    one = promoter(station)
    assert one.step(1) == 0
    assert station.raw.llen("queue:default") == 2_000
    assert one.step(1) > 0
    assert station.raw.llen("queue:default") == 2_100


def test_a_job_that_another_poller_moved_meanwhile_is_not_moved_again(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(station)
    other = promoter(station)

    def be_second(name: str) -> None:
        monkeypatch.undo()
        other.step(1)

    monkeypatch.setattr(faults, "point", be_second)
    promoter(station).step(1)
    assert station.raw.llen("queue:default") == 1


@pytest.mark.parametrize(
    "text",
    [b"{", b"[]", b"\xff", b'{"class":"Echo"}', b'{"class":"Echo","args":[],"queue":7}',
     b'{"class":"Echo","args":[],"queue":""}', b'{"class":"Echo","args":[],"queue":null}'],
)  # fmt: skip
def test_what_is_no_job_is_buried_as_it_is_and_keeps_nobody_waiting(
    station: Station, text: bytes
) -> None:
    station.raw.zadd("schedule", {text: 1})
    put(station)
    promoter(station).step(1)
    assert station.raw.zrange("dead", 0, -1) == [text]
    assert (station.raw.zcard("schedule"), station.raw.llen("queue:default")) == (0, 1)


def test_what_other_clients_left_out_is_filled_in(station: Station) -> None:
    station.raw.zadd("schedule", {b'{"class":"Echo","args":[]}': 1})
    promoter(station).step(1)
    (job,) = queued(station.raw)
    assert (job["queue"], job["retry"]) == ("default", True)


def test_jobs_of_one_slice_run_in_the_order_of_their_times(station: Station) -> None:
    for n in (2, 1, 3):
        put(station, in_s=-10 + n, args=[n])
    promoter(station).step(1)
    assert [json.loads(raw)["args"] for raw in station.queue()] == [[1], [2], [3]]
