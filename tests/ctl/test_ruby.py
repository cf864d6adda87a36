"""jobctl where only Ruby's Sidekiq has written: its jobs, its failures, its process."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.ctl.conftest import Captured, Say, answer
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.ruby import Ruby
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

ARGUMENTS: list[Any] = [1, "zwei ü 日本", {"a": [None, True, 1.5]}, [], 2**70]


@pytest.fixture
def ruby(redis_url: str, tmp_path: Path) -> Ruby:
    return Ruby(redis_url, tmp_path)


def test_jobs_that_ruby_pushed_are_listed_shown_and_deleted(
    ruby: Ruby, say: Say, raw: Raw, capsys: Captured
) -> None:
    jid = ruby.push("Mailers::WelcomeJob", *ARGUMENTS, queue="mailers", tags=["eu"])
    assert say("jobs", "mailers", "--match", "Mailers::*", "--json") == 0
    assert [job["payload"]["args"] for job in answer(capsys)] == [ARGUMENTS]
    assert say("show", jid) == 0
    text = capsys.readouterr().out
    assert "class      Mailers::WelcomeJob" in text
    assert "created    20" in text
    assert "tags       eu" in text
    assert say("delete", jid, "--yes") == 0
    assert raw.llen("queue:mailers") == 0


def test_a_job_that_ruby_scheduled_is_rescheduled_killed_and_retried(
    ruby: Ruby, say: Say, raw: Raw
) -> None:
    at = wire.now_ms() / 1000 + 3600
    jid = ruby.push("Echo", *ARGUMENTS, at=at)
    assert say("reschedule", jid, "--at", "4102444800") == 0
    (scheduled,) = ruby.call("scheduled")
    assert (scheduled["jid"], scheduled["score"]) == (jid, 4102444800.0)
    assert say("kill", jid, "--yes") == 0
    (dead,) = ruby.call("dead")
    assert dead["args"] == ARGUMENTS
    assert say("retry", "--all", "--from", "dead") == 0
    assert [job["jid"] for job in ruby.call("queues")["default"]["jobs"]] == [jid]


@pytest.mark.slow
def test_what_failed_in_ruby_is_retried_there(
    ruby: Ruby, say: Say, raw: Raw, capsys: Captured
) -> None:
    jid = ruby.push("RubyEcho", "fail", backtrace=True)
    with ruby.worker(["RubyEcho"]) as worker:
        eventually(lambda: raw.zcard("retry"), message=worker.log)
        # Until its next beat, it says that the job runs.
        eventually(lambda: not list(raw.scan_iter("*:work*")), message=worker.log)
        assert say("show", jid) == 0
        text = capsys.readouterr().out
        assert "error      RuntimeError: as told" in text
        assert "worker.rb" in text
        assert say("retry", "--all", "--match", "RubyEcho", "--error", "as told") == 0
        eventually(lambda: raw.llen("ruby:ran") == 2, message=worker.log)
    assert {json.loads(run)["jid"] for run in raw.lrange("ruby:ran", 0, -1)} == {jid}


@pytest.mark.slow
def test_a_ruby_process_is_shown_quieted_and_stopped(
    ruby: Ruby, say: Say, raw: Raw, capsys: Captured
) -> None:
    with ruby.worker(["RubyEcho"]) as worker:
        eventually(lambda: raw.smembers("processes"), message=worker.log)
        assert say("status", "--json") == 0
        (process,) = answer(capsys)["processes"]
        assert (process["pid"], process["queues"]) == (worker.pid, ["default"])
        assert say("quiet", str(worker.pid), "--wait") == 0
        assert "is quiet, after" in capsys.readouterr().out
        assert say("stop", "--wait", "--yes") == 0
        assert "has left, after" in capsys.readouterr().out
