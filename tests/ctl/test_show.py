"""All that is known of a job, wherever it is."""

import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ctl.conftest import Captured, Say, a_process, answer, buried, failed, running
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

IDENTITY = "app-1:71:4923bbd8fa3d"


def in_a_queue(raw: Raw) -> str:
    return wire.push(raw, "Echo", queue="low")


def in_the_schedule(raw: Raw) -> str:
    return wire.schedule(raw, 3600, "Echo", queue="low")


def in_a_process(raw: Raw) -> str:
    a_process(raw, IDENTITY)
    return running(raw, IDENTITY, queue="low")


def in_retry(raw: Raw) -> str:
    return failed(raw, "Echo", queue="low")


def in_dead(raw: Raw) -> str:
    return buried(raw, "Echo", queue="low")


@pytest.mark.parametrize(
    ("put", "where", "words"),
    [
        (in_a_queue, "queue", "waits in queue low"),
        (in_the_schedule, "schedule", "schedule, due 20"),
        (in_retry, "retry", "retry, due 20"),
        (in_dead, "dead", "dead, died 20"),
        (in_a_process, "running", f"runs on {IDENTITY}, thread 1.0.1, since 20"),
    ],
)
def test_a_job_is_found_wherever_it_is(
    say: Say, raw: Raw, capsys: Captured, put: Callable[[Raw], str], where: str, words: str
) -> None:
    wire.push(raw, "Other")
    jid = put(raw)
    assert say("show", jid) == 0
    assert words in capsys.readouterr().out
    assert say("show", jid, "--json") == 0
    (found,) = answer(capsys)
    assert found["where"] == where
    assert found["payload"]["jid"] == jid


@pytest.mark.process
def test_a_job_is_found_where_it_runs_before_a_heartbeat_tells_it(
    say: Say, raw: Raw, capsys: Captured, start_jobd: StartJobd
) -> None:
    jobd = start_jobd()
    jid = wire.push(raw, "Hold", "it")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    assert say("show", jid, "--json") == 0
    (found,) = answer(capsys)
    assert found["where"] == "running"
    assert f":{jobd.pid}:" in found["process"]
    assert say("delete", jid, "--yes") == 1
    assert "not deleted: it runs on " in capsys.readouterr().err
    assert say("look", jid) == 0
    told = capsys.readouterr().out
    assert "in perform" in told
    assert f"msg=start class=Hold jid={jid}" in told
    jobd.release("it")


def test_what_does_not_run_or_runs_in_ruby_cannot_be_looked_at(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    assert say("look", wire.push(raw, "Echo")) == 1
    assert "it does not run" in capsys.readouterr().err
    a_process(raw, IDENTITY, is_jobd=False)
    assert say("look", running(raw, IDENTITY)) == 1
    assert "no jobd that can be looked into" in capsys.readouterr().err


def test_what_a_job_says_of_its_failure_is_shown(say: Say, raw: Raw, capsys: Captured) -> None:
    frames = ["shop/jobs.py:7 in perform", "shop/mail.py:3 in send"]
    packed = base64.b64encode(zlib.compress(json.dumps(frames).encode())).decode()
    jid = failed(
        raw,
        "MoodSenderJob",
        "ada@example.com",
        {"mood": "süß"},
        retry=5,
        retry_count=2,
        created_at=1_700_000_000_000,
        retried_at=1_700_000_100_000,
        error_message="smtp\nis down",
        error_backtrace=packed,
        tags=["mail", "eu"],
        shop=7,
    )
    assert say("show", jid) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:11].strip(): line[13:] for line in lines if not line.startswith(" ")}
    assert rows["class"] == "MoodSenderJob"
    assert rows["arguments"] == '["ada@example.com", {"mood": "süß"}]'
    assert rows["created"].startswith("2023-11-14T22:13:20Z (")
    assert rows["last failed"].startswith("2023-11-14T22:15:00Z (")
    assert rows["failures"] == "3 of 6 tries"
    assert rows["error"] == "OSError: smtp"
    assert rows["tags"] == "mail, eu"
    assert (rows["retry"], rows["shop"]) == ("5", "7")
    assert [line.strip() for line in lines[-2:]] == frames
    assert lines[lines.index("error        OSError: smtp") + 1] == "             is down"


@pytest.mark.parametrize(
    ("options", "failures"),
    [
        ({"retry": True}, "1 of 8 tries"),
        ({"retry": False}, "1 of 1 try"),
        ({"retry_for": 3600}, "1"),
        ({"retry_count": -1}, "0 of 8 tries"),
    ],
)
def test_failures_are_counted_against_what_is_allowed(
    say: Say, raw: Raw, capsys: Captured, tmp_path: Path, options: dict[str, object], failures: str
) -> None:
    (tmp_path / "jobd.yml").write_text("max_retries: 7\n")
    assert say("show", failed(raw, **options)) == 0
    assert f"\nfailures   {failures}\n" in capsys.readouterr().out


def test_a_job_of_active_job_is_shown_by_its_own_name(say: Say, raw: Raw, capsys: Captured) -> None:
    inner = {"job_class": "WelcomeJob", "arguments": ["ada"]}
    jid = wire.push(raw, "Sidekiq::ActiveJob::Wrapper", inner, wrapped="WelcomeJob")
    assert say("show", jid) == 0
    text = capsys.readouterr().out
    assert "WelcomeJob (in Sidekiq::ActiveJob::Wrapper)" in text
    assert 'arguments  ["ada"]' in text


def test_what_is_no_job_is_shown_by_its_digest(say: Say, raw: Raw, capsys: Captured) -> None:
    raw.zadd("dead", {b"\x1b[2Jbad\xff": 1})
    assert say("jobs", "dead", "--json") == 0
    (entry,) = answer(capsys)
    key = entry["id"].partition("|")[2]
    assert say("show", key) == 0
    text = capsys.readouterr().out
    assert key in text
    assert "\N{REPLACEMENT CHARACTER}[2Jbad\\xff" in text
    assert "\x1b" not in text


def test_several_jobs_are_shown_and_what_is_missing_is_said(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    first, second = wire.push(raw, "Echo"), failed(raw)
    a_process(raw, IDENTITY)
    assert say("show", first, "0123456789abcdef01234567", second) == 1
    out, err = capsys.readouterr()
    assert out.index(first) < out.index(second)
    assert err == (
        "jobctl: no job 0123456789abcdef01234567: looked in 1 queue, schedule, retry, dead, and "
        "among the jobs of 1 process\n"
    )


def test_all_jobs_with_one_jid_are_shown(say: Say, raw: Raw, capsys: Captured) -> None:
    jid = failed(raw, "Echo", 1)
    failed(raw, "Echo", 2, jid=jid)
    assert say("show", jid, "--json") == 0
    assert sorted(found["payload"]["args"] for found in answer(capsys)) == [[1], [2]]


def test_a_jid_in_the_arguments_of_another_job_is_not_that_job(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    jid = wire.push(raw, "Echo")
    wire.push(raw, "Cancel", jid, queue="low")
    failed(raw, "Cancel", jid)
    assert say("show", jid, "--json") == 0
    assert [found["payload"]["class"] for found in answer(capsys)] == ["Echo"]


def test_nonsense_among_the_private_lists_does_not_stop_a_search(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    raw.sadd("jobd:privates", b"\xff\xfe", "nonsense", "jobd:private:a:1:b:x.y.z:low")
    a_process(raw, IDENTITY)
    raw.hset(f"{IDENTITY}:work", mapping={"1": "not json", "2": '{"payload": 5}'})
    jid = wire.push(raw, "Echo")
    assert say("show", jid, "--json") == 0
    assert [found["where"] for found in answer(capsys)] == ["queue"]
