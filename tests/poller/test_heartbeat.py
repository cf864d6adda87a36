"""What an instance says of itself, as Sidekiq's web interface and API read it."""

import json
import os
from typing import Any

import pytest

from jobd._version import __version__
from jobd.errors import RedisRejected, RedisUnavailable
from jobd.poller.proof import proof_of_this_host, start_ticks
from jobd.scoreboard import InstanceState, State
from jobd.slot_state import Limit
from jobd.tallies import row_of, wait_row
from tests.poller.conftest import IDENTITY, Station
from tests.support.proxy import Proxy
from tests.support.running import show_job
from tests.support.wire import a_payload


def beat(station: Station) -> dict[bytes, bytes]:
    """Beat once and return the hash of the process."""
    station.make_heartbeat(station.slot).beat()
    fields: dict[bytes, bytes] = station.raw.hgetall(IDENTITY)
    return fields


def workers(station: Station) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        station.raw.hget(f"jobd:instance:{IDENTITY}", "workers")
    )
    return found


def stat(station: Station, name: str) -> int:
    return int(station.raw.get(f"stat:{name}") or 0)


def test_the_process_is_registered_for_a_minute(station: Station) -> None:
    beat(station)
    assert station.raw.smembers("processes") == {IDENTITY.encode()}
    assert 55 < station.raw.ttl(IDENTITY) <= 60
    assert 55 < station.raw.ttl(f"jobd:instance:{IDENTITY}") <= 60


def test_the_fields_are_those_of_sidekiq(station: Station) -> None:
    station.seat(1, 1)
    fields = beat(station)
    assert set(fields) == {
        b"info", b"concurrency", b"busy", b"beat", b"rtt_us", b"quiet", b"rss"
    }  # fmt: skip
    assert (fields[b"concurrency"], fields[b"busy"], fields[b"quiet"]) == (b"2", b"0", b"false")
    assert float(fields[b"beat"]) == 1_800_000_000
    assert int(fields[b"rtt_us"]) >= 0
    assert 1_000 < int(fields[b"rss"]) < 100_000_000


def test_info_is_compact_json_with_what_sidekiq_8_and_7_look_for(station: Station) -> None:
    text = beat(station)[b"info"]
    assert b": " not in text
    assert json.loads(text) == {
        "hostname": "here",
        "started_at": 1_799_999_000.5,
        "pid": os.getpid(),
        "tag": "daily_mood",
        "concurrency": 2,
        "capsules": {
            "default": {
                "concurrency": 1,
                "mode": "weighted",
                "weights": {"critical": 2, "default": 1},
            },
            "slow": {"concurrency": 1, "mode": "strict", "weights": {"low": 0}},
        },
        "queues": ["critical", "default", "low"],
        "weights": [{"critical": 2, "default": 1}, {"low": 0}],
        "labels": ["blue"],
        "identity": IDENTITY,
        "version": __version__,
        "embedded": False,
    }


def test_the_places_of_loops_count_where_the_workers_have_async_jobs(station: Station) -> None:
    station.board.set_has_async_jobs(has_any=True)
    fields = beat(station)
    assert fields[b"concurrency"] == b"202"
    info = json.loads(fields[b"info"])
    assert info["concurrency"] == 202
    assert [each["concurrency"] for each in info["capsules"].values()] == [101, 101]
    station.board.set_has_async_jobs(has_any=False)  # a reload has taken them away
    assert beat(station)[b"concurrency"] == b"2"


def test_a_quiet_or_stopping_instance_says_so(station: Station) -> None:
    for state in (InstanceState.QUIET, InstanceState.STOPPING):
        station.board.set_instance_state(state)
        assert beat(station)[b"quiet"] == b"true"


def test_five_slow_answers_in_a_row_are_told(
    station: Station, capfd: pytest.CaptureFixture[str]
) -> None:
    heartbeat = station.make_heartbeat(station.slot)
    slow = [True] * 4 + [False] + [True] * 5
    answers = iter(slow)
    ping = station.fleet.ping

    def slow_ping() -> None:
        ping()
        station.clock.advance(0.06 if next(answers) else 0.01)

    station.fleet.ping = slow_ping  # type: ignore[method-assign]
    told = []
    for _ in slow:
        heartbeat.beat()
        told.append("Redis answers slowly" in capfd.readouterr().out)
    assert told == [False] * 9 + [True]


# Running jobs


def test_a_running_job_is_shown_with_its_payload_as_it_stands_in_redis(station: Station) -> None:
    payload = a_payload("Echo", "ä", 2**70, {"k": []})
    (raw,) = station.hold(payload, owner=f"{IDENTITY}:1.0.4")
    writer = station.seat(1, 4)
    writer.hold(raw, 1_799_999_999.9)
    writer.start("default", "Echo", "b4a5")
    fields = beat(station)
    work = station.raw.hgetall(f"{IDENTITY}:work")
    assert fields[b"busy"] == b"1"
    inner = json.dumps(raw.decode(), ensure_ascii=False)
    expected = f'{{"queue":"default","payload":{inner},"run_at":1799999999}}'
    assert work == {b"1.0.4": expected.encode()}
    assert json.loads(json.loads(work[b"1.0.4"])["payload"]) == payload
    assert 55 < station.raw.ttl(f"{IDENTITY}:work") <= 60


def test_the_time_limits_of_running_jobs_are_told(station: Station) -> None:
    limited, free = station.seat(1, 4), station.seat(2, 1)
    for writer in (limited, free):
        show_job(writer, "default", "Echo", "b4a5", 1_799_999_999.9)
    limited.limit(Limit(5_000.0, 30.5, 5.0))
    beat(station)
    assert json.loads(station.fleet.instance(IDENTITY)["limits"]) == {"1.0.4": 30.5}
    limited.finish(None, failed=False)
    beat(station)
    assert station.fleet.instance(IDENTITY)["limits"] == "{}"


def test_of_a_job_that_lies_nowhere_what_is_known_is_shown(station: Station) -> None:
    show_job(station.seat(1, 4), "low", "Echo", "b4a5", 1_799_999_999.9)
    beat(station)
    work = json.loads(station.raw.hget(f"{IDENTITY}:work", "1.0.4"))
    assert json.loads(work["payload"]) == {
        "class": "Echo",
        "jid": "b4a5",
        "queue": "low",
        "args": [],
    }


def test_a_job_that_ended_is_not_shown_any_more(station: Station) -> None:
    writer = station.seat(1, 4)
    show_job(writer, "default", "Echo", "b4a5", 1.0)
    beat(station)
    writer.finish(None, failed=False)
    assert beat(station)[b"busy"] == b"0"
    assert not station.raw.exists(f"{IDENTITY}:work")


def test_what_a_dead_worker_was_doing_is_not_running(station: Station) -> None:
    show_job(station.seat(1, 4), "default", "Echo", "b4a5", 1.0)
    station.vacate(1, 4)
    assert beat(station)[b"busy"] == b"0"
    assert not station.raw.exists(f"{IDENTITY}:work")
    assert (workers(station)[0]["jid"], workers(station)[0]["state"]) == (None, "waiting")


# The instance


def test_the_instance_tells_where_it_lives_and_of_its_workers(station: Station) -> None:
    show_job(station.seat(1, 4), "default", "Echo", "b4a5", 1_799_999_999.9)
    beat(station)
    told = station.fleet.instance(IDENTITY)
    ticks = start_ticks(os.getpid())
    assert told.items() >= proof_of_this_host().items()
    assert (told["state"], told["pid"], told["start_ticks"]) == (
        "running",
        str(os.getpid()),
        str(ticks),
    )
    (busy,) = workers(station)
    assert (busy["slot"], busy["pid"], busy["incarnation"]) == (1, os.getpid(), 4)
    assert (busy["start_ticks"], busy["state"]) == (ticks, "running")
    assert (busy["class"], busy["jid"], busy["run_at"]) == ("Echo", "b4a5", 1_799_999_999.9)


def test_memory_is_told_with_shared_pages_split_from_the_second_beat_on(station: Station) -> None:
    station.seat(1, 4)
    heartbeat = station.make_heartbeat(station.slot)
    heartbeat.beat()
    assert (station.fleet.instance(IDENTITY)["pss_kb"], workers(station)[0]["pss_kb"]) == ("0", 0)
    heartbeat.beat()
    (worker,) = workers(station)
    assert 0 < worker["pss_kb"] < 2 * worker["rss_kb"]
    assert int(station.fleet.instance(IDENTITY)["pss_kb"]) == worker["pss_kb"]


def test_the_revision_is_that_which_runs_and_not_that_on_the_disk(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> str:
        heartbeat.beat()
        return station.fleet.instance(IDENTITY)["revision"]

    monkeypatch.setenv("REVISION", "old")
    heartbeat = station.make_heartbeat(station.slot)
    monkeypatch.setenv("REVISION", "new")
    assert told() == "old"
    reloaded = {"count": 1, "generation": 2, "state": "busy", "text": ""}
    heartbeat.reloaded = reloaded
    assert told() == "old"
    heartbeat.reloaded = {**reloaded, "state": "done"}
    monkeypatch.setenv("REVISION", "newest")
    assert [told(), told()] == ["newest", "newest"]


def test_what_was_said_before_is_gone(station: Station) -> None:
    station.raw.hset(f"jobd:instance:{IDENTITY}", "renewed", 1)
    beat(station)
    assert "renewed" not in station.fleet.instance(IDENTITY)


# Counters


def run_jobs(station: Station, slot: int, incarnation: int, ok: int, failed: int) -> None:
    writer = station.seat(slot, incarnation)
    for is_failed in [False] * ok + [True] * failed:
        show_job(writer, "default", "Echo", "-", 1.0)
        writer.finish(None, failed=is_failed)


def test_what_was_counted_is_added_once_and_to_its_day(station: Station) -> None:
    run_jobs(station, 1, 1, ok=2, failed=1)
    run_jobs(station, 2, 1, ok=1, failed=0)
    beat(station)
    beat(station)
    assert (stat(station, "processed"), stat(station, "failed")) == (4, 1)
    assert station.raw.get("stat:processed:2027-01-15") == b"4"
    assert station.raw.get("stat:failed:2027-01-15") == b"1"
    assert station.raw.ttl("stat:processed:2027-01-15") > 157_679_000
    assert station.raw.ttl("stat:processed") == -1


def test_without_a_job_no_counter_is_touched(station: Station) -> None:
    beat(station)
    assert list(station.raw.scan_iter("stat:*")) == []


def test_a_new_poller_goes_on_counting_where_the_last_one_was_killed(station: Station) -> None:
    run_jobs(station, 1, 1, ok=5, failed=0)
    beat(station)
    successor = station.board.writer(0)
    successor.open(os.getpid(), 2)
    station.slot = successor
    run_jobs(station, 1, 2, ok=3, failed=0)
    beat(station)
    assert stat(station, "processed") == 8


def test_counts_that_redis_did_not_take_are_sent_with_the_next_beat(station: Station) -> None:
    run_jobs(station, 1, 1, ok=5, failed=0)
    station.raw.set("processes", "not a set")
    with pytest.raises(RedisRejected):
        beat(station)
    station.raw.delete("processes")
    beat(station)
    assert stat(station, "processed") == 5


def test_what_jobs_cost_is_published_once(station: Station) -> None:
    for slot in (1, 2):
        station.tallies.writer(slot).count("Echo", 25)
    station.tallies.writer(1).count_failure("Echo")
    for _ in range(2):
        beat(station)
    fields = {b"Echo|p": b"3", b"Echo|f": b"1", b"Echo|ms": b"50"}
    assert station.raw.hgetall("j|270115|8:00") == fields
    assert station.raw.hgetall("j|270115|8:0") == fields
    assert station.raw.get("h|Echo-15-8:0") == b"\0\0\0\2"


def test_what_jobs_cost_is_published_by_queue_and_by_host_as_well(station: Station) -> None:
    for name, queue in (("Echo", "low"), ("Echo", "high"), ("Mail", "low")):
        station.tallies.writer(1).count(row_of(name, queue), 25)
    for _ in range(2):
        beat(station)
    period = "j|270115|8:00"
    assert station.raw.hget(period, "Echo|p") == b"2"
    assert station.raw.hgetall(f"jobd:metrics:queue:{period}") == {
        b"low|p": b"2",
        b"low|ms": b"50",
        b"high|p": b"1",
        b"high|ms": b"25",
    }
    host = IDENTITY.partition(":")[0].encode()
    of_host = {host + b"|p": b"3", host + b"|ms": b"75"}
    assert station.raw.hgetall(f"jobd:metrics:host:{period}") == of_host
    assert station.raw.get("jobd:metrics:queue:h|low-15-8:0") == b"\0\0\0\2"


def test_how_long_jobs_waited_is_published_by_queue(station: Station) -> None:
    station.tallies.writer(1).count(wait_row("low"), 25)
    for _ in range(2):
        beat(station)
    period = "j|270115|8:00"
    waits = {b"low|p": b"1", b"low|ms": b"25"}
    assert station.raw.hgetall(f"jobd:metrics:wait:{period}") == waits
    assert station.raw.get("jobd:metrics:wait:h|low-15-8:0") == b"\0\0\0\1"
    assert 0 < station.raw.ttl(f"jobd:metrics:wait:{period}") <= 28_800
    assert not station.raw.exists(period, f"jobd:metrics:queue:{period}")


def test_metrics_belong_to_the_servers_minute(station: Station) -> None:
    station.board.set_clock_offset(-90.0)
    station.tallies.writer(1).count("Echo", 25)
    beat(station)
    assert station.raw.hget("j|270115|7:58", "Echo|p") == b"1"


def test_a_new_poller_publishes_nothing_again(station: Station) -> None:
    station.tallies.writer(1).count("Echo", 25)
    beat(station)
    successor = station.board.writer(0)
    successor.open(os.getpid(), 2)
    station.slot = successor
    station.tallies.writer(1).count("Echo", 25)
    beat(station)
    assert station.raw.hget("j|270115|8:00", "Echo|p") == b"2"


@pytest.mark.parametrize("lose", ["drop_request_once", "drop_reply_once"])
def test_a_heartbeat_whose_reply_is_lost_counts_once_and_keeps_the_command(
    station: Station, proxy: Proxy, lose: str
) -> None:
    station.connect(proxy.url())
    run_jobs(station, 1, 1, ok=2, failed=0)
    station.tallies.writer(1).count("Echo", 25)
    station.raw.lpush(f"{IDENTITY}-signals", "TSTP")
    heartbeat = station.make_heartbeat(station.slot)
    heartbeat.beat()
    run_jobs(station, 1, 1, ok=3, failed=1)
    station.tallies.writer(1).count("Echo", 25)
    station.raw.lpush(f"{IDENTITY}-signals", "TERM")

    getattr(proxy, lose)("EVALSHA")
    with pytest.raises(RedisUnavailable):
        heartbeat.beat()
    run_jobs(station, 1, 1, ok=1, failed=0)
    again = heartbeat.beat()
    was_behind = heartbeat.is_behind
    heartbeat.beat()

    assert again.command == "TERM"
    assert (was_behind, heartbeat.is_behind) == (True, False)
    assert (stat(station, "processed"), stat(station, "failed")) == (7, 1)
    assert station.raw.hget("j|270115|8:00", "Echo|p") == b"2"


def test_a_poller_that_has_beaten_says_so_in_its_slot(station: Station) -> None:
    run_jobs(station, 1, 1, ok=2, failed=1)
    beat(station)
    counted = station.board.read(0)
    assert (counted.processed, counted.failed) == (3, 1)
    assert station.board.read(1).state is State.IDLE


# What comes back


def test_a_beat_takes_one_command_and_tells_the_servers_time(station: Station) -> None:
    station.raw.lpush(f"{IDENTITY}-signals", "TSTP", "TERM")
    heartbeat = station.make_heartbeat(station.slot)
    first, second, third = heartbeat.beat(), heartbeat.beat(), heartbeat.beat()
    assert [first.command, second.command, third.command] == ["TSTP", "TERM", None]
    assert [first.known, second.known] == [False, True]
    assert abs(first.now_s - station.raw.time()[0]) < 10


def test_bytes_that_no_text_can_hold_do_not_stop_the_heart(station: Station) -> None:
    (raw,) = station.hold(b'{"class":"Echo","args":["\xff"]}', owner=f"{IDENTITY}:1.0.4")
    writer = station.seat(1, 4)
    writer.hold(raw, 1.0)
    writer.start("default", "Echo", "-")
    beat(station)
    assert b"\xff" in station.raw.hget(f"{IDENTITY}:work", "1.0.4")
