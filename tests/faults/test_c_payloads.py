"""C: what lies in Redis is not what it should be. Bad input hurts only itself."""

import signal
from typing import Any

import pytest

from tests.faults.conftest import StartRigged
from tests.faults.stage import PATIENCE_S, Stage
from tests.support import wire
from tests.support.eventually import eventually

pytestmark = [pytest.mark.redis, pytest.mark.process]

NO_JOBS = {
    "no JSON": b"not json",
    "cut off": b'{"class":"Echo","args":[1',
    "an empty text": b"",
    "NUL": b"\x00",
    "a list": b"[]",
    "a number": b"7",
    "a text": b'"Echo"',
    "null": b"null",
    "nothing in it": b"{}",
    "no class": b'{"args":[],"jid":"a"}',
    "class is a number": b'{"class":7,"args":[],"jid":"a"}',
    "args are a text": b'{"class":"Echo","args":"abc","jid":"a"}',
    "args are a hash": b'{"class":"Echo","args":{"a":1},"jid":"a"}',
    "no UTF-8": b'{"class":"Echo","args":["\xff\xfe"],"jid":"a"}',
    "deep": b"[" * 100_000,
    "deep in args": b'{"class":"Echo","jid":"a","args":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}
# Readers may differ over these: they run, or are buried, and that is all.
ODD_JOBS = {
    "a key twice": b'{"class":"Nobody","class":"Echo","args":[],"jid":"odd"}',
    "NaN": b'{"class":"Echo","args":[NaN, Infinity],"jid":"odd"}',
    "a lone surrogate": rb'{"class":"Echo","args":["\ud800"],"jid":"odd"}',
    "NUL in a text": rb'{"class":"Echo","args":["\u0000"],"jid":"odd"}',
    "a large number": b'{"class":"Echo","args":[1e999, ' + b"9" * 5000 + b'],"jid":"odd"}',
    "jid is a number": b'{"class":"Echo","args":[],"jid":7}',
    "jid is a list": b'{"class":"Echo","args":[],"jid":[1]}',
    "no jid": b'{"class":"Echo","args":[]}',
    "retry is a hash": b'{"class":"Fail","args":["odd"],"jid":"odd","retry":{}}',
    "retry is negative": b'{"class":"Fail","args":["odd"],"jid":"odd","retry":-1}',
    "retry is huge": b'{"class":"Fail","args":["odd"],"jid":"odd","retry":1e300}',
    "retry_count is a text": b'{"class":"Fail","args":[],"jid":"odd","retry_count":"x"}',
    "recovered is a text": b'{"class":"Echo","args":[],"jid":"odd","recovered":"x"}',
    "queue is a number": b'{"class":"Fail","args":["odd"],"jid":"odd","queue":7,"retry":2}',
    "class is no name": b'{"class":"__import__(\'os\')","args":[],"jid":"odd"}',
    "class has dots": b'{"class":"os.system","args":["true"],"jid":"odd"}',
    "too many args": b'{"class":"Hold","args":[1,2,3],"jid":"odd"}',
    "times are texts": b'{"class":"Fail","args":[],"jid":"odd","enqueued_at":"x","failed_at":[]}',
}


def drained(stage: Stage) -> bool:
    return not stage.raw.exists("queue:default") and not wire.privates(stage.raw)


@pytest.mark.parametrize("name", NO_JOBS)
def test_C1_what_is_no_job_is_buried_as_it_is_and_the_next_job_runs(stage: Stage, name: str):
    before = {child.pid for child in stage.jobd.children()}
    stage.raw.lpush("queue:default", NO_JOBS[name])

    stage.push("Echo")
    stage.wait_for("done")
    eventually(lambda: stage.raw.zcard("dead") == 1, PATIENCE_S, stage.last_lines)

    assert stage.raw.zrange("dead", 0, -1) == [NO_JOBS[name]]
    assert {child.pid for child in stage.jobd.children()} == before


@pytest.mark.parametrize("name", NO_JOBS)
def test_C1_what_is_no_job_and_due_is_buried_and_holds_no_other_up(stage: Stage, name: str):
    for zset in ("schedule", "retry"):
        stage.raw.zadd(zset, {NO_JOBS[name]: 1})
    stage.expect(wire.schedule(stage.raw, -1, "Echo"))

    stage.wait_for("done")
    eventually(
        lambda: not stage.raw.exists("schedule", "retry") and stage.raw.exists("dead"),
        PATIENCE_S,
        stage.last_lines,
    )

    assert stage.raw.zrange("dead", 0, -1) == [NO_JOBS[name]]


@pytest.mark.parametrize("name", ODD_JOBS)
def test_C1_odd_job_hurts_nobody(stage: Stage, name: str):
    before = {child.pid for child in stage.jobd.children()}
    stage.raw.lpush("queue:default", ODD_JOBS[name])

    stage.push("Echo")
    stage.wait_for("done")

    eventually(lambda: drained(stage), PATIENCE_S, stage.last_lines)
    assert {child.pid for child in stage.jobd.children()} == before
    assert stage.raw.zcard("dead") + stage.raw.zcard("retry") <= 1


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "builtins.eval", "Nobody"])
def test_C2_job_that_nobody_defines_is_retried(stage: Stage, name: str):
    jid = stage.push(name, "true")

    eventually(lambda: stage.places().get(jid) == ["retry"], PATIENCE_S, stage.last_lines)

    assert repr(name) in wire.entries(stage.raw, "retry")[0]["error_message"]


def test_C3_job_of_twenty_megabytes_runs(stage: Stage):
    stage.push("Echo", "x" * 20_000_000)

    stage.wait_for("done")


def test_C3_large_job_that_kills_its_worker_is_buried_unparsed_at_once(stage: Stage):
    """To parse it might kill the poller, too."""
    jid = stage.push("Do", "import os; os._exit(3)\n" + "#" * 20_000_000)

    eventually(lambda: stage.raw.zcard("dead") == 1, PATIENCE_S, stage.last_lines)

    assert stage.places()[jid] == ["dead"]
    assert len(stage.runs("start", jid)) == 1


def test_C3_a_million_arguments_run(stage: Stage):
    stage.push("Echo", *([0] * 1_000_000))

    stage.wait_for("done")


def test_C4_due_times_without_sense_stop_no_poller_and_hold_no_other_up(stage: Stage):
    for score in ("-1", "0", "-inf", "-1e300"):
        payload = wire.a_payload("Echo", score, at=score)
        stage.raw.zadd("schedule", {wire.encode(payload): score})
        stage.expect(payload["jid"])
    late: list[dict[str, Any]] = [wire.a_payload("Echo", at=at) for at in (1e18, None, [], "x")]
    for payload, score in zip(late, ("1e18", "inf", "1e300", "9e15"), strict=True):
        stage.raw.zadd("schedule", {wire.encode(payload): score})

    stage.wait_for("done")

    for payload in late:
        stage.expect(payload["jid"])
    places = stage.places()
    assert [places[payload["jid"]] for payload in late] == [["schedule"]] * 4


@pytest.mark.long
def test_C5_hundred_thousand_due_at_once_are_promoted_in_slices_and_hold_no_stop_up(
    stage: Stage, start_rigged: StartRigged
):
    jobd = start_rigged(stage.server.url(), config={"queues": ["apart"]})
    payloads = [wire.encode(wire.a_payload("Echo", queue="parked")) for _ in range(100_000)]
    for zset in ("schedule", "retry"):
        for start in range(0, len(payloads), 10_000):
            stage.raw.zadd(zset, dict.fromkeys(payloads[start : start + 10_000], 1))
    eventually(lambda: stage.raw.llen("queue:parked") > 1_000, message=jobd.log)

    assert jobd.stop(timeout=5) == 0

    eventually(lambda: stage.raw.llen("queue:parked") == 200_000, 90, stage.last_lines)
    assert not stage.raw.exists("schedule", "retry")


NAMES = [
    "a:b",
    "with space",
    "glob*?[a]",
    "ü",
    "line\nfeed",
    "{tag}",
    "x" * 10_000,
    "1.0.1:default",
]


@pytest.mark.parametrize("name", NAMES)
def test_C6_promotion_to_a_queue_of_any_name_reaches_that_queue_and_no_other_key(
    stage: Stage, name: str
):
    before = {key for key in stage.raw.scan_iter() if stage.raw.type(key) == b"list"}
    payload = wire.a_payload("Echo", queue=name)
    stage.raw.zadd("schedule", {wire.encode(payload): 1})
    stage.expect(payload["jid"])

    eventually(lambda: stage.raw.llen(f"queue:{name}") == 1, PATIENCE_S, stage.last_lines)

    after = {key for key in stage.raw.scan_iter() if stage.raw.type(key) == b"list"}
    assert after - before == {f"queue:{name}".encode()}


def test_C6_private_lists_of_queues_with_colons_are_recovered(
    stage: Stage, start_rigged: StartRigged
):
    config = {"queues": ["co:lon:1.0.1", "co"], "concurrency": 1}
    jobd = start_rigged(stage.server.url(), config=config)
    jid = wire.push(stage.raw, "Hold", "colon", queue="co:lon:1.0.1")
    (run,) = eventually(lambda: jobd.ran("start"), message=jobd.log)

    stage.kill(run["pid"], signal.SIGKILL)
    eventually(lambda: len(jobd.ran("start")) == 2, message=jobd.log)
    jobd.release("colon")

    eventually(lambda: [run["jid"] for run in jobd.ran()] == [jid], message=jobd.log)
    assert jobd.stop() == 0
    assert wire.privates(stage.raw) == []
