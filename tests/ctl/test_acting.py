"""Jobs retried, deleted, killed and rescheduled, by jid and all that filters mean."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ctl.conftest import (
    Captured,
    Say,
    a_process,
    answer,
    buried,
    failed,
    on_a_terminal,
    running,
)
from tests.support import wire
from tests.support.proxy import Proxy
from tests.support.servers import Raw

IDENTITY = "app-1:71:4923bbd8fa3d"


@pytest.fixture
def nobody_there(monkeypatch: pytest.MonkeyPatch):
    """A stdin that is no terminal."""
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        yield


def classes(jobs: list[dict[str, object]]) -> list[object]:
    return sorted(job["class"] for job in jobs)


# Cancelled


def test_cancel_takes_a_job_out_of_where_it_waits_and_remembers_it(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    queued, later = wire.push(raw, "Echo", queue="low"), failed(raw)
    assert say("cancel", queued, later, "--yes") == 0
    assert capsys.readouterr().out == (
        f"{queued}: cancelled, was in queue low\n{later}: cancelled, was in retry\n"
    )
    assert not raw.exists("queue:low", "retry", "dead")
    assert set(raw.zrange("jobd:cancelled", 0, -1)) == {queued.encode(), later.encode()}


def test_cancel_tells_which_process_runs_the_job(say: Say, raw: Raw, capsys: Captured) -> None:
    a_process(raw, IDENTITY)
    jid = running(raw, IDENTITY)
    assert say("cancel", jid, "--yes", "--json") == 0
    (told,) = answer(capsys)
    assert (told["jid"], told["where"], told["done"]) == (jid, "running", True)
    assert told["text"] == f"cancelled, runs on {IDENTITY} and is ended"


@pytest.mark.parametrize("is_jobd", [True, False])
def test_cancel_now_has_the_worker_of_a_running_job_killed_where_that_is_jobds(
    say: Say, raw: Raw, capsys: Captured, is_jobd: bool
) -> None:
    a_process(raw, IDENTITY, is_jobd=is_jobd)
    jid = running(raw, IDENTITY)
    assert say("cancel", jid, "--now", "--yes") == 0
    assert ("its worker is killed" in capsys.readouterr().out) is is_jobd
    asked = [json.loads(each) for each in raw.lrange(f"jobd:asks:{IDENTITY}", 0, -1)]
    wanted = {"ask": "kill", "processor": "1.0.1", "jid": jid}
    assert asked == ([wanted] if is_jobd else [])
    assert raw.zrange("jobd:cancelled", 0, -1) == [jid.encode()]


def test_a_job_that_is_nowhere_is_cancelled_all_the_same_and_said_so(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    assert say("cancel", "nowhere", "--yes") == 1
    assert "nowhere: found neither waiting nor running" in capsys.readouterr().err
    assert raw.zrange("jobd:cancelled", 0, -1) == [b"nowhere"]


@pytest.mark.usefixtures("nobody_there")
def test_cancel_asks_first(say: Say, raw: Raw) -> None:
    assert say("cancel", wire.push(raw, "Echo")) == 64
    assert (raw.llen("queue:default"), raw.exists("jobd:cancelled")) == (1, 0)


# One by one


@pytest.mark.parametrize(("put", "place"), [(failed, "retry"), (buried, "dead")])
def test_retry_queues_a_failed_job_again_and_takes_nothing_from_its_tries(
    say: Say, raw: Raw, capsys: Captured, put: Callable[..., str], place: str
) -> None:
    jid = put(raw, queue="mailers", retry_count=2)
    assert say("retry", jid) == 0
    assert capsys.readouterr().out == f"{jid}: retried, was in {place}\n"
    (job,) = wire.queued(raw, "mailers")
    assert (job["jid"], job["retry_count"]) == (jid, 1)
    assert raw.zcard(place) == 0
    assert raw.smembers("queues") == {b"mailers"}


def test_retry_runs_a_scheduled_job_now(say: Say, raw: Raw) -> None:
    jid = wire.schedule(raw, 3600, "Echo", 2**60)
    assert say("retry", jid) == 0
    (job,) = wire.queued(raw)
    assert (job["jid"], job["args"]) == (jid, [2**60])
    assert raw.zcard("schedule") == 0


def test_delete_forgets_a_job_wherever_it_waits(say: Say, raw: Raw, capsys: Captured) -> None:
    stays = wire.push(raw, "Echo")
    jids = [wire.push(raw, "Echo"), wire.schedule(raw, 9, "Echo"), failed(raw), buried(raw)]
    assert say("delete", *jids, "--yes") == 0
    places = ("queue default", "schedule", "retry", "dead")
    lines = [f"{jid}: deleted, was in {place}" for jid, place in zip(jids, places, strict=True)]
    assert capsys.readouterr().out.splitlines() == lines
    assert [job["jid"] for job in wire.queued(raw)] == [stays]
    assert [raw.zcard(name) for name in ("schedule", "retry", "dead")] == [0, 0, 0]


def test_delete_forgets_what_is_no_job_by_its_digest(say: Say, raw: Raw, capsys: Captured) -> None:
    raw.zadd("dead", {b"not json": 1, b"nor this": 2})
    assert say("jobs", "dead", "--json") == 0
    key = next(each["id"] for each in answer(capsys) if each["raw"] == "not json").split("|")[1]
    assert say("delete", key, "--yes") == 0
    assert raw.zrange("dead", 0, -1) == [b"nor this"]


def test_kill_moves_jobs_to_dead(say: Say, raw: Raw, capsys: Captured) -> None:
    jids = [failed(raw), wire.schedule(raw, 9, "Echo"), wire.push(raw, "Echo")]
    assert say("kill", *jids, "--yes") == 0
    assert sorted(job["jid"] for job in wire.entries(raw, "dead")) == sorted(jids)
    assert (raw.zcard("retry"), raw.zcard("schedule"), raw.llen("queue:default")) == (0, 0, 0)


def test_kill_keeps_the_limits_that_a_server_here_has(say: Say, raw: Raw, tmp_path: Path) -> None:
    (tmp_path / "jobd.yml").write_text("dead_max_jobs: 2\n")
    for _ in range(3):
        buried(raw)
    jid = failed(raw)
    assert say("kill", jid, "--yes") == 0
    assert raw.zcard("dead") == 2
    assert jid in [job["jid"] for job in wire.entries(raw, "dead")]


@pytest.mark.parametrize("put", [failed, lambda raw: wire.schedule(raw, 5, "Echo")])
def test_reschedule_gives_another_time(say: Say, raw: Raw, put: Callable[[Raw], str]) -> None:
    jid = put(raw)
    assert say("reschedule", jid, "--at", "2099-12-24T18:00+02:00") == 0
    scores = {
        score
        for name in ("schedule", "retry")
        for _, score in raw.zrange(name, 0, -1, withscores=True)
    }
    assert scores == {4101811200.0}


def test_reschedule_in_counts_from_now(say: Say, raw: Raw) -> None:
    before = wire.now_ms() / 1000
    assert say("reschedule", failed(raw), "--in", "90") == 0
    ((_, score),) = raw.zrange("retry", 0, -1, withscores=True)
    assert before + 89.9 <= score <= wire.now_ms() / 1000 + 90.1


@pytest.mark.parametrize(
    ("act", "put", "reason"),
    [
        (["retry"], lambda raw: wire.push(raw, "Echo"), "it waits in queue default already"),
        (["kill", "--yes"], buried, "it is dead already"),
        (["reschedule", "--in", "5"], buried, "it is dead: retry it"),
        (["reschedule", "--in", "5"], lambda raw: wire.push(raw, "Echo"), "it waits in queue"),
    ],
)
def test_what_cannot_be_done_to_a_job_is_refused_with_the_reason(
    say: Say, raw: Raw, capsys: Captured, act: list[str], put: Callable[[Raw], str], reason: str
) -> None:
    jid = put(raw)
    before = {key: raw.dump(key) for key in raw.keys("*")}
    assert say(*act, jid) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"jobctl: {jid}: not ")
    assert reason in err
    assert {key: raw.dump(key) for key in raw.keys("*")} == before


@pytest.mark.parametrize("act", [["retry"], ["delete", "--yes"], ["kill", "--yes"]])
def test_a_running_job_is_left_alone(say: Say, raw: Raw, capsys: Captured, act: list[str]) -> None:
    a_process(raw, IDENTITY)
    jid = running(raw, IDENTITY)
    assert say(*act, jid) == 1
    assert f"it runs on {IDENTITY}" in capsys.readouterr().err


def test_each_of_several_jobs_is_reported(say: Say, raw: Raw, capsys: Captured) -> None:
    first, second = failed(raw), wire.push(raw, "Echo")
    assert say("retry", first, "nosuch", second) == 1
    out, err = capsys.readouterr()
    assert out == f"{first}: retried, was in retry\n"
    assert [line.split(": ")[1] for line in err.splitlines()] == ["nosuch", second]
    assert "nosuch: not found: looked in 1 queue, schedule, retry, dead" in err


def test_each_of_several_jobs_is_reported_in_json(say: Say, raw: Raw, capsys: Captured) -> None:
    first = failed(raw)
    assert say("retry", first, "nosuch", "--json") == 1
    found, missing = answer(capsys)
    assert found == {
        "jid": first,
        "where": "retry",
        "done": True,
        "text": "retried, was in retry",
    }
    assert (missing["jid"], missing["where"], missing["done"]) == ("nosuch", None, False)


def test_a_job_that_cannot_run_again_stays_and_says_why(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    raw.zadd("dead", {b"not json": 1})
    assert say("jobs", "dead", "--json") == 0
    key = answer(capsys)[0]["id"].split("|")[1]
    assert say("retry", key) == 1
    assert "this is no job (not JSON" in capsys.readouterr().err
    assert raw.zcard("dead") == 1


# All


def test_match_acts_on_a_class_and_on_nothing_else(say: Say, raw: Raw, capsys: Captured) -> None:
    for _ in range(30):
        failed(raw, "MoodSenderJob")
        failed(raw, "Other", "MoodSenderJob")
    assert say("retry", "--all", "--match", "MoodSenderJob") == 0
    assert capsys.readouterr().out == "retried 30 jobs of retry with --match MoodSenderJob\n"
    assert {job["class"] for job in wire.queued(raw)} == {"MoodSenderJob"}
    assert {job["class"] for job in wire.entries(raw, "retry")} == {"Other"}
    assert (raw.llen("queue:default"), raw.zcard("retry")) == (30, 30)


@pytest.mark.parametrize(
    ("filters", "meant"),
    [
        (["--match", "Mood*"], ["MoodSenderJob"]),
        (["--queue", "low"], ["Sweep"]),
        (["--tag", "nightly"], ["Sweep"]),
        (["--error", "smtp is down"], ["MoodSenderJob"]),
        (["--error", "ValueError"], ["Sweep"]),
        (["--text", "ada@example.com"], ["MoodSenderJob"]),
        (["--before", "2050-01-01T00:00Z"], ["MoodSenderJob"]),
        (["--after", "2524608000"], ["Sweep"]),
        (["--queue", "low", "--error", "smtp"], []),
        ([], ["MoodSenderJob", "Sweep"]),
    ],
)
def test_all_jobs_that_all_filters_mean_are_deleted(
    say: Say, raw: Raw, capsys: Captured, filters: list[str], meant: list[str]
) -> None:
    failed(raw, "MoodSenderJob", "ada@example.com")
    sweep = {"queue": "low", "tags": ["nightly"], "error_class": "ValueError", "error_message": "x"}
    raw.zadd("retry", {wire.encode(wire.a_payload("Sweep", **sweep)): 4_102_444_800})
    assert say("delete", "--all", "--from", "retry", *filters, "--yes", "--json") == 0
    told = answer(capsys)
    assert (told["act"], told["place"], told["done"]) == ("delete", "retry", len(meant))
    left = {"MoodSenderJob", "Sweep"} - set(meant)
    assert set(classes(wire.entries(raw, "retry"))) == left


def test_all_of_a_queue_that_match_are_deleted(say: Say, raw: Raw, capsys: Captured) -> None:
    for number in range(10):
        wire.push(raw, "Echo" if number % 2 else "Sweep", number)
    assert say("delete", "--all", "--from", "default", "--match", "Sweep", "--yes") == 0
    assert capsys.readouterr().out == "deleted 5 jobs of default with --match Sweep\n"
    assert [job["args"] for job in wire.queued(raw)] == [[1], [3], [5], [7], [9]]


@pytest.mark.parametrize(
    ("words", "source", "target"),
    [
        (["retry", "--all"], "retry", "queue"),
        (["retry", "--all", "--from", "dead"], "dead", "queue"),
        (["retry", "--all", "--from", "schedule"], "schedule", "queue"),
        (["kill", "--all", "--yes"], "retry", "dead"),
        (["kill", "--all", "--from", "schedule", "--yes"], "schedule", "dead"),
        (["reschedule", "--all", "--at", "4102444800"], "schedule", "schedule"),
        (["reschedule", "--all", "--from", "retry", "--at", "4102444800"], "retry", "retry"),
    ],
)
def test_all_takes_jobs_from_where_it_says(
    say: Say, raw: Raw, words: list[str], source: str, target: str
) -> None:
    for name in ("schedule", "retry", "dead"):
        raw.zadd(name, {wire.encode(wire.a_payload(name, n)): 4_000_000_000 for n in range(3)})
    assert say(*words) == 0
    moved = wire.queued(raw) if target == "queue" else wire.entries(raw, target)
    assert [job["class"] for job in moved if job["class"] == source] == [source] * 3
    if source == target:
        assert {score for _, score in raw.zrange(source, 0, -1, withscores=True)} == {4102444800.0}
    else:
        assert raw.zcard(source) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["retry", "--all"], "retry is empty"),
        (["retry", "--all", "--from", "dead", "--match", "No"], "no job of dead with --match No"),
    ],
)
def test_nothing_to_do_is_no_failure(
    say: Say, raw: Raw, capsys: Captured, words: list[str], told: str
) -> None:
    buried(raw)
    assert say(*words) == 0
    assert told in capsys.readouterr().out
    assert raw.zcard("dead") == 1


def test_what_is_no_job_stays_while_all_others_are_retried(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    raw.zadd("retry", {b"not json": 1, b'{"class": 5}': 2, b"\xff\x00": 3})
    failed(raw)
    assert say("retry", "--all") == 1
    out = capsys.readouterr().out
    assert out.startswith("retried 1 job of retry\n3 jobs could not be retried: ")
    assert (raw.zcard("retry"), raw.llen("queue:default")) == (3, 1)


def test_what_is_no_job_is_deleted_and_killed_like_the_rest(say: Say, raw: Raw) -> None:
    raw.zadd("retry", {b"not json": 1, b"\xff\x00": 3})
    assert say("kill", "--all", "--yes") == 0
    assert sorted(raw.zrange("dead", 0, -1)) == [b"not json", b"\xff\x00"]
    assert say("delete", "--all", "--from", "dead", "--text", "not json", "--yes") == 0
    assert raw.zrange("dead", 0, -1) == [b"\xff\x00"]


# Said wrongly, or not agreed to


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["retry"], 64, "name the jids of the jobs to retry, or give --all"),
        (["retry", "jid", "--all"], 64, "name the jids of the jobs to retry, or give --all"),
        (["retry", "jid", "--match", "Echo"], 64, "with jids leave them out"),
        (["retry", "--from", "dead", "jid"], 64, "with jids leave them out"),
        (["retry", "--all", "--from", "default"], 64, "default is a queue"),
        (["retry", "--all", "--from", "dad"], 1, "there is no queue dad; did you mean dead?"),
        (["retry", "--all", "--before", "noon"], 64, "--before noon: no time"),
        (["retry", "--all", "--after", "2099-01-01"], 64, "has no time zone"),
        (["retry", "--all", "--after", "1e300"], 64, "no calendar has this time"),
        (["delete", "--all", "--yes"], 64, "--from: name the queue or set"),
        (["delete", "jid"], 64, "delete 1 job? There is nobody to ask here: give --yes"),
        (["kill", "--all"], 64, "kill all jobs of retry? It holds 1 job. There is nobody to ask"),
        (["kill", "--all", "--from", "dead", "--yes"], 64, "dead"),
        (["reschedule", "jid"], 64, "give the new time, by --in or by --at"),
        (["reschedule", "jid", "--in", "5", "--at", "5"], 64, "by --in or by --at"),
        (["reschedule", "--all", "--from", "dead", "--in", "5"], 64, "dead"),
    ],
)
@pytest.mark.usefixtures("nobody_there")
def test_in_doubt_nothing_is_done(
    say: Say, raw: Raw, capsys: Captured, words: list[str], status: int, complaint: str
) -> None:
    failed(raw)
    buried(raw)
    wire.push(raw, "Echo")
    before = {key: raw.dump(key) for key in raw.keys("*")}
    assert say(*words) == status
    assert complaint in capsys.readouterr().err
    assert {key: raw.dump(key) for key in raw.keys("*")} == before


@pytest.mark.parametrize("act", ["delete", "kill"])
@pytest.mark.parametrize(("said", "status", "left"), [("y\n", 0, 0), ("n\n", 1, 1)])
def test_what_cannot_be_undone_is_asked_for(
    redis_url: str, raw: Raw, tmp_path: Path, act: str, said: str, status: int, left: int
) -> None:
    jid = failed(raw)
    assert on_a_terminal(redis_url, tmp_path, act, jid, said=said)[0] == status
    assert raw.zcard("retry") == left
    failed(raw)
    everything = (act, "--all", "--from", "retry")
    assert on_a_terminal(redis_url, tmp_path, *everything, said=said)[0] == status
    assert raw.zcard("retry") == 2 * left


def test_json_keeps_large_integers(say: Say, raw: Raw) -> None:
    payload = wire.a_payload("Count", 2**70, [], {})
    raw.zadd("retry", {wire.encode(payload): 5})
    assert say("retry", "--all") == 0
    assert json.loads(raw.lindex("queue:default", 0))["args"] == [2**70, [], {}]


# Redis fails in the middle


def test_what_was_done_before_redis_failed_is_told(
    outside: Say,
    raw: Raw,
    proxy: Proxy,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", proxy.url())
    first, second = failed(raw), wire.push(raw, "Echo")
    proxy.drop_request_once("LREM")
    assert outside("delete", first, second, "--yes") == 69
    out, err = capsys.readouterr()
    assert out == f"{first}: deleted, was in retry\n"
    assert "cannot use Redis" in err
    assert (raw.zcard("retry"), raw.llen("queue:default")) == (0, 1)


def test_how_many_were_done_before_redis_failed_is_told(
    outside: Say,
    raw: Raw,
    proxy: Proxy,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", proxy.url())
    for number in range(1_000):
        failed(raw, "Echo", number)
    proxy.cut_after_bytes(100_000)
    assert outside("retry", "--all") == 69
    err = capsys.readouterr().err
    told = re.search(r"retried at least (\d+) jobs; run it again to go on", err)
    assert told
    assert 0 < int(told[1]) <= raw.llen("queue:default") < 1_000
    assert raw.llen("queue:default") + raw.zcard("retry") == 1_000
    assert outside("retry", "--all") == 0
    assert raw.llen("queue:default") == 1_000
