"""Queues paused and gone on with; places that are empty, unknown or full."""

import json

import pytest

from tests.ctl.conftest import Captured, Say, a_process, answer, failed
from tests.support import wire
from tests.support.servers import Raw


def test_pause_and_unpause_say_what_changed(say: Say, raw: Raw, capsys: Captured) -> None:
    wire.push(raw, "Echo")
    wire.push(raw, "Echo", queue="low")
    assert say("pause", "default") == 0
    assert say("pause", "default", "low") == 0
    assert raw.smembers("paused") == {b"default", b"low"}
    assert say("unpause", "low") == 0
    assert say("unpause", "low", "--json") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:4] == [
        "default is paused",
        "default is paused, as it was",
        "low is paused",
        "low is not paused",
    ]
    assert json.loads("\n".join(out[4:])) == {"paused": False, "changed": {"low": False}}
    assert raw.smembers("paused") == {b"default"}


def test_a_queue_that_nobody_knows_is_not_paused_nor_any_beside_it(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    wire.push(raw, "Echo", queue="mailers")
    assert say("pause", "mailers", "mailer") == 1
    assert capsys.readouterr().err == ("jobctl: there is no queue mailer; did you mean mailers?\n")
    assert raw.smembers("paused") == set()


def test_a_queue_that_is_served_can_be_paused_before_its_first_job(say: Say, raw: Raw) -> None:
    a_process(raw, "app-1:71:4923bbd8fa3d")
    assert say("pause", "low") == 0
    raw.delete("processes")
    assert say("unpause", "low") == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mailer", "; did you mean mailers?"),
        ("scheduled", "; did you mean schedule?"),
        ("nosuch", "; jobctl queues lists them"),
        ("\x1b[2J", "; jobctl queues lists them"),
    ],
)
def test_there_are_no_jobs_of_an_unknown_queue(
    say: Say, raw: Raw, capsys: Captured, name: str, hint: str
) -> None:
    wire.push(raw, "Echo", queue="mailers")
    assert say("jobs", name) == 1
    out, err = capsys.readouterr()
    shown = name.replace("\x1b", "\N{REPLACEMENT CHARACTER}")
    assert (out, err) == ("", f"jobctl: there is no queue {shown}{hint}\n")


def test_an_empty_queue_is_known_and_says_so(say: Say, raw: Raw, capsys: Captured) -> None:
    raw.sadd("queues", "mailers")
    assert say("jobs", "mailers") == 0
    assert capsys.readouterr().out == "no jobs wait in mailers\n"
    assert say("jobs", "mailers", "--json") == 0
    assert answer(capsys) == []


def test_a_page_after_the_last_says_so(say: Say, raw: Raw, capsys: Captured) -> None:
    wire.push(raw, "Echo")
    assert say("jobs", "default", "--page", "9") == 0
    assert capsys.readouterr().out == "default has 1 job: nothing is on page 9\n"


def test_a_queue_with_the_name_of_a_set_is_reached_as_queue_name(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    wire.push(raw, "Echo", queue="retry")
    failed(raw, "Other")
    assert say("jobs", "queue:retry", "--json") == 0
    assert [job["payload"]["class"] for job in answer(capsys)] == ["Echo"]
    assert say("jobs", "retry", "--json") == 0
    assert [job["payload"]["class"] for job in answer(capsys)] == ["Other"]


def test_jobs_can_be_filtered_and_paged(say: Say, raw: Raw, capsys: Captured) -> None:
    for number in range(10):
        wire.push(raw, "Echo" if number % 2 else "Sweep", number)
    filtered = ("jobs", "default", "--match", "Echo", "--size", "2")
    assert say(*filtered, "--json") == 0
    assert [job["payload"]["args"] for job in answer(capsys)] == [[1], [3]]
    assert say(*filtered, "--page", "3", "--json") == 0
    assert [job["payload"]["args"] for job in answer(capsys)] == [[9]]
    assert say(*filtered) == 0
    assert capsys.readouterr().out.endswith("\n\nthere may be more: --page 2\n")
    assert say("jobs", "default", "--match", "Nosuch") == 0
    assert capsys.readouterr().out == "no jobs of default with --match Nosuch\n"


@pytest.mark.parametrize("bad", [b"\x00", b"[]", b'{"class": 1, "args": 2}', b"{" * 5000])
def test_what_is_no_job_does_not_stop_a_listing(
    say: Say, raw: Raw, capsys: Captured, bad: bytes
) -> None:
    wire.push(raw, "Echo")
    raw.lpush("queue:default", bad)
    raw.zadd("dead", {bad: 5})
    for place in ("default", "dead"):
        assert say("jobs", place) == 0
        assert "not a job" in capsys.readouterr().out
    assert say("queues") == 0
    assert say("status") == 0
    assert say("jobs", "default", "--text", "Echo", "--json") == 0
