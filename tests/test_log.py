"""Lines: their formats, what becomes of evil values, and a log that cannot be written."""

import errno
import fcntl
import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest

from jobd import log
from jobd.errors import ConfigError
from tests.support.clock import FakeClock

EVIL = 'x\n2027-01-15T08:00:00.000Z pid=1 INFO   forged\x1b[31m "quoted" \\ \u2028 \udc80'


@dataclass
class Settings:
    """As ``config.LogSettings``."""

    format: str = "logfmt"
    file: str | None = None
    level: str = "info"


class Written:
    """A log that writes to a file, and what it has written."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.log = log.Log(self.fd, clock)
        self.log.pid = 42

    def use(self, form: str, level: str = "info") -> log.Log:
        self.log.use(Settings(form, level=level))
        return self.log

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@pytest.fixture
def written(tmp_path: Path, clock: FakeClock) -> Iterator[Written]:
    it = Written(tmp_path / "log", clock)
    yield it
    os.close(it.fd)


@pytest.fixture
def job() -> Iterator[None]:
    log.set_job("0123456789abcdef01234567", "MoodSenderJob", "mailers")
    yield
    log.clear_job()


def complain(text: str) -> None:
    raise ValueError(text)


def failure(text: str = "no such mood") -> ValueError:
    """An error that has been raised, and so has a stack."""
    try:
        complain(text)
    except ValueError as error:
        return error
    raise AssertionError


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


# A log that cannot be written


def test_E4_a_full_pipe_drops_lines_and_says_how_many_when_it_is_read_again() -> None:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(theirs, False)
    full = log.Log(theirs)
    full.use(Settings("logfmt"))
    full.event("first", text="x" * 3_900)
    full.event("lost", text="x" * 3_900)
    full.event("lost too", text="x" * 3_900)
    assert os.read(ours, 1 << 20).count(b"\n") == 1
    full.event("heard")
    heard = os.read(ours, 1 << 20).decode()
    os.close(ours)
    os.close(theirs)
    assert 'msg="log lines were lost: they could not be written" count=2' in heard
    assert "msg=heard" in heard


def test_a_closed_pipe_is_no_error() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    broken = log.Log(theirs)
    broken.event("nobody listens")
    os.close(theirs)
    assert broken.sink.dropped == 1


def test_E3_a_full_disk_is_no_error() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    full = log.Log(fd)
    full.event("no room")
    os.close(fd)
    assert full.sink.dropped == 1


def test_a_line_torn_by_a_full_disk_does_not_run_into_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    sink = log.Sink(fd)
    really_write, answers = os.write, [3, errno.ENOSPC]

    def nearly_full(fd: int, line: bytes) -> int:
        answer = answers.pop(0) if answers else len(line)
        if answer == errno.ENOSPC:
            raise OSError(errno.ENOSPC, "full")
        return really_write(fd, line[:answer])

    monkeypatch.setattr(os, "write", nearly_full)
    assert not sink.write(b"torn\n")
    assert sink.write(b"whole\n")
    os.close(fd)
    assert (tmp_path / "log").read_bytes() == b"tor\nwhole\n"


def test_what_never_blocks_drops_what_a_stalled_reader_has_no_room_for() -> None:
    ours, theirs = os.pipe()
    stalled = log.Log(theirs)
    stalled.never_block()
    while not stalled.sink.dropped:
        stalled.event("nobody reads", text="x" * 900)
    stalled.plain("y" * 10_000)
    assert stalled.sink.dropped == 2
    assert os.read(ours, 1 << 20).endswith(b"\n"), "only whole lines"
    stalled.plain("z" * 10_000)
    heard = os.read(ours, 1 << 20).decode()
    os.close(ours)
    os.close(theirs)
    assert "z" * 10_000 + "\n" in heard
    assert "log lines were lost: they could not be written" in heard
    assert "count=2" in heard


def test_a_file_gets_a_line_in_one_piece_also_from_what_never_blocks(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    really_write = os.write

    def write(fd: int, line: bytes) -> int:
        sizes.append(len(line))
        return really_write(fd, line)

    monkeypatch.setattr(os, "write", write)
    written.log.never_block()
    written.log.plain("x" * 9_999)
    assert sizes == [10_000]


# logging


@pytest.fixture
def logger(written: Written) -> Iterator[logging.Logger]:
    written.use("logfmt")
    logger = logging.getLogger("shop.orders")
    logger.handlers, logger.propagate = [log.Handler(written.log)], False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers, logger.propagate = [], True


def test_logging_comes_out_as_our_lines_with_the_job_and_the_extra(
    written: Written, logger: logging.Logger, job: None
) -> None:
    logger.warning("mood %s is late", "happy", extra={"order": 7})
    assert written.lines == [
        (
            'ts=2027-01-15T08:00:00.000Z level=warning pid=42 msg="mood happy is late" '
            "class=MoodSenderJob jid=0123456789abcdef01234567 queue=mailers order=7 "
            "logger=shop.orders"
        )
    ]


def test_a_logged_exception_has_its_stack(written: Written, logger: logging.Logger) -> None:
    logger.error("could not send", exc_info=failure())
    assert "ValueError: no such mood" in written.text
    assert len(written.lines) == 1


def test_a_message_that_cannot_be_formatted_is_named_and_raises_nothing(
    written: Written, logger: logging.Logger
) -> None:
    record = logger.makeRecord("shop.orders", 20, "app.py", 7, "%d moods", ("many",), None)
    log.Handler(written.log).emit(record)
    assert 'msg="a log message could not be formatted" logger=shop.orders' in written.text
    assert "line=app.py:7 reason=TypeError" in written.text


@pytest.mark.parametrize(
    ("number", "level"), [(5, "debug"), (25, "info"), (30, "warning"), (99, "fatal")]
)
def test_levels_between_ours_go_down(
    written: Written, logger: logging.Logger, number: int, level: str
) -> None:
    logger.setLevel(1)
    written.use("logfmt", level="debug")
    logger.log(number, "hello")
    assert f"level={level} " in written.text


def test_the_root_logger_is_taken_only_if_the_app_left_it_alone(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    theirs = logging.NullHandler()
    monkeypatch.setattr(root, "handlers", [theirs])
    written.log.capture_logging()
    assert root.handlers == [theirs]
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    written.log.capture_logging()
    assert [type(handler) for handler in root.handlers] == [log.Handler]


@pytest.mark.parametrize(
    ("stream", "level", "comes_out"),
    [
        (sys.__stderr__, logging.INFO, False),
        (sys.__stderr__, logging.ERROR, True),
        (io.StringIO(), logging.INFO, True),
    ],
    ids=["printed by the app", "too low for the app", "kept by the app"],
)
def test_what_a_logger_of_the_app_prints_does_not_come_out_twice(
    written: Written, monkeypatch: pytest.MonkeyPatch, stream: TextIO, level: int, comes_out: bool
) -> None:
    theirs = logging.StreamHandler(stream)
    theirs.setLevel(level)
    app, inside = logging.getLogger("app"), logging.getLogger("app.inside")
    monkeypatch.setattr(app, "handlers", [theirs])
    record = inside.makeRecord(inside.name, logging.INFO, __file__, 1, "hello", (), None)
    log.Handler(written.log).handle(record)
    assert ("hello" in written.text) is comes_out


# The process


PRELUDE = """
import logging, os, sys
from dataclasses import dataclass
from jobd import log
@dataclass
class Settings:
    format: str = "logfmt"
    file: str | None = None
    level: str = "info"
"""


def python(script: str, stdout: int = subprocess.PIPE) -> "subprocess.CompletedProcess[str]":
    """Run a script in a Python of its own, in which ``log`` and ``Settings`` are there."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + script],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(log.__file__).parent.parent,
        timeout=60,
        check=False,
    )


def test_print_and_logging_and_events_reach_stdout_in_order() -> None:
    done = python("""
log.configure(Settings())
log.capture_logging()
log.event("one")
print("two")
logging.getLogger("app").error("three")
logging.getLogger("jobd.job").info("four")
os._exit(0)
""")
    words = ["one", "two", "three", "four"]
    assert [w for line in done.stdout.splitlines() for w in words if w in line] == words
    assert done.stderr == ""


def test_with_a_file_stdout_and_stderr_and_children_write_there(tmp_path: Path) -> None:
    path = tmp_path / "jobd.log"
    done = python(f"""
log.configure(Settings(file={str(path)!r}))
log.event("from jobd")
print("from print")
print("from stderr", file=sys.stderr)
os.system("echo from a command")
pid = os.fork()
if not pid:
    log.event("from a child")
    os._exit(0)
os.waitpid(pid, 0)
""")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    lines = path.read_text().splitlines()
    assert lines[1:4] == ["from print", "from stderr", "from a command"]
    assert lines[0].split()[2] != lines[4].split()[2], "a child must write its own pid"


def test_after_rotation_reopen_writes_to_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "jobd.log"
    python(f"""
log.configure(Settings(file={str(path)!r}))
log.event("old")
log.reopen_if_moved()
os.rename({str(path)!r}, {str(path)!r} + ".1")
log.event("still old")
log.reopen_if_moved()
log.event("new")
os.rename({str(path)!r}, {str(path)!r} + ".2")
log.reopen()
print("newest")
""")
    old, new, newest = (Path(f"{path}{end}").read_text() for end in (".1", ".2", ""))
    assert (old.count("\n"), "still old" in old) == (2, True)
    assert (new.count("\n"), "msg=new" in new) == (1, True)
    assert newest == "newest\n"


def test_a_reopen_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "jobd.log"
    path.parent.mkdir()
    python(f"""
log.configure(Settings(file={str(path)!r}))
os.rename({str(path.parent)!r}, {str(tmp_path / "moved")!r})
log.reopen()
log.event("still here")
""")
    text = (tmp_path / "moved" / "jobd.log").read_text()
    assert 'reason="No such file or directory"' in text
    assert "still here" in text


@pytest.mark.parametrize(
    "trouble",
    [
        # As root no directory is closed to us: ENOTDIR stands for EACCES and ESTALE too.
        "os.rename(directory, directory + '.1'); open(directory, 'w').close()",
        "os.close(1)",
    ],
)
def test_a_log_that_cannot_be_looked_for_stops_nobody(tmp_path: Path, trouble: str) -> None:
    path = tmp_path / "logs" / "jobd.log"
    path.parent.mkdir()
    done = python(f"""
directory = {str(path.parent)!r}
log.configure(Settings(file={str(path)!r}))
{trouble}
log.reopen_if_moved()
os._exit(7)
""")
    assert done.returncode == 7


def test_the_children_of_what_never_blocks_wait_for_the_reader() -> None:
    script = (
        PRELUDE
        + """
log.configure(Settings())
log.never_block()
while not log.current.sink.dropped:
    log.event("full", text="x" * 900)
if os.fork():
    os._exit(0)
log.plain("from the child")
"""
    )
    running = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        cwd=Path(log.__file__).parent.parent,
    )
    assert running.wait(60) == 0
    assert running.stdout is not None
    with running.stdout:
        assert b"from the child\n" in running.stdout.read()


def test_a_log_file_that_cannot_be_opened_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"log file /nowhere/jobd.log: No such file"):
        log.Log().configure(Settings(file="/nowhere/jobd.log"))


def test_a_job_that_prints_to_a_full_disk_goes_on() -> None:
    with Path("/dev/full").open("wb") as full:
        done = python(
            'log.configure(Settings())\nprint("x")\nprint("\\udc80")\nos._exit(7)\n',
            stdout=full.fileno(),
        )
    assert done.returncode == 7


def test_with_stdout_closed_no_other_file_gets_the_lines(tmp_path: Path) -> None:
    done = python(f"""
os.close(0); os.close(1)
log.configure(Settings())
fd = os.open({str(tmp_path / "victim")!r}, os.O_WRONLY | os.O_CREAT)
log.event("hello")
os._exit(fd)
""")
    assert done.returncode > 2
    assert (tmp_path / "victim").read_bytes() == b""
