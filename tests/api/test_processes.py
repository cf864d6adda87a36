"""Processes, their remote commands and running jobs: jobd's, Ruby's of any age, and broken ones."""

import json
from typing import Any

import pytest

from jobd.api import Access, ProcessSet, WorkSet
from jobd.errors import CannotAct
from tests.api.parts import a_job
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

INFO_8 = {
    "hostname": "app-1",
    "started_at": 1795296945.5,
    "pid": 71,
    "tag": "shop",
    "capsules": {
        "default": {"concurrency": 3, "mode": "weighted", "weights": {"high": 3, "low": 1}},
        "slow": {"concurrency": 2, "mode": "strict", "weights": {"reports": 0}},
    },
    "queues": ["high", "low", "reports"],
    "weights": [{"high": 3, "low": 1}, {"reports": 0}],
    "labels": ["reliable"],
    "identity": "app-1:71:abc",
    "version": "8.1.7",
    "embedded": False,
}
INFO_7 = {
    "hostname": "app-1",
    "started_at": 1795296945.5,
    "pid": 71,
    "tag": "shop",
    "concurrency": 5,
    "queues": ["high", "low"],
    "weights": [{"high": 3, "low": 1}],
    "labels": [],
    "identity": "app-1:71:abc",
    "version": "7.3.10",
    "embedded": False,
}


def register(raw: Raw, identity: str, info: Any, **fields: Any) -> None:
    now_s = wire.now_ms() / 1000
    text = info if isinstance(info, bytes) else json.dumps(info)
    raw.sadd("processes", identity)
    raw.hset(identity, mapping={"info": text, "busy": 1, "beat": now_s - 4, **fields})


def test_a_process_of_sidekiq_8_is_told_whole(raw: Raw, access: Access):
    fields = {"concurrency": 5, "quiet": "true", "rss": 81920, "rtt_us": 300}
    register(raw, "app-1:71:abc", INFO_8, **fields)
    (process,) = ProcessSet(access=access)

    assert (process.hostname, process.pid, process.tag) == ("app-1", 71, "shop")
    assert (process.labels, process.version) == (("reliable",), "8.1.7")
    assert process.started_at is not None
    assert process.started_at.timestamp() == 1795296945.5
    assert (process.concurrency, process.busy) == (5, 1)
    assert (process.rss_kb, process.rtt_us) == (81920, 300)
    assert 3 < process.beat_age_s < 60
    assert process.is_quiet
    assert process.is_stopping
    assert (process.is_embedded, process.is_leader, process.is_jobd) == (False, False, False)
    assert process.queues == ("high", "low", "reports")
    assert process.weights == {"high": 3, "low": 1, "reports": 0}
    assert [(each.name, each.mode) for each in process.capsules] == [
        ("default", "weighted"),
        ("slow", "strict"),
    ]
    assert process.instance() is None
    assert json.loads(json.dumps(process.as_dict()))["identity"] == "app-1:71:abc"


def test_a_process_of_sidekiq_7_keeps_its_concurrency_in_the_info(raw: Raw, access: Access):
    register(raw, "app-1:71:abc", INFO_7)
    (process,) = ProcessSet(access=access)

    assert (process.concurrency, process.weights) == (5, {"high": 3, "low": 1})
    assert [(each.name, each.concurrency) for each in process.capsules] == [("default", 5)]


@pytest.mark.parametrize(
    "info",
    [b"", b"{bad", b"[]", b'"text"', b"\xff\xfe", b"null", b'{"queues":5,"weights":"x"}'],
)
def test_a_broken_info_is_a_process_of_which_little_is_known(raw: Raw, access: Access, info: bytes):
    register(raw, "app-1:71:abc", info, busy="many", beat="never", rss="", rtt_us=b"\xff")
    register(raw, "app-2:72:def", INFO_8)

    broken, whole = ProcessSet(access=access)

    assert (broken.identity, broken.tag, broken.busy, broken.rss_kb) == ("app-1:71:abc", "", 0, 0)
    assert (broken.queues, broken.beat_at) == ((), None)
    assert whole.tag == "shop"


def test_all_processes_are_added_up_and_those_without_a_heartbeat_are_not_there(
    raw: Raw, access: Access
):
    register(raw, "b:1:x", INFO_8, concurrency=5, rss=100)
    register(raw, "a:1:x", INFO_7, rss=200)
    raw.sadd("processes", "gone:1:x")
    processes = ProcessSet(access=access)

    assert [each.identity for each in processes] == ["a:1:x", "b:1:x"]
    assert (processes.total_concurrency, processes.total_rss_kb, processes.size) == (10, 300, 3)
    assert processes["a:1:x"].identity == "a:1:x"
    assert processes.find("gone:1:x") is None
    with pytest.raises(KeyError, match="gone:1:x"):
        processes["gone:1:x"]


def test_a_cleanup_strikes_the_dead_once_a_minute(raw: Raw, access: Access):
    register(raw, "a:1:x", INFO_8)
    raw.sadd("processes", "gone:1:x", "gone:2:x")
    processes = ProcessSet(access=access)

    assert processes.cleanup() == 2
    raw.sadd("processes", "gone:3:x")
    assert processes.cleanup() == 0
    assert raw.smembers("processes") == {b"a:1:x", b"gone:3:x"}


def test_the_leader_is_the_one_that_enterprise_elected(raw: Raw, access: Access):
    register(raw, "a:1:x", INFO_8)
    register(raw, "b:1:x", INFO_8)
    processes = ProcessSet(access=access)
    assert processes.leader is None

    raw.set("dear-leader", "b:1:x")

    assert processes.leader == "b:1:x"
    assert [each.is_leader for each in processes] == [False, True]


def test_remote_commands_are_left_as_sidekiq_leaves_them(raw: Raw, access: Access):
    register(raw, "a:1:x", INFO_8)
    (process,) = ProcessSet(access=access)

    process.quiet()
    process.stop()
    process.dump()

    assert raw.lrange("a:1:x-signals", 0, -1) == [b"TTIN", b"TERM", b"TSTP"]
    assert 0 < raw.ttl("a:1:x-signals") <= 60


def test_a_ruby_process_cannot_take_jobs_again(raw: Raw, access: Access):
    register(raw, "a:1:x", INFO_8)
    (process,) = ProcessSet(access=access)

    with pytest.raises(CannotAct, match="a Ruby Sidekiq, which cannot take jobs again"):
        process.resume()
    assert not raw.exists("a:1:x-signals")


@pytest.mark.parametrize("command", ["quiet", "stop", "dump"])
def test_an_embedded_process_obeys_nothing(raw: Raw, access: Access, command: str):
    register(raw, "a:1:x", {**INFO_8, "embedded": True})
    (process,) = ProcessSet(access=access)

    with pytest.raises(CannotAct, match="inside another program"):
        getattr(process, command)()
    assert not raw.exists("a:1:x-signals")


def test_signals_of_the_wrong_type_are_a_refusal(raw: Raw, access: Access):
    register(raw, "a:1:x", INFO_8)
    raw.set("a:1:x-signals", "text")
    (process,) = ProcessSet(access=access)

    with pytest.raises(Exception, match="WRONGTYPE"):
        process.quiet()
    assert ProcessSet(access=access).size == 1


# Running jobs


def test_running_jobs_come_with_those_that_run_longest_first(raw: Raw, access: Access):
    for identity, started in (("a:1:x", 1_795_000_300), ("b:1:x", 1_795_000_100)):
        register(raw, identity, INFO_8)
        work = {
            "queue": "low",
            "payload": a_job("Echo", 2**70, jid=identity).decode(),
            "run_at": started,
        }
        raw.hset(f"{identity}:work", "tid1", json.dumps(work))
    works = WorkSet(access=access)

    assert [work.process for work in works] == ["b:1:x", "a:1:x"]
    assert (works.size, len(works)) == (2, 2)
    found = works.find("a:1:x")
    assert found is not None
    assert (found.tid, found.queue, found.record.args) == ("tid1", "low", [2**70])
    assert found.run_at is not None
    assert found.run_at.timestamp() == 1_795_000_300
    assert not found.record.delete()
    assert json.dumps(found.as_dict())
    assert works.find("nobody") is None


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"{bad",
        b"[]",
        b"\xff",
        b'{"payload":5,"queue":5,"run_at":"x"}',
        b'{"payload":"\xff","run_at":1e300}',
    ],
)
def test_a_broken_work_entry_is_a_job_of_which_nothing_is_known(
    raw: Raw, access: Access, told: bytes
):
    register(raw, "a:1:x", INFO_8)
    raw.hset("a:1:x:work", "tid1", told)

    (work,) = WorkSet(access=access)

    assert work.record.is_malformed
    assert work.run_at is None
    assert json.dumps(work.as_dict())


def test_jobs_stand_where_sidekiq_6_tells_them_or_in_both_places(raw: Raw, access: Access):
    register(raw, "a:1:x", INFO_8)
    works = {
        tid: json.dumps({"queue": "low", "payload": wire.encode(wire.a_payload(tid)).decode()})
        for tid in ("Old", "Both")
    }
    raw.hset("a:1:x:workers", mapping=works)
    raw.hset("a:1:x:work", "Both", works["Both"])

    assert {work.record.class_name for work in WorkSet(access=access)} == {"Old", "Both"}
    assert WorkSet(access=access).size == 2


def test_how_long_a_running_job_may_run_is_told_as_its_instance_knows_it(raw: Raw, access: Access):
    for identity, limits in (("a:1:x", '{"1.0.1":30,"2.0.1":"x"}'), ("b:1:x", "[bad")):
        register(raw, identity, INFO_8)
        raw.hset(f"jobd:instance:{identity}", "limits", limits)
        for tid in ("1.0.1", "2.0.1"):
            told = json.dumps({"queue": "low", "payload": a_job().decode(), "run_at": 1})
            raw.hset(f"{identity}:work", tid, told)

    limits_of = {(work.process, work.tid): work.time_limit for work in WorkSet(access=access)}

    assert limits_of.pop(("a:1:x", "1.0.1")) == 30.0
    assert len(limits_of) == 3
    assert set(limits_of.values()) == {None}


def test_how_far_a_running_iterable_job_has_come_is_told(raw: Raw, access: Access):
    register(raw, "a:1:x", INFO_8)
    for tid, name in (("1.0.1", "Rows"), ("2.0.1", "Echo")):
        payload = wire.encode(wire.a_payload(name, jid=name)).decode()
        told = json.dumps({"queue": "default", "payload": payload, "run_at": 1_795_000_300})
        raw.hset("a:1:x:work", tid, told)
    raw.hset("it-Rows", mapping={"ex": 2, "c": "[7]", "rt": "1.5", "n": 7})

    by_name = {work.record.class_name: work for work in WorkSet(access=access)}

    assert by_name["Echo"].iteration is None
    state = by_name["Rows"].iteration
    assert state is not None
    assert (state.cursor, state.items, state.executions) == ([7], 7, 2)
    assert by_name["Rows"].as_dict()["iteration"]["items"] == 7


def test_nothing_runs_where_nobody_is(access: Access):
    assert list(WorkSet(access=access)) == list(ProcessSet(access=access)) == []


# jobd itself


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_a_jobd_tells_its_workers_and_obeys(raw: Raw, access: Access, start_jobd: StartJobd):
    jobd = start_jobd(config={"concurrency": 2})
    jid = wire.push(raw, "Nap", 60)
    (process,) = eventually(lambda: list(ProcessSet(access=access)), message=jobd.log)
    # It is there from its first heartbeat on, which may come before the second worker.
    eventually(lambda: len(process.instance().workers) == 2, message=jobd.log)

    assert process.is_jobd
    assert process.concurrency == 2
    instance = process.instance()
    assert instance is not None
    assert (instance.state, instance.pid) == ("running", process.pid)
    assert [worker.slot for worker in instance.workers] == [1, 2]
    assert instance.restarts == 0
    assert json.dumps(instance.as_dict())
    work = eventually(lambda: WorkSet(access=access).find(jid), message=jobd.log)
    assert (work.record.class_name, work.queue) == ("Nap", "default")

    process.quiet()
    wire.have_them_beat(raw)
    eventually(lambda: ProcessSet(access=access)[process.identity].is_quiet, message=jobd.log)
    process.resume()
    wire.have_them_beat(raw)
    eventually(
        lambda: not ProcessSet(access=access)[process.identity].is_quiet,
        message=jobd.log,
    )
