"""The operator's tool, against a real server."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobd import ctl
from jobd.embedded import EmbeddedStore
from tests.support import wire
from tests.support.servers import Raw

Say = Callable[..., int]
Captured = pytest.CaptureFixture[str]

INFO = {
    "hostname": "app-1",
    "pid": 71,
    "tag": "shop",
    "version": "8.1.0",
    "queues": ["default", "low"],
}


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run the command in an empty directory and environment; returns its exit status."""
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "REDIS_PROVIDER", "JOBD_ENV", "APP_ENV"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["jobctl", *words])
        try:
            return ctl.main()
        except SystemExit as end:
            return int(str(end.code))

    return run


@pytest.fixture
def say(outside: Say, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Say:
    """The same, with a server."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    return outside


def answer(capsys: Captured) -> Any:
    return json.loads(capsys.readouterr().out)


# push


def test_push_queues_a_job_by_name_and_prints_its_jid(say: Say, raw: Raw, capsys: Captured) -> None:
    assert say("push", "MoodSenderJob", '["a@b.c", {"mood": "happy"}]', "--queue", "mailers") == 0
    jid = capsys.readouterr().out.strip()
    (job,) = wire.queued(raw, "mailers")
    assert (job["jid"], job["class"]) == (jid, "MoodSenderJob")
    assert job["args"] == ["a@b.c", {"mood": "happy"}]
    assert raw.smembers("queues") == {b"mailers"}


def test_push_without_arguments_pushes_none_to_default(say: Say, raw: Raw) -> None:
    assert say("push", "Sweep") == 0
    assert [job["args"] for job in wire.queued(raw)] == [[]]


def test_push_in_and_at_schedule(say: Say, raw: Raw) -> None:
    before = wire.now_ms() / 1000
    assert say("push", "Sweep", "--in", "90") == 0
    assert say("push", "Sweep", "--at", "2099-12-24T18:00+02:00") == 0
    assert say("push", "Sweep", "--at", "4102444800.5") == 0
    scores = [score for _, score in raw.zrange("schedule", 0, -1, withscores=True)]
    assert before + 90 <= scores[0] <= wire.now_ms() / 1000 + 90
    assert scores[1:] == [4101811200.0, 4102444800.5]


def test_push_keeps_big_integers(say: Say, raw: Raw) -> None:
    assert say("push", "Count", "[123456789012345678]") == 0
    assert wire.queued(raw)[0]["args"] == [123456789012345678]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (['["a", ]'], "at character"),
        (['{"a": 1}'], "must be an array, one element for each argument: '[{\"a\": 1}]'"),
        (["[NaN]"], "NaN, which is not JSON"),
        (["--at", "tomorrow"], "--at tomorrow: no time"),
        (["--at", "2099-12-24T18:00"], "has no time zone"),
        (["--at", "5", "--in", "5"], "give one of them"),
        (["--in", "-5"], "-5"),
        (["--queue", "mail box"], "mail box"),
        (["--quue", "low"], "--queue"),
    ],
)
def test_a_wrong_push_ends_with_64_and_pushes_nothing(
    say: Say, raw: Raw, capsys: Captured, words: list[str], complaint: str
) -> None:
    assert say("push", "Sweep", *words) == 64
    assert complaint in capsys.readouterr().err
    assert raw.keys("*") == []


# status, queues, jobs


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
    assert ["default,", "low", "quiet"] in [line[-3:] for line in words]
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
    assert say("jobs", "default") == 0
    assert capsys.readouterr().out == "no jobs here\n"


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
    assert head.split() == ["at", "jid", "class", "queue", "arguments", "error"]
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
    assert answer(capsys) == [{"raw": "\x1b[2Jbad\\xff{"}]


# clear


def test_clear_deletes_a_queue_when_told_yes(say: Say, raw: Raw, capsys: Captured) -> None:
    wire.push(raw, "Echo")
    wire.push(raw, "Echo", queue="low")
    assert say("clear", "default", "--yes") == 0
    assert capsys.readouterr().out == "1 jobs deleted from default\n"
    assert raw.smembers("queues") == {b"low"}
    assert (raw.llen("queue:default"), raw.llen("queue:low")) == (0, 1)


def test_clear_all_deletes_queues_and_sets_and_nothing_else(say: Say, raw: Raw) -> None:
    wire.push(raw, "Echo")
    wire.schedule(raw, 100, "Echo")
    raw.zadd("dead", {"x": 1})
    raw.set("stat:processed", 5)
    raw.lpush("jobd:private:app:1:abc:0.0.1:default", "running")
    assert say("clear", "--all", "--yes", "--json") == 0
    assert sorted(raw.keys("*")) == [b"jobd:private:app:1:abc:0.0.1:default", b"stat:processed"]


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["nope", "--yes"], 1, "there is no queue nope"),
        ([], 64, "name one queue or set"),
        (["dead", "--all"], 64, "name one queue or set"),
        (["default"], 64, "give --yes"),
    ],
)
def test_clear_in_doubt_deletes_nothing(
    say: Say,
    raw: Raw,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    status: int,
    complaint: str,
) -> None:
    wire.push(raw, "Echo")
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        assert say("clear", *words) == status
    assert complaint in capsys.readouterr().err
    assert raw.llen("queue:default") == 1


@pytest.mark.parametrize(("said", "status", "left"), [("y\n", 0, 0), ("n\n", 1, 1)])
def test_clear_asks_on_a_terminal(
    redis_url: str, raw: Raw, tmp_path: Path, said: str, status: int, left: int
) -> None:
    wire.push(raw, "Echo")
    assert on_a_terminal(redis_url, tmp_path, "clear", "default", said=said)[0] == status
    assert raw.llen("queue:default") == left


COMMAND = (sys.executable, "-c", "import sys; from jobd.ctl import main; sys.exit(main())")


def environment(url: str) -> dict[str, str]:
    return {"REDIS_URL": url, "PYTHONPATH": str(Path(ctl.__file__).parents[1])}


def on_a_terminal(url: str, directory: Path, *words: str, said: str = "") -> tuple[int, str]:
    """Exit status and stdout of a real jobctl whose stdin, and stdout, are a terminal."""
    ours, theirs = pty.openpty()
    os.write(ours, said.encode())
    process = subprocess.Popen(
        [*COMMAND, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        cwd=directory,
        env=environment(url),
    )
    status = process.wait(20)
    text = os.read(ours, 10_000).decode() if not said else ""
    os.close(ours)
    os.close(theirs)
    return status, text.replace("\r\n", "\n")


# redis


def test_redis_prints_raw_replies_where_there_is_no_terminal(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    raw.rpush("list", "one", "two words")
    assert say("redis", "LRANGE", "list", "0", "-1") == 0
    assert say("redis", "LLEN", "list") == 0
    assert say("redis", "GET", "nothing") == 0
    assert capsys.readouterr().out == "one\ntwo words\n2\n\n"


def test_redis_prints_as_redis_cli_does_on_a_terminal(
    redis_url: str, raw: Raw, tmp_path: Path
) -> None:
    script = "return {1, 'two', {'a', {}, false}}"
    status, text = on_a_terminal(redis_url, tmp_path, "redis", "EVAL", script, "0")
    assert status == 0
    assert text == ('1) (integer) 1\n2) "two"\n3) 1) "a"\n   2) (empty array)\n   3) (nil)\n')


def test_redis_passes_options_of_the_command_on(say: Say, raw: Raw, capsys: Captured) -> None:
    raw.rpush("list", "one")
    assert say("redis", "--json", "LRANGE", "list", "0", "-1") == 0
    assert answer(capsys) == ["one"]
    assert say("redis", "SET", "key", "--json") == 0
    assert raw.get("key") == b"--json"


def test_a_command_that_redis_refuses_ends_with_1(say: Say, raw: Raw, capsys: Captured) -> None:
    raw.set("key", "text")
    assert say("redis", "LLEN", "key") == 1
    assert "WRONGTYPE" in capsys.readouterr().err


# Settings


@pytest.mark.parametrize("words", [("-e", "other", "status"), ("status", "-e", "other")])
def test_settings_may_stand_before_or_after_the_command(
    outside: Say, redis_url: str, capsys: Captured, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "my.yml").write_text(f"other:\n  redis: {{url: {redis_url[:-1]}3}}\n")
    assert outside("-C", "my.yml", *words, "--json") == 0
    assert answer(capsys)["redis"]["database"] == 3


def test_the_private_store_is_found_by_its_directory(
    outside: Say, capsys: Captured, tmp_path: Path
) -> None:
    (tmp_path / "jobd.yml").write_text("development: {redis: embedded}\n")
    store = EmbeddedStore(tmp_path)
    store.start()
    try:
        assert outside("push", "Echo") == 0
        assert outside("redis", "LLEN", "queue:default") == 0
        assert capsys.readouterr().out.splitlines()[1:] == ["1"]
    finally:
        store.stop()


def test_a_private_store_that_does_not_run_says_how_to_start_it(
    outside: Say, capsys: Captured, tmp_path: Path
) -> None:
    (tmp_path / "jobd.yml").write_text("development: {redis: embedded}\n")
    assert outside("status") == 69
    text = capsys.readouterr().err
    assert f"the private store of {tmp_path} does not run" in text
    assert "start bin/jobd (or jobd) in this directory" in text


def test_an_unreachable_server_ends_with_69_and_no_password(
    outside: Say, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    assert outside("status") == 69
    text = capsys.readouterr().err
    assert "redis://:***@127.0.0.1:1/0" in text
    assert "secret" not in text


def test_a_wrong_configuration_ends_with_78(outside: Say, capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "jobd.yml").write_text("concurency: 3\n")
    assert outside("status") == 78
    assert capsys.readouterr().err.startswith("jobctl: jobd.yml:1: ")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [(["statsu"], "No such command 'statsu'"), (["status", "now"], "unexpected extra argument")],
)
def test_a_wrong_command_line_ends_with_64(
    outside: Say, capsys: Captured, words: list[str], complaint: str
) -> None:
    assert outside(*words) == 64
    text = capsys.readouterr().err
    assert complaint in text
    assert "see jobctl --help" in text


def test_version_and_help_need_nothing(outside: Say, capsys: Captured) -> None:
    assert outside("-V") == 0
    assert capsys.readouterr().out == "jobctl 0.1.0\n"
    assert outside("--help") == 0
    assert outside("push", "-h") == 0


def test_a_reader_that_leaves_early_is_not_complained_about(
    redis_url: str, raw: Raw, tmp_path: Path
) -> None:
    for number in range(900):
        wire.push(raw, "Echo", number)
    process = subprocess.Popen(
        [*COMMAND, "jobs", "default", "--size", "900"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(redis_url),
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(20)
