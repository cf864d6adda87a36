"""A fleet of Ruby's Sidekiq in the dashboard: Debian's 6.4, its client and its worker."""

from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.ruby import Ruby
from tests.support.servers import Raw
from tests.web.visitor import Visitor

pytestmark = [pytest.mark.redis, pytest.mark.process]


@pytest.fixture
def ruby(redis_url: str, tmp_path: Path) -> Ruby:
    return Ruby(redis_url, tmp_path)


def test_its_jobs_and_processes_are_shown(visitor: Visitor, ruby: Ruby) -> None:
    jid = ruby.push("HardJob", 1, {"deep": True}, queue="ruby")
    (row,) = visitor.json("/queues/ruby")["rows"]
    assert (row["jid"], row["class_name"]) == (jid, "HardJob")
    with ruby.worker(["HardJob"], queues=["other"]):
        process = eventually(lambda: visitor.json("/processes")["hosts"][0]["processes"][0])
        assert process["is_jobd"] is False
        assert process["concurrency"] == 1
        assert process["acts"] == ["quiet", "stop", "dump"]


def test_its_running_job_is_shown_and_its_process_is_quieted_and_stopped(
    visitor: Visitor, ruby: Ruby, raw: Raw
) -> None:
    jid = ruby.push("Held", "a", queue="ruby")
    with ruby.worker([], queues=["ruby"]) as worker:
        (row,) = eventually(lambda: visitor.json("/running")["rows"], message=worker.log)
        assert (row["job"]["jid"], row["job"]["class_name"]) == (jid, "Held")

        visitor.post("/processes", identity=row["process"], act="quiet")
        eventually(lambda: state_of(visitor) == "quiet", message=worker.log)
        visitor.post("/processes", identity=row["process"], act="stop")
        raw.rpush("ruby:release", "a")
        assert worker.wait() == 0


def state_of(visitor: Visitor) -> str:
    (host,) = visitor.json("/processes")["hosts"]
    (process,) = host["processes"]
    return str(process["state"])
