"""The log of a whole process: its standard output and error, its children, its file."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobd import log
from jobd.errors import ConfigError
from tests.logs.parts import Settings

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
