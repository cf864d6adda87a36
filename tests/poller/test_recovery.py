"""What dead workers and dead instances held goes back, and nobody who lives is robbed."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd.poller import proof
from jobd.poller.proof import proof_of_this_host, start_ticks
from jobd.poller.recovery import Death
from jobd.scoreboard import fingerprint
from tests.poller.conftest import IDENTITY, OTHER, Station
from tests.support.wire import a_payload, encode

OURS = f"{IDENTITY}:1.0.1"
THEIRS = f"{OTHER}:2.0.5"
SUSPECT_S = 5


def live(station: Station, identity: str = OTHER, **fields: Any) -> None:
    """Have another instance beat."""
    station.raw.hset(f"jobd:instance:{identity}", mapping={"state": "running"} | fields)


def names(station: Station) -> set[bytes]:
    found: set[bytes] = station.raw.smembers("jobd:privates")
    return found


def jobs(station: Station, queue: str = "default") -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in station.queue(queue)]


# A worker of our own


def test_what_a_dead_worker_held_goes_to_the_end_that_runs_next(station: Station) -> None:
    waiting = encode(a_payload("Echo", "waiting"))
    station.raw.lpush("queue:default", waiting)
    first, second = station.hold(a_payload("Echo", 1), a_payload("Echo", 2), owner=OURS)
    (low,) = station.hold(a_payload("Echo", queue="low"), owner=OURS)
    station.recovery.recover_worker(1, 1, Death("SIGKILL", running=""))
    assert station.queue() == [first, second, waiting]
    assert station.queue("low") == [low]
    assert station.held() == 0
    assert station.raw.smembers("queues") == {b"default", b"low"}


def test_a_job_that_still_came_to_a_dead_worker_goes_back_uncharged(station: Station) -> None:
    station.recovery.recover_worker(1, 1, Death("SIGKILL", running=""))
    (late,) = station.hold(a_payload("Echo"), owner=OURS)
    station.recovery.look_again()
    assert station.queue() == [late]
    station.hold(a_payload("Echo"), owner=OURS)
    station.recovery.look_again()
    assert station.held() == 1, "it looks once; the sweep finds what comes even later"


def test_only_the_job_that_was_running_is_charged(station: Station) -> None:
    running, other = a_payload("Echo", 1), a_payload("Echo", 2)
    raw, untouched = station.hold(running, other, owner=OURS)
    station.recovery.recover_worker(1, 1, Death("SIGSEGV", running=fingerprint(raw)))
    charged, kept = station.queue()
    assert json.loads(charged) == running | {"recovered": 1, "recovered_reason": "SIGSEGV"}
    assert kept == untouched


def test_a_job_that_was_killed_for_its_time_limit_goes_back_as_failed_and_uncharged(
    station: Station,
) -> None:
    slow, other = a_payload("Echo", 1, recovered=1), a_payload("Echo", 2)
    raw, untouched = station.hold(slow, other, owner=OURS)
    death = Death("SIGKILL", running=fingerprint(raw), time_limit=1.5)
    station.recovery.recover_worker(1, 1, death)
    marked, kept = station.queue()
    assert json.loads(marked) == slow | {"timed_out": 1.5}
    assert kept == untouched


def test_a_job_that_was_killed_for_its_memory_goes_back_as_failed_and_uncharged(
    station: Station,
) -> None:
    big = a_payload("Echo", 1, recovered=1)
    (raw,) = station.hold(big, owner=OURS)
    death = Death("SIGKILL", running=fingerprint(raw), max_memory=1_000)
    station.recovery.recover_worker(1, 1, death)
    assert json.loads(station.queue()[0]) == big | {"outgrown": 1_000}


@pytest.mark.parametrize(("before", "after"), [(2, 3), (0, 1), ("2", 1), (None, 1)])
def test_each_death_counts(station: Station, before: object, after: int) -> None:
    payload = a_payload("Echo", recovered=before)
    (raw,) = station.hold(payload, owner=OURS)
    station.recovery.recover_worker(1, 1, Death("exit 3", running=fingerprint(raw)))
    assert jobs(station)[0]["recovered"] == after


@pytest.mark.parametrize("jid", ["x" * 200, "ä" * 50, None, 17])
def test_a_job_with_any_jid_is_charged(station: Station, jid: object) -> None:
    station.hold(a_payload("Echo", 1), owner=OURS)
    (raw,) = station.hold(a_payload("Echo", 2, jid=jid), owner=OURS)
    station.seat(1, 1).hold(raw, 1.0)
    left = station.board.read(1)
    station.recovery.recover_worker(1, 1, Death("SIGKILL", left.running, left.finished))
    assert [job.get("recovered") for job in jobs(station)] == [None, 1]


def test_finished_jobs_are_acknowledged_and_not_run_again(station: Station) -> None:
    done, running = station.hold(a_payload("Echo", 1), a_payload("Echo", 2), owner=OURS)
    death = Death("SIGKILL", running="", finished=(fingerprint(done),))
    station.recovery.recover_worker(1, 1, death)
    assert (station.queue(), station.held()) == ([running], 0)


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[1]"])
def test_what_does_not_parse_goes_back_as_it_is(station: Station, text: bytes) -> None:
    station.hold(text, owner=OURS)
    station.recovery.recover_worker(1, 1, Death("SIGKILL", fingerprint(text)))
    assert station.queue() == [text]


def test_numbers_and_empty_lists_survive_the_charge(station: Station) -> None:
    payload = a_payload("Echo", 2**70, [], {}, 1.5, "ä\u2028")
    (raw,) = station.hold(payload, owner=OURS)
    station.recovery.recover_worker(1, 1, Death("SIGKILL", fingerprint(raw)))
    assert jobs(station)[0]["args"] == payload["args"]


def test_more_than_a_page_is_returned_whole_and_in_order(station: Station) -> None:
    raws = station.hold(*(a_payload("Echo", n) for n in range(250)), owner=OURS)
    station.recovery.recover_worker(1, 1, Death("SIGKILL", running=""))
    assert (station.queue(), station.held()) == (raws, 0)


def test_of_two_equal_jobs_one_that_is_done_counts_once(station: Station) -> None:
    done, _ = station.hold(*[a_payload("Echo", 1)] * 2, owner=OURS)
    death = Death("SIGKILL", running="", finished=(fingerprint(done),))
    station.recovery.recover_worker(1, 1, death)
    assert (station.queue(), station.held()) == ([done], 0)


def test_a_whole_batch_that_was_done_is_acknowledged(station: Station) -> None:
    raws = station.hold(*(a_payload("Echo", n) for n in range(130)), owner=OURS)
    done = tuple(fingerprint(raw) for raw in raws[:128])
    station.recovery.recover_worker(1, 1, Death("SIGKILL", fingerprint(raws[128]), done))
    assert [job.get("recovered") for job in jobs(station)] == [1, None]


def test_other_workers_and_other_lives_of_a_slot_are_left_alone(station: Station) -> None:
    station.hold(a_payload("Echo"), owner=f"{IDENTITY}:2.0.1")
    station.hold(a_payload("Echo"), owner=f"{IDENTITY}:1.0.2")
    station.hold(a_payload("Echo"), owner=f"{OTHER}:1.0.1")
    station.recovery.recover_worker(1, 1, Death("SIGKILL", running=""))
    assert (station.queue(), station.held()) == ([], 3)


def test_the_list_of_a_living_worker_is_not_swept(station: Station) -> None:
    station.seat(1, 1)
    station.hold(a_payload("Echo"), owner=OURS)
    for _ in range(3):
        station.recovery.sweep()
        station.clock.advance(60)
    assert station.held() == 1
    assert len(names(station)) == 1


def test_a_worker_that_is_just_being_forked_is_not_swept(station: Station) -> None:
    station.vacate(1, 1)
    station.hold(a_payload("Echo"), owner=f"{IDENTITY}:1.0.2")
    for _ in range(3):
        station.recovery.sweep()
        station.clock.advance(60)
    assert station.held() == 1


def test_a_death_that_is_not_told_yet_is_not_swept_uncharged(station: Station) -> None:
    # The master notes a death before it tells it, and tells a new poller only once that is ready.
    (raw,) = station.hold(a_payload("Echo"), owner=OURS)
    station.vacate(1, 1)
    station.recovery.sweep()
    assert station.held() == 1
    station.recovery.recover_worker(1, 1, Death("SIGKILL", fingerprint(raw)))
    assert jobs(station)[0]["recovered"] == 1


def test_a_death_that_nobody_tells_is_found(station: Station) -> None:
    raws = station.hold(a_payload("Echo"), owner=OURS)
    station.vacate(1, 1)
    station.recovery.sweep()
    station.clock.advance(SUSPECT_S)
    station.recovery.sweep()
    assert (station.queue(), station.held()) == (raws, 0)


def test_what_came_to_a_dead_workers_list_late_is_found_uncharged(station: Station) -> None:
    station.seat(1, 2)
    station.recovery.recover_worker(1, 1, Death("SIGKILL", "0f4b75e523969d83"))
    late = station.hold(a_payload("Echo"), owner=OURS)
    station.recovery.sweep()
    station.clock.advance(SUSPECT_S)
    station.recovery.sweep()
    assert station.queue() == late


# Another instance


def lose(station: Station, *, sweeps: int = 2) -> None:
    """Let time pass without the other instance's heartbeat."""
    for _ in range(sweeps):
        station.recovery.sweep()
        station.clock.advance(SUSPECT_S)


def test_a_living_instance_is_left_alone(station: Station) -> None:
    live(station)
    station.hold(a_payload("Echo"), owner=THEIRS)
    lose(station, sweeps=5)
    assert (station.held(), station.queue()) == (1, [])


def test_a_dead_instances_jobs_are_returned_and_one_alone_is_charged(station: Station) -> None:
    alone = a_payload("Echo", queue="low")
    station.hold(alone, owner=THEIRS)
    several = station.hold(a_payload("Echo", 1), a_payload("Echo", 2), owner=THEIRS)
    lose(station)
    assert jobs(station, "low") == [
        alone | {"recovered": 1, "recovered_reason": "its instance died"}
    ]
    assert station.queue() == several


def test_a_flushed_heartbeat_that_comes_back_is_no_death(station: Station) -> None:
    station.hold(a_payload("Echo"), owner=THEIRS)
    station.recovery.sweep()
    live(station)
    station.clock.advance(SUSPECT_S)
    station.recovery.sweep()
    station.raw.delete(f"jobd:instance:{OTHER}")
    station.clock.advance(SUSPECT_S)
    station.recovery.sweep()
    assert station.held() == 1


def test_a_suspicion_is_looked_at_again_soon_enough_for_the_75_seconds(station: Station) -> None:
    assert station.recovery.sweep() == 8
    station.hold(a_payload("Echo"), owner=THEIRS)
    assert station.recovery.sweep() == SUSPECT_S
    station.clock.advance(SUSPECT_S)
    assert station.recovery.sweep() == 8
    assert 60 + 8 + SUSPECT_S <= 75


def test_of_two_sweepers_each_job_is_returned_once(station: Station) -> None:
    station.hold(a_payload("Echo"), owner=THEIRS)
    third = station.make_recovery("third:7:000000000000")
    for recovery in (station.recovery, third):
        recovery.sweep()
    station.clock.advance(SUSPECT_S)
    for recovery in (station.recovery, third):
        recovery.sweep()
    assert [job["recovered"] for job in jobs(station)] == [1]


def test_a_straggling_blmove_is_found_by_the_next_sweep(station: Station) -> None:
    station.hold(a_payload("Echo", 1), owner=THEIRS)
    lose(station)
    late = a_payload("Echo", 2)
    station.hold(late, owner=THEIRS)
    station.recovery.sweep()
    assert [job["args"] for job in jobs(station)] == [[2], [1]]
    assert len(names(station)) == 1


def test_a_list_is_forgotten_after_two_empty_sweeps(station: Station) -> None:
    station.hold(a_payload("Echo"), owner=THEIRS)
    lose(station)
    assert len(names(station)) == 1
    station.recovery.sweep()
    assert len(names(station)) == 1
    station.recovery.sweep()
    assert names(station) == set()


def test_names_that_are_none_of_ours_are_left_alone(station: Station) -> None:
    odd = {b"junk", b"jobd:private:a:b", b"jobd:private:h:1:n:x.y.z:q"}
    station.raw.sadd("jobd:privates", *odd)
    lose(station, sweeps=4)
    assert names(station) == odd


# Proof on the same host


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Something that lives until its input ends."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as started:
        yield started
        started.kill()


def end(process: subprocess.Popen[bytes], *, is_reaped: bool = True) -> None:
    assert process.stdin is not None
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    if is_reaped:
        process.wait()


def told_of(
    station: Station, process: subprocess.Popen[bytes], *, master: int | None = None, **changes: Any
) -> None:
    """Have an instance of this host say that this process is its worker, and its master."""
    ticks = start_ticks(process.pid)
    worker = {"slot": 2, "incarnation": 5, "pid": process.pid, "start_ticks": ticks}
    fields = proof_of_this_host() | {
        "pid": str(master or process.pid),
        "start_ticks": str(start_ticks(master or process.pid)),
        "workers": json.dumps([worker | changes.pop("worker", {})]),
    }
    live(station, **fields | changes)


@pytest.mark.parametrize("is_reaped", [True, False], ids=["gone", "zombie"])
def test_the_dead_of_this_host_are_known_at_once(
    station: Station, process: subprocess.Popen[bytes], is_reaped: bool
) -> None:
    station.hold(a_payload("Echo"), owner=THEIRS)
    told_of(station, process)
    station.recovery.sweep()
    assert station.held() == 1
    end(process, is_reaped=is_reaped)
    station.recovery.sweep()
    assert [job["recovered_reason"] for job in jobs(station)] == ["its instance died"]


def test_a_pid_that_was_used_again_is_another_process(
    station: Station, process: subprocess.Popen[bytes]
) -> None:
    station.hold(a_payload("Echo"), owner=THEIRS)
    told_of(station, process, start_ticks="1", worker={"start_ticks": 1})
    station.recovery.sweep()
    assert station.held() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"boot_id": "another"},
        {"pid_namespace": "pid:[1]"},
        {"worker": {"incarnation": 6}},
        {"worker": {"slot": 3}},
        {"workers": "[]"},
    ],
    ids=["another boot", "another container", "another life", "another slot", "nobody named"],
)
def test_without_proof_the_heartbeat_counts(
    station: Station, process: subprocess.Popen[bytes], changes: dict[str, Any]
) -> None:
    station.hold(a_payload("Echo"), owner=THEIRS)
    told_of(station, process, **changes)
    end(process)
    lose(station, sweeps=3)
    assert station.held() == 1


def test_where_the_boot_is_hidden_the_heartbeat_counts(
    station: Station,
    process: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(proof, "_BOOT_ID", tmp_path / "hidden")
    station.recovery = station.make_recovery()
    station.hold(a_payload("Echo"), owner=THEIRS)
    told_of(station, process)
    end(process)
    lose(station, sweeps=3)
    assert station.held() == 1


def test_a_worker_that_outlives_its_master_is_not_robbed(
    station: Station, process: subprocess.Popen[bytes]
) -> None:
    station.hold(a_payload("Echo"), owner=THEIRS)
    told_of(station, process, start_ticks="1")
    lose(station, sweeps=3)
    assert station.held() == 1


def test_a_dead_worker_is_left_to_its_living_master(
    station: Station, process: subprocess.Popen[bytes]
) -> None:
    station.hold(a_payload("Echo"), owner=THEIRS)
    told_of(station, process, master=os.getpid())
    end(process)
    lose(station, sweeps=3)
    assert station.held() == 1


def test_an_instance_is_asked_once_a_sweep_however_many_lists_it_has(station: Station) -> None:
    live(station)
    for slot in range(20):
        station.hold(a_payload("Echo"), owner=f"{OTHER}:{slot}.0.1")
    station.raw.config_resetstat()
    station.recovery.sweep()
    calls = station.raw.info("commandstats")
    assert calls["cmdstat_hgetall"]["calls"] == 1
    assert calls["cmdstat_exists"]["calls"] == 1


def test_there_is_no_start_time_of_nobody() -> None:
    assert start_ticks(0) is None
    assert (start_ticks(os.getpid()) or 0) > 0


# The end


def test_at_the_very_end_everything_of_ours_goes_back_uncharged(station: Station) -> None:
    raws = station.hold(a_payload("Echo", 1), a_payload("Echo", 2), owner=OURS)
    station.hold(a_payload("Echo", queue="low"), owner=THEIRS)
    station.recovery.sweep_own()
    assert station.queue() == raws
    assert (station.held(), len(names(station))) == (1, 1)


def test_a_job_that_may_have_killed_by_its_size_is_buried_unparsed_and_alone(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobd.poller.recovery._LARGEST_PARSED_BYTES", 100)
    graves = {f"grave {n}": n + 1 for n in range(10_050)}
    station.raw.zadd("dead", graves)
    (raw,) = station.hold(b"[" * 200)
    station.recovery.recover_worker(1, 1, Death("SIGKILL", fingerprint(raw)))
    assert station.raw.zscore("dead", raw) is not None
    assert station.raw.zcard("dead") == 10_051, "how many are kept is for the configuration to say"
    assert (station.held(), station.queue()) == (0, [])


def test_a_process_that_cannot_be_seen_is_not_proved_dead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ticks = start_ticks(os.getpid())
    dead = subprocess.Popen(["true"])
    dead.wait()
    # As under hidepid: nothing of other users stands in /proc.
    monkeypatch.setattr(proof, "Path", lambda path: tmp_path / str(path).lstrip("/"))
    assert proof._is_alive(os.getpid(), ticks)
    assert not proof._is_alive(dead.pid, 1)
    assert proof._is_alive(None, None), "nothing is known of it"
