"""What Ruby's Sidekiq 6.4 alone has written is read and steered like our own."""

from pathlib import Path

import pytest

from jobd.api import (
    Access,
    DeadSet,
    Filter,
    ProcessSet,
    Queue,
    RetrySet,
    ScheduledSet,
    Stats,
    WorkSet,
)
from jobd.errors import CannotAct
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.ruby import Ruby
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow]


@pytest.fixture
def ruby(redis_url: str, tmp_path: Path) -> Ruby:
    return Ruby(redis_url, tmp_path)


@pytest.fixture
def seven(access: Access) -> Access:
    """As one works beside Ruby before 8."""
    return Access(redis=access.redis, wire=7)


def test_queues_and_scheduled_jobs_of_ruby_are_read(ruby: Ruby, seven: Access):
    now = ruby.push("Echo", 1, "é", queue="low")
    later = ruby.push("Echo", at=wire.now_ms() / 1000 + 3600)

    (job,) = Queue("low", access=seven)
    (scheduled,) = ScheduledSet(access=seven)

    assert (job.jid, job.args, scheduled.jid) == (now, [1, "é"], later)
    assert job.enqueued_at is not None
    assert abs(job.enqueued_at.timestamp() * 1000 - wire.now_ms()) < 60_000
    assert 0 <= Queue("low", access=seven).latency_s < 60
    assert scheduled.at is not None
    assert [queue.name for queue in Stats(access=seven).queues()] == ["low"]


def test_a_job_that_failed_in_ruby_is_retried_by_us_and_runs_in_ruby(
    ruby: Ruby, raw: Raw, seven: Access
):
    jid = ruby.push("Fail", "fail", backtrace=True)
    retries = RetrySet(access=seven)

    with ruby.worker(["Fail"]) as worker:
        (entry,) = eventually(lambda: list(retries), message=worker.log)
        assert (entry.jid, entry.error_class, entry.error_message) == (
            jid,
            "RuntimeError",
            "as told",
        )
        assert entry.error_backtrace
        assert entry.failed_at is not None
        assert retries.retry_all(Filter(error="RuntimeError")).done == 1
        eventually(lambda: raw.llen("ruby:ran") == 2, message=worker.log)
        (again,) = eventually(lambda: list(retries), message=worker.log)

    assert again.retry_count == 0  # one more, after one less
    assert again.failed_at == entry.failed_at


def test_ruby_reads_what_we_killed_rescheduled_and_moved(ruby: Ruby, seven: Access):
    for name in ("A", "B", "C"):
        ruby.push(name, at=wire.now_ms() / 1000 + 3600)
    scheduled = ScheduledSet(access=seven)

    assert scheduled.kill_all(Filter(class_name="A")).done == 1
    assert scheduled.reschedule_all(60, Filter(class_name="B")).done == 1
    assert scheduled.add_all_to_queue(Filter(class_name="C")).done == 1
    (waiting,) = Queue(access=seven)
    assert Queue(access=seven).move(waiting, "low")

    (dead,) = ruby.call("dead")
    (later,) = ruby.call("scheduled")
    (queued,) = ruby.call("queues")["low"]["jobs"]
    assert (dead["class"], later["class"], queued["class"]) == ("A", "B", "C")
    assert abs(later["score"] - wire.now_ms() / 1000 - 60) < 30
    assert abs(queued["enqueued_at"] - wire.now_ms() / 1000) < 60
    assert DeadSet(access=seven).size == 1


def test_a_ruby_process_is_seen_quieted_and_stopped(ruby: Ruby, seven: Access):
    with ruby.worker(["Echo"], queues=["high", "low"]) as worker:
        (process,) = eventually(lambda: list(ProcessSet(access=seven)), message=worker.log)

        assert (process.pid, process.concurrency) == (worker.pid, 1)
        assert set(process.queues) == {"high", "low"}
        assert process.version.startswith("6.") or process.version == ""
        assert process.rss_kb > 1000
        assert not process.is_jobd
        assert process.instance() is None
        assert list(WorkSet(access=seven)) == []
        with pytest.raises(CannotAct, match="Ruby"):
            process.resume()
        process.quiet()
        eventually(
            lambda: ProcessSet(access=seven)[process.identity].is_quiet,
            message=worker.log,
        )
        process.stop()
        eventually(lambda: not list(ProcessSet(access=seven)), message=worker.log)
