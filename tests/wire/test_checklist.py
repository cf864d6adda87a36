"""The conformance checklist of Sidekiq's wire format, item by item, as it is tested from outside.

An item is shown by tests here, or by those that the table names; the run of this file fails when
one of them is no more.
"""

import ast
import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd.api import Access, Queue
from jobd.app import App
from jobd.config import RedisSettings
from jobd.connection import Connection
from jobd.errors import InvalidArguments
from jobd.fleet import Fleet
from jobd.keys import Keys
from jobd.store import Store
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.recording_store import RecordingStore
from tests.support.ruby import Ruby
from tests.support.servers import Raw

TESTS = Path(__file__).parent.parent

SHOWN_BY: dict[str, tuple[str, ...]] = {
    "1 push in one, run in the other, the hashes after one failure": (
        "test_interop_ruby.py::test_job_pushed_by_jobd_runs_in_ruby",
        "test_interop_ruby.py::test_job_pushed_by_ruby_runs_in_jobd",
        "wire/test_checklist.py::test_1_a_failure_leaves_the_same_hash_in_both",
    ),
    "2 float and int times at the head of a queue": (
        "wire/test_checklist.py::test_2_float_and_int_times_show_the_same_latency",
    ),
    "3 a backtrace of one, decoded in the other": (
        "test_interop_ruby.py::test_ruby_reads_what_failed_in_jobd",
        "test_interop_shared.py::test_jobd_api_reads_and_changes_what_ruby_wrote",
    ),
    "4 bad JSON lands in dead, and no counter moves": (
        (
            "faults/test_c_payloads.py::"
            "test_C1_what_is_no_job_is_buried_as_it_is_and_the_next_job_runs"
        ),
        "worker/test_processor.py::test_what_is_no_job_is_buried_as_it_is",
    ),
    "5 retry 0, false, 3, dead false, retry_for": (
        "wire/test_checklist.py::test_5_where_a_failed_job_goes",
        (
            "worker/test_processor.py::"
            "test_with_retry_false_nothing_is_kept_and_death_handlers_hear_of_it"
        ),
        "worker/test_processor_hooks.py::test_a_death_may_leave_nothing_behind",
    ),
    "6 TERM gives the unchanged job back to run next": (
        "server/test_shown_by.py::test_term_gives_a_long_job_back_unchanged_to_run_next",
    ),
    "7 TSTP by way of Redis": (
        (
            "server/test_signals_and_titles.py::"
            "test_commands_that_come_through_redis_quiet_and_stop_the_server"
        ),
        "test_interop_web.py::test_the_buttons_of_the_busy_page_quiet_and_stop_the_fleet",
    ),
    "8 SIGKILL: gone from the Busy page": (
        "wire/test_checklist.py::test_8_a_killed_instance_vanishes_with_its_heartbeat",
        (
            "conformance/test_fleet.py::"
            "test_a_sweep_strikes_those_without_a_heartbeat_at_most_once_a_minute"
        ),
    ),
    "9 the limit of the dead set (10,000 here, as the setting says)": (
        "wire/test_checklist.py::test_9_of_10_050_dead_jobs_one_death_leaves_10_000",
    ),
    "10 two systems count as two processes": (
        "wire/test_checklist.py::test_10_an_instance_counts_as_one_process_beside_a_ruby_one",
    ),
    "11 metrics after one job, byte for byte": (
        "wire/test_checklist.py::test_11_one_job_leaves_the_metrics_of_one_job",
        ("conformance/test_fleet.py::test_a_beat_adds_to_the_metrics_byte_for_byte_as_sidekiq_8"),
    ),
    "12 nesting of 100 and NaN are refused at the push": (
        "wire/test_checklist.py::test_12_what_ruby_could_not_parse_is_refused_at_the_push",
    ),
}


@pytest.mark.parametrize("item", SHOWN_BY)
def test_every_item_is_shown_by_tests_that_exist(item: str):
    for name in SHOWN_BY[item]:
        path, _, function = name.partition("::")
        nodes = ast.parse((TESTS / path).read_text()).body
        assert function in {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def test_no_item_is_left_out():
    assert [int(item.split()[0]) for item in SHOWN_BY] == list(range(1, 13))


@pytest.fixture
def ruby(redis_url: str, tmp_path: Path) -> Ruby:
    return Ruby(redis_url, tmp_path)


@pytest.fixture
def connection(redis_url: str) -> Iterator[Connection]:
    with contextlib.closing(Connection(RedisSettings(url=redis_url))) as made:
        yield made


def shape(job: dict[str, Any]) -> dict[str, Any]:
    """The payload, but of what differs from run to run only the type."""
    moving = {"jid", "created_at", "enqueued_at", "failed_at", "error_backtrace"}
    return {name: type(value) if name in moving else value for name, value in job.items()}


@pytest.mark.process
@pytest.mark.slow
def test_1_a_failure_leaves_the_same_hash_in_both(ruby: Ruby, raw: Raw, start_jobd: StartJobd):
    options = {"backtrace": True, "retry": 3, "tags": ["a"], "of_others": {"kept": []}}
    ruby.push("Fail", "fail", **options)
    with ruby.worker(["Fail"]) as worker:
        (of_ruby,) = eventually(lambda: wire.entries(raw, "retry"), message=worker.log)
    raw.delete("retry")
    ruby.push("Fail", "fail", **options)
    jobd = start_jobd(config={"wire": 7})
    (of_jobd,) = eventually(lambda: wire.entries(raw, "retry"), message=jobd.log)

    of_ruby["error_message"] = of_jobd["error_message"]  # the two classes word it differently
    assert shape(of_jobd) == shape(of_ruby)


def test_2_float_and_int_times_show_the_same_latency(ruby: Ruby, raw: Raw, connection: Connection):
    since_ms = wire.now_ms() - 100_000
    wire_job = wire.a_payload("Echo", queue="ints") | {"enqueued_at": since_ms}
    raw.lpush("queue:ints", wire.encode(wire_job))
    raw.lpush("queue:floats", wire.encode(wire_job | {"enqueued_at": since_ms / 1000}))
    raw.sadd("queues", "ints", "floats")

    access = Access(redis=connection)
    ints, floats = (Queue(name, access=access).latency_s for name in ("ints", "floats"))
    of_ruby = ruby.call("queues")["floats"]["latency"]

    assert 100 <= ints <= floats < 130
    assert 100 <= of_ruby < 130


@pytest.mark.process
@pytest.mark.slow
def test_5_where_a_failed_job_goes(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd()
    first = {"failed_at": wire.now_ms() - 100_000, "retry_count": 2}
    cases: dict[str, tuple[dict[str, Any], str | None]] = {
        "retry 0": ({"retry": 0}, "dead"),
        "retry false": ({"retry": False}, None),
        "retry 3, the first time": ({"retry": 3}, "retry"),
        "retry 3, the third time": ({"retry": 3} | first, "dead"),
        "dead false": ({"retry": 0, "dead": False}, None),
        "retry_for, within": ({"retry_for": 200, "retry": 0} | first, "retry"),
        "retry_for, over": ({"retry_for": 50} | first, "dead"),
        "retry_for, never the first": ({"retry_for": 1}, "retry"),
    }
    for what, (fields, _) in cases.items():
        wire.push(raw, "Fail", what, **fields)

    eventually(lambda: len(jobd.ran("start")) == len(cases), message=jobd.log)
    assert jobd.stop() == 0

    places = {
        job["args"][0]: (place, job["retry_count"])
        for place in ("retry", "dead")
        for job in wire.entries(raw, place)
    }
    assert {what: place for what, (place, _) in places.items()} == {
        what: place for what, (_, place) in cases.items() if place
    }
    assert places["retry 3, the third time"][1] == 3
    assert places["retry 0"][1] == 0
    assert raw.mget("stat:processed", "stat:failed") == [b"8", b"8"]


@pytest.mark.process
@pytest.mark.slow
def test_8_a_killed_instance_vanishes_with_its_heartbeat(
    ruby: Ruby, raw: Raw, start_jobd: StartJobd, connection: Connection
):
    jobd = start_jobd(config={"wire": 7})
    (identity,) = eventually(lambda: raw.smembers("processes"), message=jobd.log)
    assert 0 < raw.ttl(identity) <= 60
    raw.delete("process_cleanup")  # the killed instance has swept within this minute itself
    jobd.signal(signal.SIGSTOP)  # or it would replace them
    for child in jobd.children():
        os.kill(child.pid, signal.SIGKILL)
    jobd.kill9()

    assert raw.smembers("processes") == {identity}
    raw.pexpire(identity, 1)  # as the minute's end does
    eventually(lambda: not raw.exists(identity))
    assert ruby.call("processes")["processes"] == []
    raw.sadd("processes", identity)
    raw.delete("process_cleanup")
    Fleet(connection, Keys()).sweep()
    assert raw.smembers("processes") == set()


def test_9_of_10_050_dead_jobs_one_death_leaves_10_000(raw: Raw, connection: Connection):
    now_s = wire.now_ms() / 1000
    raw.zadd("dead", {f"job {number}": now_s - 100 + number / 1000 for number in range(10_050)})
    limits = {"max_jobs": 10_000, "timeout_s": 15_552_000}
    Store(connection, Keys()).bury(None, b"", b"the last", now_s=now_s, **limits)
    assert raw.zcard("dead") == 10_000
    assert raw.zrange("dead", -1, -1) == [b"the last"]
    assert raw.zrange("dead", 0, 0) == [b"job 51"]


@pytest.mark.process
@pytest.mark.slow
def test_10_an_instance_counts_as_one_process_beside_a_ruby_one(
    ruby: Ruby, raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(config={"wire": 7, "concurrency": 3})
    with ruby.worker(["Echo"]) as worker:
        # What Ruby's pollers multiply their interval by.
        eventually(lambda: raw.scard("processes") == 2, message=worker.log)
        assert ruby.call("stats")["processes_size"] == 2
        found = ruby.call("processes")["processes"]
        assert sorted(process["concurrency"] for process in found) == [1, 3]
    assert jobd.stop() == 0


@pytest.mark.process
def test_11_one_job_leaves_the_metrics_of_one_job(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd()
    wire.push(raw, "Echo")
    eventually(jobd.ran, message=jobd.log)
    assert jobd.stop() == 0

    minute, ten_minutes = sorted(raw.keys("j|*"), key=len, reverse=True)
    (histogram,) = raw.keys("h|*")
    assert re.fullmatch(rb"j\|\d{6}\|(0|1?[1-9]|10|2[0-3]):\d\d", minute)
    assert ten_minutes == minute[:-1]
    assert re.fullmatch(rb"h\|Echo-[1-9]\d?-(0|1?[1-9]|10|2[0-3]):(0|[1-9]\d?)", histogram)
    fields = raw.hgetall(minute)
    assert fields == raw.hgetall(ten_minutes)
    assert fields[b"Echo|p"] == b"1"
    assert set(fields) <= {b"Echo|p", b"Echo|ms"}
    counters = raw.execute_command(
        "BITFIELD_RO", histogram, *(part for i in range(26) for part in ("GET", "u16", f"#{i}"))
    )
    assert (len(counters), sum(counters)) == (26, 1)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("argument", [float("nan"), float("inf"), nested(99)])
def test_12_what_ruby_could_not_parse_is_refused_at_the_push(argument: Any):
    app = App(open_store=lambda _: RecordingStore())
    with pytest.raises(InvalidArguments):
        app.client.push({"class": "Echo", "args": [argument]})


def test_12_what_ruby_just_can_parse_is_pushed(ruby: Ruby, raw: Raw, redis_url: str):
    app = App()
    app.redis = RedisSettings(url=redis_url)
    jid = app.client.push({"class": "Echo", "args": [nested(98)]})
    assert ruby.call("delete", jid) == 1
    assert raw.llen("queue:default") == 0
