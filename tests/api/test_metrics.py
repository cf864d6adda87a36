"""Metrics as an operator reads them, of jobd's and of Ruby's servers, and marks of deploys."""

import contextlib
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobd.api import Access, Deploy, Metrics
from jobd.config import RedisSettings
from jobd.connection import Connection
from jobd.errors import CannotAct
from jobd.keys import Keys
from jobd.metrics import Counts, additions
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

COUNTS = Counts(3, 1, 345, (1, *[0] * 7, 1, *[0] * 17))


@pytest.fixture
def access(redis_url: str) -> Iterator[Access]:
    with contextlib.closing(Connection(RedisSettings(url=redis_url))) as connection:
        yield Access(redis=connection)


@pytest.fixture
def now(raw: Raw) -> datetime:
    return datetime.fromtimestamp(raw.time()[0], UTC)


def write(raw: Raw, at: datetime, wire: int = 8, **tallies: Counts) -> None:
    """What a server of this wire writes at that moment."""
    for command in additions(Keys(), tallies, at.timestamp(), wire):
        raw.execute_command(*command)


def test_the_classes_that_took_most_time_come_first(access: Access, raw: Raw, now: datetime):
    write(raw, now, Echo=COUNTS)
    write(raw, now - timedelta(minutes=59), Echo=COUNTS, Slow=Counts(1, 0, 9_000))
    write(raw, now - timedelta(minutes=61), Echo=COUNTS)

    report = Metrics(access=access).top_jobs(minutes=60)

    slow, echo = report.jobs
    assert (slow.name, slow.executions, slow.total_ms) == ("Slow", 1, 9_000)
    assert (echo.name, echo.executions, echo.failures, echo.successes) == ("Echo", 6, 2, 4)
    assert (echo.total_ms, echo.mean_ms) == (690, 172.5)
    assert (len(echo.points), report.step_s) == (60, 60)
    assert [point.counts.executions for point in echo.points if point.counts.executions] == [3, 3]
    assert timedelta(0) <= now - report.ends < timedelta(minutes=2)
    assert report.ends - report.begins == timedelta(minutes=59)


def test_what_sidekiq_7_and_8_wrote_is_added_up(access: Access, raw: Raw, now: datetime):
    for wire in (7, 8):
        write(raw, now, wire, Echo=COUNTS)

    assert Metrics(access=access).top_jobs().jobs[0].executions == 6
    one = Metrics(access=access).for_job("Echo").job
    assert (one.executions, one.total.histogram[0]) == (6, 2)


def test_hours_are_read_by_ten_minutes(access: Access, raw: Raw, now: datetime):
    write(raw, now, Echo=COUNTS)
    write(raw, now - timedelta(hours=71), Echo=COUNTS)

    report = Metrics(access=access).top_jobs(hours=72)

    assert report.step_s == 600
    assert report.jobs[0].executions == 6
    assert len(report.jobs[0].points) == 432
    one = Metrics(access=access).for_job("Echo", hours=72).job
    assert (one.executions, one.p95_ms) == (6, None)


@pytest.mark.parametrize("match", ["mail", lambda name: name.endswith("Sender")])
def test_classes_are_taken_by_their_names(access: Access, raw: Raw, now: datetime, match: object):
    write(raw, now, Echo=COUNTS, MailSender=COUNTS)

    found = Metrics(access=access).top_jobs(match=match)

    assert [job.name for job in found.jobs] == ["MailSender"]


def test_one_class_has_its_durations_by_the_minute(access: Access, raw: Raw, now: datetime):
    fast = Counts(90, 0, 900, (90, *[0] * 25))
    write(raw, now, **{"Mail::Send-1|x": fast, "Echo": COUNTS})
    write(
        raw,
        now - timedelta(minutes=1),
        **{"Mail::Send-1|x": Counts(10, 0, 4_000, (*[0] * 8, 10, *[0] * 17))},
    )

    job = Metrics(access=access).for_job("Mail::Send-1|x", minutes=10).job

    assert (job.executions, job.mean_ms) == (100, 49)
    assert [sum(point.counts.histogram) for point in job.points][-3:] == [0, 10, 90]
    assert (job.p50_ms, job.p95_ms, job.p99_ms) == pytest.approx((100 / 9, 417.5, 483.5))
    assert Metrics(access=access).top_jobs().jobs[0].p50_ms is None


def test_queues_and_hosts_have_metrics_of_their_own(access: Access, now: datetime, raw: Raw):
    write(raw, now, Echo=COUNTS)
    for command in additions(Keys().metrics_by("queue"), {"low": COUNTS}, now.timestamp(), 8):
        raw.execute_command(*command)

    assert [job.name for job in Metrics(access=access).top_jobs().jobs] == ["Echo"]
    queues = Metrics(access=access, by="queue")
    assert [(job.name, job.executions) for job in queues.top_jobs().jobs] == [("low", 3)]
    assert queues.for_job("low").job.p50_ms == 20.0
    assert Metrics(access=access, by="host").top_jobs().jobs == ()


def test_how_long_jobs_waited_is_read_by_queue(access: Access, raw: Raw, now: datetime):
    keys = Keys().metrics_by("wait")
    for command in additions(keys, {"low": COUNTS, "other": COUNTS}, now.timestamp(), 8):
        raw.execute_command(*command)

    waits = Metrics(access=access, by="wait")
    assert waits.for_job("low").job.p50_ms == 20.0
    told = waits.top_jobs(hours=1, names=["low", "nowhere"]).jobs
    assert [(job.name, job.executions, job.mean_ms) for job in told] == [
        ("low", COUNTS.executions, COUNTS.total_ms / 2)
    ]
    assert waits.top_jobs(names=[]).jobs == ()


def test_a_class_that_never_ran_has_empty_points(access: Access):
    job = Metrics(access=access).for_job("Nobody", minutes=5).job
    assert (job.executions, job.mean_ms, job.p50_ms, len(job.points)) == (0, 0, None, 5)


def test_numbers_that_are_none_count_for_nothing(access: Access, raw: Raw, now: datetime):
    write(raw, now, Echo=COUNTS)
    key = next(iter(raw.keys(f"j|{now:%y%m%d}*:??")))
    raw.hset(key, mapping={"Echo|f": "x", "Echo|odd": "1", "odd": "1", b"\xff|p": "2"})

    assert {job.name: job.executions for job in Metrics(access=access).top_jobs().jobs} == {
        "Echo": 3,
        "\ufffd": 2,
    }


@pytest.mark.parametrize(
    "span",
    [{"minutes": 0}, {"minutes": 481}, {"hours": 73}, {"hours": 0}, {"minutes": 1, "hours": 1}],
)
def test_what_is_not_kept_is_refused(access: Access, span: dict[str, int]):
    with pytest.raises(ValueError, match=r"kept|not both"):
        Metrics(access=access).top_jobs(**span)


# Deploys


def test_a_mark_is_byte_for_byte_sidekiqs(access: Access, raw: Raw):
    assert Deploy.mark("v1", at=datetime(2026, 11, 21, 20, 41, 59, tzinfo=UTC), access=access)

    assert raw.hgetall("20261121-marks") == {b"2026-11-21T20:41:00Z": b"v1"}
    assert raw.get("deploylock-v1") == b"2026-11-21T20:41:00Z"
    assert 7_775_990 < raw.ttl("20261121-marks") <= 7_776_000
    assert 50 < raw.ttl("deploylock-v1") <= 60


def test_a_label_is_marked_once_a_minute_and_the_first_label_of_a_minute_stays(
    access: Access, raw: Raw
):
    at = datetime(2026, 11, 21, 20, 41, tzinfo=UTC)
    marked = [Deploy.mark(label, at=at, access=access) for label in ("v1", "v1", "v2")]

    assert marked == [True, False, False]
    assert raw.hvals("20261121-marks") == [b"v1"]


def test_marks_are_read_over_days_and_show_in_reports(access: Access, raw: Raw, now: datetime):
    for hours in (0, 30, 80):
        Deploy.mark(f"v{hours}", at=now - timedelta(hours=hours), access=access)
    raw.hset(f"{now:%Y%m%d}-marks", "no time", "odd")

    found = Deploy.marks(now - timedelta(hours=40), now, access=access)

    assert [mark.label for mark in found] == ["v30", "v0"]
    assert found[1].at == now.replace(second=0)
    write(raw, now, Echo=COUNTS)
    assert [mark.label for mark in Metrics(access=access).top_jobs(hours=72).marks] == ["v30", "v0"]


def test_the_label_is_the_last_commits(
    access: Access, raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CannotAct, match="pass one"):
        Deploy.mark(access=access)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Send moods"], check=True)

    assert Deploy.mark(access=access)
    (key,) = raw.keys("*-marks")
    (label,) = raw.hvals(key)
    assert label.endswith(b" Send moods")


def test_a_moment_without_a_time_zone_is_refused(access: Access):
    with pytest.raises(ValueError, match="time zone"):
        Deploy.mark("v1", at=datetime(2026, 11, 21), access=access)  # noqa: DTZ001
