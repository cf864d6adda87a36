"""Lines: their formats, and what becomes of evil values."""

import json
import os
import re
from pathlib import Path

import pytest

from jobd import log
from tests.logs.parts import EVIL, Settings, Written, failure
from tests.support.clock import FakeClock

# Formats


def test_pretty_is_a_time_a_pid_a_level_a_text_and_its_fields(written: Written) -> None:
    written.use("pretty").event("child exited", level="warning", slot=3, status="exit 1")
    assert written.text == (
        '2027-01-15T08:00:00.000Z pid=42 WARNING child exited slot=3 status="exit 1"\n'
    )


def test_logfmt_is_keys_and_values_only(written: Written) -> None:
    written.use("logfmt").event("child exited", slot=3, is_late=True, took=1.23456, gone=None)
    assert written.text == (
        'ts=2027-01-15T08:00:00.000Z level=info pid=42 msg="child exited" '
        "slot=3 is_late=true took=1.235\n"
    )


def test_json_is_one_object_a_line(written: Written) -> None:
    written.use("json").event("child exited", slot=3, is_late=True, path=Path("/tmp"))
    assert json.loads(written.text) == {
        "ts": "2027-01-15T08:00:00.000Z",
        "level": "info",
        "pid": 42,
        "msg": "child exited",
        "slot": 3,
        "is_late": True,
        "path": "/tmp",
    }


def test_the_time_has_milliseconds_and_follows_the_clock(
    written: Written, clock: FakeClock
) -> None:
    written.use("logfmt")
    for seconds in (0.007, 0.9, 0.1):
        clock.advance(seconds)
        written.log.event("tick")
    assert [line.split()[0][-13:] for line in written.lines] == [
        "08:00:00.007Z",
        "08:00:00.907Z",
        "08:00:01.007Z",
    ]


def test_a_line_below_the_level_is_not_written(written: Written, job: None) -> None:
    written.use("logfmt", level="warning")
    written.log.event("too quiet")
    written.log.job_line("done", 0.5)
    written.log.event("loud enough", level="warning")
    assert "loud enough" in written.text
    assert len(written.lines) == 1


# Jobs


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            "pretty",
            (
                "2027-01-15T08:00:00.000Z pid=42 INFO    done class=MoodSenderJob "
                "jid=0123456789abcdef01234567 queue=mailers elapsed=5.004"
            ),
        ),
        (
            "logfmt",
            (
                "ts=2027-01-15T08:00:00.000Z level=info pid=42 msg=done class=MoodSenderJob "
                "jid=0123456789abcdef01234567 queue=mailers elapsed=5.004"
            ),
        ),
        (
            "json",
            (
                '{"ts":"2027-01-15T08:00:00.000Z","level":"info","pid":42,"msg":"done",'
                '"class":"MoodSenderJob","jid":"0123456789abcdef01234567","queue":"mailers",'
                '"elapsed":5.004}'
            ),
        ),
    ],
)
def test_a_job_line_carries_class_jid_queue_and_elapsed(
    written: Written, job: None, form: str, expected: str
) -> None:
    written.use(form).job_line("done", 5.0041)
    assert written.lines == [expected]


@pytest.mark.parametrize("form", ["pretty", "logfmt", "json"])
def test_a_job_line_built_by_hand_has_the_shape_of_any_other(
    written: Written, job: None, form: str
) -> None:
    written.use(form).job_line("start")
    written.log.event("start")
    assert written.lines[0] == written.lines[1]


def test_every_line_written_while_a_job_runs_carries_the_job(written: Written, job: None) -> None:
    written.use("logfmt").event("half way", percent=50)
    assert "class=MoodSenderJob jid=0123456789abcdef01234567 queue=mailers percent=50" in (
        written.text
    )


def test_after_the_job_its_fields_are_gone(written: Written, job: None) -> None:
    log.clear_job()
    written.use("logfmt").event("idle")
    written.log.job_line("done", 1.0)
    assert len(written.lines) == 1
    assert "jid" not in written.text


def test_a_failure_has_its_stack_on_indented_lines_in_pretty(written: Written, job: None) -> None:
    written.use("pretty").job_line("fail", 0.25, failure())
    first, *stack = written.lines
    assert first.endswith('elapsed=0.250 reason="ValueError: no such mood"')
    assert " ERROR   fail class=MoodSenderJob" in first
    assert stack[0] == "    Traceback (most recent call last):"
    assert stack[-1] == "    ValueError: no such mood"


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_a_failure_is_one_line_with_its_stack_in_a_field(
    written: Written, job: None, form: str
) -> None:
    written.use(form).job_line("fail", 0.25, failure())
    assert len(written.lines) == 1
    assert "Traceback (most recent call last):\\n  File" in written.text


# Values from anybody


@pytest.mark.parametrize("form", ["pretty", "logfmt", "json"])
def test_an_evil_value_cannot_forge_a_line(written: Written, form: str) -> None:
    log.set_job(EVIL, EVIL, EVIL)
    try:
        written.use(form).job_line("done", 1.0)
        written.log.event(EVIL, value=EVIL)
    finally:
        log.clear_job()
    assert written.text.count("\n") == 2
    assert "\x1b" not in written.text
    assert all(line.startswith(("2027", "ts=2027", '{"ts":"2027')) for line in written.lines)


def test_an_evil_value_is_itself_again_in_json(written: Written) -> None:
    written.use("json").event("pushed", value=EVIL)
    assert json.loads(written.text)["value"] == EVIL


def test_the_stack_of_an_evil_message_stays_indented(written: Written, job: None) -> None:
    written.use("pretty").job_line("fail", 1.0, failure(EVIL))
    assert all(line.startswith("    ") for line in written.lines[1:])
    assert "\x1b" not in written.text


def test_a_huge_value_is_cut(written: Written) -> None:
    written.use("logfmt").event("pushed", value="x" * 1_000_000)
    assert len(written.text) < 20_000
    assert "983616 characters more" in written.text


# Colour


def test_colour_is_for_terminals_and_ends_where_it_began(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    terminal = log.Log(theirs)
    terminal.use(Settings("auto"))
    terminal.event("hello")
    terminal.is_color_allowed = False
    terminal.use(Settings("auto"))
    terminal.event("hello")
    seen = b""
    while seen.count(b"\n") < 2:
        seen += os.read(ours, 4096)
    first, second = seen.decode().splitlines()
    os.close(ours)
    os.close(theirs)
    assert re.fullmatch(r"\S+Z pid=\d+ \x1b\[32mINFO   \x1b\[0m hello", first)
    assert re.fullmatch(r"\S+Z pid=\d+ INFO    hello", second)


def test_lines_for_journald_have_its_priorities_and_leave_the_time_to_it(
    written: Written, job: None
) -> None:
    here = os.fstat(written.fd)
    written.log.journal = f"{here.st_dev}:{here.st_ino}"
    journal = written.use("auto", level="debug")
    journal.job_line("start")
    for level in ("debug", "warning", "error", "fatal"):
        journal.event("x", level=level)
    fields = "class=MoodSenderJob jid=0123456789abcdef01234567 queue=mailers"
    assert written.lines[0] == f"<6>level=info pid=42 msg=start {fields}"
    assert written.lines[1] == f"<7>level=debug pid=42 msg=x {fields}"
    assert [line[:3] for line in written.lines[2:]] == ["<4>", "<3>", "<2>"]


def test_each_line_of_a_stack_has_its_priority_for_journald(written: Written) -> None:
    here = os.fstat(written.fd)
    written.log.journal = f"{here.st_dev}:{here.st_ino}"
    written.use("pretty").event("failed", level="error", error=failure())
    assert len(written.lines) > 3
    assert all(line.startswith("<3>") for line in written.lines)


def test_a_journal_that_is_somewhere_else_changes_nothing(written: Written) -> None:
    written.log.journal = "1:1"
    written.use("auto").event("x")
    assert written.text.startswith("ts=")


def test_auto_is_logfmt_where_there_is_no_terminal(written: Written) -> None:
    written.use("auto").event("hello")
    assert written.text.startswith("ts=")
