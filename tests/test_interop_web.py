"""The Web UI of Ruby Sidekiq 6.4 over what jobd wrote: every page, and what its buttons do."""

import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.ruby import Page, Ruby
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow]

CONFIG: dict[str, Any] = {"wire": 7, "concurrency": 2, "tag": "fleet", "labels": ["blue"]}
# No retry may come due while its page is looked at.
JOBS = """
from tests.support.sample_jobs import Echo, Fail, Hold

Fail.retry_in = staticmethod(lambda count, error, payload: 3_600)
"""
ODD = ["zwei ü 日本", {"a": [None, "<b>"]}, 2**53 + 1]


@pytest.fixture
def ruby(redis_url: str, tmp_path: Path) -> Ruby:
    return Ruby(redis_url, tmp_path)


@pytest.fixture
def jobd(raw: Raw, start_jobd: StartJobd) -> JobdProcess:
    """A fleet with a running job, a failed one and a dead one; and jobs that wait."""
    wire.push(raw, "Hold", "a", created_at=1.5)
    wire.push(raw, "Fail", "told <b> ü", backtrace=True, created_at=1.5)
    wire.push(raw, "Fail", "told to die", retry=0, tags=["urgent"], created_at=1.5)
    wire.push(raw, "Later", *ODD, queue="unserved", created_at=1.5)
    wire.schedule(raw, 3_600, "Echo", "scheduled", created_at=1.5)
    raw.lpush("queue:default", "{no json")
    jobd = start_jobd(config=CONFIG, jobs=JOBS)
    eventually(lambda: raw.zcard("retry") == 1 and raw.zcard("dead") == 2, message=jobd.log)
    return jobd


def visit(ruby: Ruby, *paths: str) -> list[Page]:
    pages = ruby.browse(*({"page": path} for path in paths))
    assert [(path, page.status) for path, page in zip(paths, pages, strict=True)] == [
        (path, 200) for path in paths
    ]
    return pages


def send(ruby: Ruby, page: str, to: str | None = None, **form: Any) -> None:
    (answer,) = ruby.browse({"page": page, "to": to or page, "form": form})
    assert answer.status == 302, answer.body


def text_of(page: Page) -> str:
    return html.unescape(page.body)


def key_of(page: Page, place: str, jid: str) -> str:
    """The part of a path that names a job in a set."""
    return next(key for key in re.findall(f'{place}/([^"?]+)"', page.body) if jid in key)


def only(raw: Raw, name: str) -> dict[str, Any]:
    (entry,) = wire.entries(raw, name)
    return entry


def test_every_list_and_the_figures_are_shown(ruby: Ruby, raw: Raw, jobd: JobdProcess):
    eventually(lambda: int(raw.get("stat:failed") or 0) == 2, message=jobd.log)

    paths = ("/", "/queues", "/queues/unserved", "/retries", "/scheduled", "/morgue")
    dashboard, queues, queue, retries, scheduled, morgue = map(text_of, visit(ruby, *paths))

    assert "Dashboard" in dashboard
    assert "unserved" in queues
    for shown in ("Later", "zwei ü 日本", str(2**53 + 1)):
        assert shown in queue
    assert "RuntimeError: told <b> ü" in retries
    assert '"scheduled"' in scheduled
    assert "told to die" in morgue
    assert "urgent" in morgue

    stats, lengths = visit(ruby, "/stats", "/stats/queues")
    figures = json.loads(stats.body)["sidekiq"]
    assert figures == figures | {
        "processed": 2,
        "failed": 2,
        "processes": 1,
        "enqueued": 1,
        "scheduled": 1,
        "retries": 1,
        "dead": 2,
    }
    assert json.loads(lengths.body) == {"default": 0, "unserved": 1}


def test_every_job_has_its_page(ruby: Ruby, raw: Raw, jobd: JobdProcess):
    failed, waiting = only(raw, "retry"), only(raw, "schedule")
    dead = next(job for job in map(try_json, raw.zrange("dead", 0, -1)) if job)
    retries, scheduled, morgue = visit(ruby, "/retries", "/scheduled", "/morgue")

    pages = visit(
        ruby,
        "/retries/" + key_of(retries, "retries", failed["jid"]),
        "/scheduled/" + key_of(scheduled, "scheduled", waiting["jid"]),
        "/morgue/" + key_of(morgue, "morgue", dead["jid"]),
    )

    retry, later, grave = map(text_of, pages)
    for page, job in ((retry, failed), (later, waiting), (grave, dead)):
        assert job["jid"] in page
        assert job["class"] in page
    assert "told <b> ü" in retry
    assert "sample_jobs.py" in retry
    assert "told to die" in grave


def test_the_busy_page_shows_the_fleet_and_its_running_job(ruby: Ruby, raw: Raw, jobd: JobdProcess):
    eventually(lambda: busy(raw) == 1, message=jobd.log)

    (page,) = visit(ruby, "/busy")

    (identity,) = raw.smembers("processes")
    for shown in (f":{jobd.pid}", "fleet", "blue", "Hold", identity.decode()):
        assert shown in page.body


def busy(raw: Raw) -> int:
    (identity,) = raw.smembers("processes")
    return int(raw.hget(identity, "busy"))


def try_json(text: bytes) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return found


def test_retry_now_runs_the_job_again_without_using_up_a_retry(
    ruby: Ruby, raw: Raw, jobd: JobdProcess
):
    before = only(raw, "retry")
    (page,) = visit(ruby, "/retries")

    send(ruby, "/retries/" + key_of(page, "retries", before["jid"]), retry="1")

    eventually(lambda: "retried_at" in only(raw, "retry"), message=jobd.log)
    after = only(raw, "retry")
    assert (after["jid"], after["retry_count"]) == (before["jid"], 0)
    assert after["failed_at"] == before["failed_at"]
    assert after["args"] == before["args"]


@pytest.mark.parametrize(("button", "dead"), [("kill", 3), ("delete", 2)])
def test_jobs_that_were_ticked_are_killed_or_deleted(
    ruby: Ruby, raw: Raw, jobd: JobdProcess, button: str, dead: int
):
    (page,) = visit(ruby, "/retries")
    key = unquote(key_of(page, "retries", only(raw, "retry")["jid"]))

    send(ruby, "/retries", **{"key": [key], button: "1"})

    assert (raw.zcard("retry"), raw.zcard("dead")) == (0, dead)


def test_a_dead_job_is_brought_back_and_dies_again(ruby: Ruby, raw: Raw, jobd: JobdProcess):
    dead = next(job for job in map(try_json, raw.zrange("dead", 0, -1)) if job)
    (page,) = visit(ruby, "/morgue")

    send(ruby, "/morgue/" + key_of(page, "morgue", dead["jid"]), retry="1")

    def again() -> bool:
        jobs = map(try_json, raw.zrange("dead", 0, -1))
        return any(job and job["jid"] == dead["jid"] and "retried_at" in job for job in jobs)

    eventually(again, message=jobd.log)
    assert raw.zcard("dead") == 2


def test_a_scheduled_job_is_added_to_its_queue_and_runs(ruby: Ruby, raw: Raw, jobd: JobdProcess):
    jid = only(raw, "schedule")["jid"]
    (page,) = visit(ruby, "/scheduled")

    send(ruby, "/scheduled/" + key_of(page, "scheduled", jid), add_to_queue="1")

    assert [run["jid"] for run in eventually(jobd.ran, message=jobd.log)] == [jid]
    assert raw.zcard("schedule") == 0


def test_a_waiting_job_is_deleted_and_a_queue_cleared(ruby: Ruby, raw: Raw, jobd: JobdProcess):
    wire.push(raw, "Later", 2, queue="unserved")
    first = raw.lindex("queue:unserved", -1).decode()

    send(ruby, "/queues/unserved", "/queues/unserved/delete", key_val=first)
    assert [job["args"] for job in wire.queued(raw, "unserved")] == [[2]]
    send(ruby, "/queues", "/queues/unserved", delete="1")
    assert raw.smembers("queues") == {b"default"}


def test_the_buttons_of_the_busy_page_quiet_and_stop_the_fleet(
    ruby: Ruby, raw: Raw, jobd: JobdProcess
):
    (identity,) = eventually(lambda: raw.smembers("processes"), message=jobd.log)

    send(ruby, "/busy", identity=identity.decode(), quiet="1")
    wire.have_them_beat(raw)
    eventually(lambda: raw.hget(identity, "quiet") == b"true", message=jobd.log)
    jobd.release("a")
    ruby.call("dump")
    wire.have_them_beat(raw)
    jobd.wait_for_log("stacks of worker 1")
    send(ruby, "/busy", stop="1")
    wire.have_them_beat(raw)

    assert jobd.wait() == 0
    assert raw.scard("processes") == 0
