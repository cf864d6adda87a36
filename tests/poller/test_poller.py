"""The poller's loop, turn by turn: its duties, what it is told, and how it leaves."""

import contextlib
import os
import signal
from typing import Any

import pytest

from jobd.cancelling import cancel
from jobd.scoreboard import InstanceState, fingerprint
from tests.poller.conftest import IDENTITY, OTHER, Station
from tests.support.clock import FakeClock
from tests.support.proxy import Proxy
from tests.support.running import show_job
from tests.support.servers import Raw
from tests.support.wire import a_payload, encode, queued

OURS = f"{IDENTITY}:1.0.1"


def turn(station: Station) -> float:
    """One turn of the loop; returns how long it would have waited."""
    wait_s = station.poller._step()
    station.poller._look()
    return wait_s


def send_command(station: Station, command: str) -> None:
    station.raw.lpush(f"{IDENTITY}-signals", command)


def a_death(running: bytes = b"", *, slot: int = 1, incarnation: int = 1) -> dict[str, Any]:
    return {
        "type": "died",
        "time_limit": 0.0,
        "max_memory": 0,
        "slot": slot,
        "incarnation": incarnation,
        "thread": 0,
        "status": 9,
        "reason": "SIGKILL",
        "running": fingerprint(running) if running else "",
        "jid": "b4a5" if running else "",
        "finished": [],
    }


def cancels(station: Station) -> list[dict[str, Any]]:
    """What the master was told to cancel, and forget it."""
    told = [dict(each) for each in station.master.heard if each["type"] == "cancel"]
    station.master.heard.clear()
    return told


def is_registered(station: Station) -> bool:
    return bool(station.raw.sismember("processes", IDENTITY))


def test_a_poller_forgets_for_good_what_was_purged_a_day_ago(station: Station) -> None:
    now_s = station.clock.now_s()
    for name, ago_s in (("old", 86_401), ("new", 86_300)):
        station.raw.lpush(f"jobd:trash:{name}", "job")
        station.raw.zadd("jobd:trash", {f"{name}:queue:default": now_s - ago_s})
    turn(station)
    assert station.raw.zrange("jobd:trash", 0, -1) == [b"new:queue:default"]
    assert sorted(station.raw.keys("jobd:trash:*")) == [b"jobd:trash:new"]


def test_the_first_turn_does_everything(station: Station) -> None:
    station.raw.zadd("schedule", {encode(a_payload("Echo")): 1})
    assert 0 <= turn(station) <= 1
    assert is_registered(station)
    assert len(queued(station.raw)) == 1
    assert station.board.read(0).beat == station.clock.monotonic()


def test_the_heart_beats_every_ten_seconds(station: Station) -> None:
    turn(station)
    for seconds, beaten in ((9, 0), (1, 10), (9, 10), (1, 20)):
        station.clock.advance(seconds)
        turn(station)
        assert float(station.raw.hget(IDENTITY, "beat")) == 1_800_000_000 + beaten


def test_a_worker_that_has_taken_a_seat_is_told_of_at_once(station: Station) -> None:
    turn(station)
    station.seat(1, 7, pid=4711)
    station.master.says.append({"type": "seats"})
    station.poller._look()
    station.clock.advance(0.001)
    turn(station)
    assert b'"pid":4711' in station.raw.hget(f"jobd:instance:{IDENTITY}", "workers")


def test_a_change_of_state_is_told_at_once(station: Station) -> None:
    turn(station)
    station.board.set_instance_state(InstanceState.QUIET)
    station.poller._look()
    turn(station)
    assert station.raw.hget(IDENTITY, "quiet") == b"true"


def test_after_a_flush_of_the_database_the_instance_is_back_within_two_turns(
    station: Station,
) -> None:
    turn(station)
    station.raw.flushall()
    station.clock.advance(1)
    turn(station)
    turn(station)
    assert is_registered(station)
    assert station.fleet.live([IDENTITY]) == {IDENTITY: True}


def test_instances_without_a_heartbeat_leave_the_registry(station: Station) -> None:
    station.raw.sadd("processes", "ghost:1:0")
    station.raw.hset("ruby:2:0", "info", "{}")
    station.raw.sadd("processes", "ruby:2:0")
    turn(station)
    assert station.raw.smembers("processes") == {IDENTITY.encode(), b"ruby:2:0"}


# Remote commands


@pytest.mark.parametrize("command", ["TSTP", "TERM", "TTIN", "CONT"])
def test_remote_commands_are_passed_to_the_master(station: Station, command: str) -> None:
    send_command(station, command)
    turn(station)
    assert station.master.heard == [{"type": "remote", "signal": command}]


@pytest.mark.parametrize("command", ["KILL", "USR2", "term", "TERM\n", "9"])
def test_other_commands_are_refused_and_told(
    station: Station, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    send_command(station, command)
    turn(station)
    assert station.master.heard == []
    assert "remote command refused" in capfd.readouterr().out
    assert not station.raw.exists(f"{IDENTITY}-signals")


# Clocks


def test_a_clock_that_is_off_is_told_once_and_corrected(
    station: Station, capfd: pytest.CaptureFixture[str]
) -> None:
    def offset_s() -> float:
        seconds, _ = station.raw.time()
        return float(seconds - station.clock.now_ms() / 1000)

    for _ in range(3):
        turn(station)
        assert abs(station.board.clock_offset_s - offset_s()) < 5
        station.clock.advance(10)
    assert capfd.readouterr().out.count("clock differs") == 1
    station.clock.step(offset_s())
    turn(station)
    station.clock.step(-60)
    station.clock.advance(10)
    turn(station)
    assert capfd.readouterr().out.count("clock differs") == 1


# The dead


def test_a_death_is_answered_for_and_the_master_told(station: Station) -> None:
    payload = a_payload("Echo")
    station.hold(payload, owner=OURS)
    turn(station)
    station.master.says.append(a_death(encode(payload)))
    station.poller._look()
    turn(station)
    assert [job["recovered"] for job in queued(station.raw)] == [1]
    assert station.master.heard == [{"type": "recovered", "slot": 1, "incarnation": 1, "thread": 0}]


def test_what_came_to_a_dead_worker_after_that_goes_back_half_a_second_later(
    station: Station,
) -> None:
    turn(station)
    station.master.says.append(a_death())
    station.poller._look()
    assert turn(station) <= 0.5
    (late,) = station.hold(a_payload("Echo"), owner=OURS)
    station.clock.advance(0.5)
    turn(station)
    assert station.queue() == [late]


def test_a_new_poller_charges_a_death_that_it_is_told_after_its_first_sweep(
    station: Station,
) -> None:
    payload = a_payload("Echo")
    station.hold(payload, owner=OURS)
    station.vacate(1, 1)
    turn(station)
    station.master.says.append(a_death(encode(payload)))
    station.poller._look()
    turn(station)
    assert [job["recovered"] for job in queued(station.raw)] == [1]


def test_a_death_told_twice_is_answered_twice_and_charged_once(station: Station) -> None:
    payload = a_payload("Echo")
    station.hold(payload, owner=OURS)
    station.master.says += [a_death(encode(payload)), a_death(encode(payload))]
    station.poller._look()
    turn(station)
    assert [job["recovered"] for job in queued(station.raw)] == [1]
    assert len(station.master.heard) == 2


# Redis


@pytest.fixture
def distant(proxy: Proxy, raw: Raw, clock: FakeClock) -> Any:
    """A station behind a proxy."""
    with contextlib.closing(Station(proxy.url(), raw, clock)) as made:
        yield made


def test_an_outage_and_its_end_are_told_once(
    distant: Station, proxy: Proxy, capfd: pytest.CaptureFixture[str]
) -> None:
    turn(distant)
    proxy.refuse()
    for _ in range(4):
        distant.clock.advance(10)
        assert 0 < turn(distant) <= 5
    proxy.heal()
    turn(distant)
    turn(distant)
    told = capfd.readouterr().out
    assert told.count("waiting for it") == 1
    assert told.count("Redis answers again") == 1
    assert "away=40.000" in told or "away=30.000" in told


def test_a_death_is_answered_for_when_redis_is_back(distant: Station, proxy: Proxy) -> None:
    payload = a_payload("Echo")
    distant.hold(payload, owner=OURS)
    turn(distant)
    proxy.refuse()
    distant.master.says.append(a_death(encode(payload)))
    distant.poller._look()
    turn(distant)
    assert distant.master.heard == []
    proxy.heal()
    turn(distant)
    assert [job["recovered"] for job in queued(distant.raw)] == [1]
    assert len(distant.master.heard) == 1


def test_a_recovery_whose_reply_was_lost_charges_once(distant: Station, proxy: Proxy) -> None:
    payload = a_payload("Echo")
    distant.hold(payload, owner=OURS)
    turn(distant)
    distant.master.says.append(a_death(encode(payload)))
    distant.poller._look()
    proxy.drop_reply_once("EVALSHA")
    for _ in range(3):
        turn(distant)
    assert [job["recovered"] for job in queued(distant.raw)] == [1]
    assert len(distant.master.heard) == 1


def test_a_duty_that_the_server_refuses_does_not_keep_the_others_waiting(
    station: Station, capfd: pytest.CaptureFixture[str]
) -> None:
    station.raw.set("schedule", "not a sorted set")
    alone = a_payload("Echo")
    station.hold(alone, owner=f"{OTHER}:1.0.1")
    turn(station)
    station.clock.advance(5)
    turn(station)
    assert len(queued(station.raw)) == 1
    assert is_registered(station)
    told = capfd.readouterr().out
    assert told.count("the server refused") == 1
    assert "waiting for it" not in told


def test_a_refused_duty_is_tried_again(station: Station) -> None:
    station.raw.set("schedule", "not a sorted set")
    turn(station)
    station.raw.delete("schedule")
    station.raw.zadd("schedule", {encode(a_payload("Echo")): 1})
    station.clock.advance(10)
    turn(station)
    assert len(queued(station.raw)) == 1


# The end


def test_it_leaves_after_its_workers_and_returns_what_they_held(station: Station) -> None:
    charged, other = a_payload("Echo", 1), a_payload("Echo", 2)
    station.hold(charged, owner=OURS)
    station.hold(other, owner=f"{IDENTITY}:2.0.1")
    turn(station)
    station.vacate(1, 1)
    station.master.says.append(a_death(encode(charged)))
    station.poller._leave()
    assert sorted((job["args"][0], job.get("recovered", 0)) for job in queued(station.raw)) == [
        (1, 1),
        (2, 0),
    ]
    assert not is_registered(station)
    assert station.held() == 0
    assert not station.raw.exists(f"jobd:instance:{IDENTITY}", f"{IDENTITY}:work")
    assert station.raw.exists(IDENTITY)  # left to run out, as Sidekiq's


def test_a_term_to_the_whole_group_finds_it_the_last_to_leave(station: Station) -> None:
    station.seat(1, 1)
    turn(station)
    station.poller._is_told = True
    turn(station)
    assert not station.poller._must_stop, "nothing stops, whoever sent that"
    station.board.set_instance_state(InstanceState.STOPPING)
    turn(station)
    assert not station.poller._must_stop, "a worker drains, and needs the heartbeat"
    station.vacate(1, 1)
    turn(station)
    assert station.poller._must_stop


def test_a_stray_term_does_not_make_it_rob_living_workers(station: Station) -> None:
    station.seat(1, 1)
    station.hold(a_payload("Echo"), owner=OURS)
    turn(station)
    station.poller._leave()
    assert station.held() == 1
    assert is_registered(station)


def test_a_poller_without_a_master_waits_for_the_workers(station: Station) -> None:
    station.seat(1, 1)
    turn(station)
    station.master.cut()
    turn(station)
    assert not station.poller._must_stop
    station.vacate(1, 1)
    turn(station)
    assert station.poller._must_stop


def test_a_poller_without_a_master_does_not_wait_for_ever(station: Station) -> None:
    station.seat(1, 1)
    station.master.cut()
    turn(station)
    station.clock.advance(30)
    turn(station)
    assert station.poller._must_stop


# What is cancelled


def test_a_job_that_runs_and_is_cancelled_is_told_to_the_master_until_it_has_ended(
    station: Station,
) -> None:
    show_job(station.seat(1, 1), "default", "Echo", "another", 1.0)
    worker = station.seat(2, 7)
    show_job(worker, "default", "Echo", "b4a5", 1.0)
    turn(station)
    assert cancels(station) == []
    cancel(station.store, "b4a5")
    station.clock.advance(1)
    turn(station)
    order = {"type": "cancel", "jid": "b4a5", "slot": 2, "incarnation": 7, "thread": 0}
    assert cancels(station) == [order]
    station.clock.advance(1)
    turn(station)
    assert cancels(station) == [order]
    worker.give_up()
    station.clock.advance(1)
    turn(station)
    assert cancels(station) == []


def test_a_job_that_does_not_heed_that_is_left_alone_in_the_end(station: Station) -> None:
    show_job(station.seat(1, 1), "default", "Echo", "b4a5", 1.0)
    cancel(station.store, "b4a5")
    turn(station)
    assert len(cancels(station)) == 1
    station.clock.advance(10)
    turn(station)
    assert cancels(station) == []


def test_workers_see_that_something_was_cancelled(station: Station) -> None:
    turn(station)
    before = station.board.newest_cancel
    cancel(station.store, "b4a5")
    station.clock.advance(1)
    turn(station)
    assert station.board.newest_cancel > before == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_term_ends_the_loop_and_the_registration(
    station: Station, capfd: pytest.CaptureFixture[str]
) -> None:
    pid = os.fork()  # noqa: TID251 - it takes over the signals of its process
    if pid == 0:
        try:
            station.poller.open()
            station.board.set_instance_state(InstanceState.STOPPING)
            for number in (signal.SIGTSTP, signal.SIGUSR2, signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
            station.poller.run()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert station.raw.exists(IDENTITY)
    assert not is_registered(station)
