"""``jobctl check``: what keeps jobs from running is named, with what to do about it."""

import json

from tests.ctl.conftest import Captured, Say, a_process, answer, failed
from tests.support import wire
from tests.support.servers import Raw

APP = "app-1:71:abc"


def lines(capsys: Captured) -> dict[str, list[str]]:
    """The sentences by their sign."""
    found: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines():
        sign, text = line.split(maxsplit=1)
        found.setdefault(sign, []).append(text)
    return found


def test_where_all_is_well_it_says_so_and_leaves_with_0(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    a_process(raw, APP, busy=2)
    wire.push(raw, "Echo")
    failed(raw)
    assert say("check") == 0
    found = lines(capsys)
    assert set(found) == {"ok"}
    server, process, queue = found["ok"]
    assert server.startswith("valkey 9.")
    assert process == f"{APP} works, 2 of 5 busy"
    assert queue.startswith("queue default holds 1 job, the first for ")


def test_keys_of_others_are_a_warning(say: Say, raw: Raw, capsys: Captured) -> None:
    a_process(raw, APP, busy=2)
    raw.mset({"celery-task-meta-1": 1, "celery-task-meta-2": 1, "plain\x1b[2J": 1})
    assert say("check") == 0
    (warning,) = lines(capsys)["warning"]
    assert warning.startswith("3 keys neither jobd's nor Sidekiq's (celery-*, plain")
    assert "another program shares this database" in warning
    assert "\x1b" not in warning


def test_nobody_there_is_what_is_wrong(say: Say, capsys: Captured) -> None:
    assert say("check") == 1
    assert lines(capsys)["WRONG"] == [
        "no process runs here: start jobd, with the same Redis as this"
    ]


def test_a_queue_that_does_not_move_is_explained(say: Say, raw: Raw, capsys: Captured) -> None:
    a_process(raw, APP)
    raw.sadd("paused", "low")
    for queue in ("low", "reports"):
        wire.push(raw, "Echo", queue=queue)
    raw.sadd("queues", "default")
    raw.lpush("queue:default", wire.encode(wire.a_payload(enqueued_at=wire.now_ms() - 300_000)))
    assert say("check") == 1
    found = lines(capsys)
    low, reports = found["WRONG"]
    assert low.endswith("it is paused; jobctl unpause low")
    assert reports.startswith("queue reports holds 1 job, the first for ")
    assert reports.endswith("no process serves it; add it to queues of jobd.yml")
    (late,) = found["warning"]
    assert late.startswith("queue default holds 1 job, the first for 5 min: more workers")


def test_a_quiet_process_and_what_waits_for_it(say: Say, raw: Raw, capsys: Captured) -> None:
    a_process(raw, APP, quiet="true")
    wire.push(raw, "Echo")
    assert say("check") == 1
    found = lines(capsys)
    assert found["warning"] == [
        f"{APP} takes no jobs, since it is quiet or stops: jobctl resume {APP}"
    ]
    assert found["WRONG"][0].endswith("all processes that serve it are quiet")


def test_a_silent_process_only_warns(say: Say, raw: Raw, capsys: Captured) -> None:
    a_process(raw, APP, beat=wire.now_ms() / 1000 - 40)
    assert say("check") == 0
    (silent,) = lines(capsys)["warning"]
    assert silent.startswith(f"{APP} has not been heard of for 40.")


def test_workers_that_die_are_named_with_their_end(say: Say, raw: Raw, capsys: Captured) -> None:
    a_process(raw, APP)
    workers = [
        {"slot": 1, "state": "waiting", "restarts": 1, "last_exit": "exit 75"},
        {"slot": 2, "state": "idle", "restarts": 7, "last_exit": "SIGKILL"},
        {"slot": 3, "state": "idle", "restarts": 1, "last_exit": "SIGSEGV"},
    ]
    raw.hset(f"jobd:instance:{APP}", "workers", json.dumps(workers))
    assert say("check") == 1
    found = lines(capsys)
    assert found["WRONG"] == [
        f"worker 1 of {APP} died too early (exit 75) and waits: the log has the reason"
    ]
    assert found["warning"] == [
        f"worker 2 of {APP} was replaced 7 times, the last one ended with SIGKILL: see the log"
    ]


def test_a_job_that_is_long_due_is_named(say: Say, raw: Raw, capsys: Captured) -> None:
    a_process(raw, APP)
    wire.schedule(raw, -120, "Echo")
    assert say("check") == 1
    (late,) = lines(capsys)["WRONG"]
    assert late.startswith("schedule holds a job that has been due for 2 min: no poller works")


def test_a_server_that_may_lose_jobs_is_a_warning(say: Say, raw: Raw, capsys: Captured) -> None:
    a_process(raw, APP)
    raw.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert say("check") == 0
    finally:
        raw.config_set("maxmemory-policy", "noeviction")
    assert "may throw jobs away" in lines(capsys)["warning"][0]


def test_programs_get_the_same(say: Say, raw: Raw, capsys: Captured) -> None:
    assert say("check", "--json") == 1
    found = answer(capsys)
    assert [each["level"] for each in found] == ["fine", "wrong"]
    assert found[1]["text"].startswith("no process runs here")
