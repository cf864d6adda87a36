"""What is shown of the server, the queues, the jobs and the processes."""

import json

import pytest

from tests.ctl.conftest import Captured, Say, answer
from tests.support import wire
from tests.support.servers import Raw

INFO = {
    "hostname": "app-1",
    "pid": 71,
    "tag": "shop",
    "version": "8.1.0",
    "queues": ["default", "low"],
}


def test_status_tells_server_queues_and_processes(
    say: Say, raw: Raw, redis_url: str, capsys: Captured
) -> None:
    wire.push(raw, "Echo")
    wire.push(raw, "Echo", queue="low")
    wire.schedule(raw, 100, "Echo")
    raw.sadd("paused", "low")
    raw.set("stat:processed", 1234)
    raw.sadd("processes", "app-1:71:abc", "gone:1:def")
    beat = {"concurrency": 5, "busy": 2, "beat": wire.now_ms() / 1000 - 4, "rss": 81920}
    raw.hset("app-1:71:abc", mapping={"info": json.dumps(INFO), "quiet": "true", **beat})
    assert say("status") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{redis_url}  (valkey 9.")
    assert "database 0)" in text
    assert "processed 1,234  failed 0  busy 2  enqueued 2  scheduled 1" in text
    words = [line.split() for line in text.splitlines()]
    assert ["app-1:71:abc", "shop", "2", "of", "5", "80", "MB"] in [line[:7] for line in words]
    assert ["quiet", "default,", "low"] in [line[-3:] for line in words]
    assert "gone:1:def" not in text
    assert ["low", "1", "paused"] in [[*line[:2], *line[-1:]] for line in words]


def test_status_in_json_has_the_same(say: Say, raw: Raw, capsys: Captured) -> None:
    wire.push(raw, "Echo")
    assert say("--json", "status") == 0
    found = answer(capsys)
    assert found["redis"]["kind"] == "valkey"
    assert [queue["name"] for queue in found["queues"]] == ["default"]
    assert found["processes"] == []


def test_status_masks_the_password(
    say: Say, raw: Raw, redis_url: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw.acl_setuser("ops", enabled=True, passwords=["+secret"], commands=["+@all"], keys=["*"])
    monkeypatch.setenv("REDIS_URL", redis_url.replace("://", "://ops:secret@"))
    assert say("status") == 0
    text = capsys.readouterr().out
    assert "ops:***@" in text
    assert "secret" not in text
    raw.acl_deluser("ops")


def test_an_empty_server_is_told_in_words(say: Say, capsys: Captured) -> None:
    assert say("status") == 0
    text = capsys.readouterr().out
    assert "no queues yet" in text
    assert "no jobd is running here" in text
    for place, words in (
        ("schedule", "no jobs are scheduled"),
        ("retry", "no jobs wait to be retried"),
        ("dead", "no jobs are dead"),
    ):
        assert say("jobs", place) == 0
        assert capsys.readouterr().out == f"{words}\n"


@pytest.mark.parametrize("enqueued_at", [-90_000, -90.0], ids=["milliseconds", "float seconds"])
def test_latency_is_the_age_of_the_job_that_runs_next(
    say: Say, raw: Raw, capsys: Captured, enqueued_at: float
) -> None:
    now = wire.now_ms() if isinstance(enqueued_at, int) else wire.now_ms() / 1000
    raw.sadd("queues", "default")
    raw.lpush("queue:default", wire.encode(wire.a_payload(enqueued_at=now + enqueued_at)))
    wire.push(raw, "Echo")
    assert say("queues", "--json") == 0
    (queue,) = answer(capsys)
    assert queue["size"] == 2
    assert 90 <= queue["latency_s"] < 100


def test_jobs_shows_a_page_of_a_queue_those_first_that_run_next(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    for number in range(5):
        wire.push(raw, "Echo", number)
    assert say("jobs", "default", "--size", "2", "--page", "2", "--json") == 0
    assert [job["payload"]["args"] for job in answer(capsys)] == [[2], [3]]
    assert say("jobs", "default", "--size", "2", "--page", "3", "--json") == 0
    assert [job["payload"]["args"] for job in answer(capsys)] == [[4]]
    assert say("jobs", "default", "--size", "2") == 0
    assert "1 to 2 of 5; see --page" in capsys.readouterr().out


def test_jobs_of_a_set_have_their_time_and_error(say: Say, raw: Raw, capsys: Captured) -> None:
    wire.schedule(raw, 100, "Echo")
    failed = wire.a_payload("Boom", error_class="ValueError", error_message="no such mood")
    raw.zadd("dead", {wire.encode(failed): 1_800_000_000, wire.encode(wire.a_payload("Old")): 1})
    assert say("jobs", "schedule", "--json") == 0
    assert answer(capsys)[0]["at"] > wire.now_ms() / 1000
    assert say("jobs", "dead") == 0
    head, newest, oldest = capsys.readouterr().out.splitlines()
    assert head.split() == ["died", "jid", "class", "queue", "arguments", "error"]
    assert newest.startswith("2027-01-15T08:00:00Z")
    assert newest.endswith("ValueError: no such mood")
    assert "Old" in oldest


def test_what_is_no_job_is_shown_without_moving_the_cursor(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    raw.lpush("queue:default", b"\x1b[2Jbad\xff{")
    assert say("jobs", "default") == 0
    text = capsys.readouterr().out
    assert "not a job" in text
    assert "\x1b" not in text
    assert say("jobs", "default", "--json") == 0
    assert answer(capsys) == [{"queue": "default", "raw": "\x1b[2Jbad\\xff{"}]
