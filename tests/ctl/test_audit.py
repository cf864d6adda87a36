"""What jobctl writes into the audit log that the dashboard shows."""

import pwd
from os import getuid
from typing import Any

import pytest

from jobd.api import Access, Audit
from jobd.config import RedisSettings
from jobd.pool import Pool
from tests.ctl.conftest import Captured, Say, a_process
from tests.support import wire
from tests.support.servers import Raw


def noted(redis_url: str) -> list[tuple[str, str, int]]:
    access = Access(redis=Pool(RedisSettings(url=redis_url)))
    return [(entry.what, entry.target, entry.count) for entry in Audit(access=access).entries()][
        ::-1
    ]


def details(redis_url: str) -> list[dict[str, Any]]:
    access = Access(redis=Pool(RedisSettings(url=redis_url)))
    return [entry.detail for entry in Audit(access=access).entries()][::-1]


def jobs(raw: Raw, place: str, *jids: str) -> None:
    for number, jid in enumerate(jids):
        raw.zadd(place, {wire.encode(wire.a_payload("Echo", jid=jid)): 2e9 + number})


def test_acts_on_single_jobs_are_noted_with_their_jids(say: Say, raw: Raw, redis_url: str) -> None:
    jobs(raw, "retry", "one", "two", "three")
    wire.push(raw, "Echo", jid="queued")
    assert say("retry", "one") == 0
    assert say("kill", "two", "nobody", "--yes") == 1
    assert say("reschedule", "three", "--in", "60") == 0
    assert say("delete", "three", "queued", "--yes") == 0
    assert say("delete", "nobody", "--yes") == 1
    jobs(raw, "schedule", "four")
    assert say("cancel", "four", "nobody", "--yes") == 1
    assert noted(redis_url) == [
        ("retry", "one", 1),
        ("kill", "two", 1),
        ("reschedule", "three", 1),
        ("delete", "2 jobs", 2),
        ("cancel", "four", 1),
    ]
    assert details(redis_url)[-2] == {
        "jobs": ["three", "queued"],
        "places": ["queue", "retry"],
    }


def test_acts_on_all_are_noted_with_what_was_meant(say: Say, raw: Raw, redis_url: str) -> None:
    jobs(raw, "retry", "one", "two")
    jobs(raw, "schedule", "three")
    wire.push(raw, "Echo")
    assert say("kill", "--all", "--match", "Nobody", "--yes") == 0
    assert say("retry", "--all", "--match", "Ec*") == 0
    assert say("retry", "--all", "--from", "schedule") == 0
    assert say("delete", "--all", "--from", "default", "--yes") == 0
    assert noted(redis_url) == [
        ("retry_all", "retry", 2),
        ("retry_all", "schedule", 1),
        ("delete_all", "queue default", 4),
    ]
    assert details(redis_url) == [{"filters": "--match Ec*"}, {}, {}]


def test_acts_on_places_and_processes_are_noted(say: Say, raw: Raw, redis_url: str) -> None:
    wire.push(raw, "Echo", queue="low")
    a_process(raw, "app-1:71:4923bbd8fa3d")
    assert say("pause", "low") == say("pause", "low") == say("unpause", "low") == 0
    assert say("clear", "low", "--yes") == 0
    assert say("quiet") == say("dump", "all") == say("stop", "app-1", "--yes") == 0
    assert noted(redis_url) == [
        ("pause", "queue low", 1),
        ("unpause", "queue low", 1),
        ("clear", "queue low", 1),
        ("quiet", "app-1:71:4923bbd8fa3d", 1),
        ("dump", "app-1:71:4923bbd8fa3d", 1),
        ("stop", "app-1:71:4923bbd8fa3d", 1),
    ]


def test_it_tells_who_it_was_by_the_system_not_by_the_environment(
    say: Say, raw: Raw, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setenv("LOGNAME", "mallory")
    wire.push(raw, "Echo")
    assert say("pause", "default") == 0
    (entry,) = Audit(access=Access(redis=Pool(RedisSettings(url=redis_url)))).entries()
    name, _, host = entry.who.partition("@")
    assert name == pwd.getpwuid(getuid()).pw_name
    assert host.endswith(" (jobctl)")


def test_what_cannot_be_noted_is_done_and_said(say: Say, raw: Raw, capsys: Captured) -> None:
    wire.push(raw, "Echo")
    raw.set("jobd:audit", "no list")
    assert say("pause", "default") == 0
    told = capsys.readouterr()
    assert "default is paused" in told.out
    assert "not in the audit log" in told.err
    assert raw.smembers("paused") == {b"default"}
