"""``jobctl top`` on a terminal of the test's own: what it shows, and what keys do."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pyte
import pytest

from tests.ctl.conftest import (
    COMMAND,
    Captured,
    Say,
    a_process,
    answer,
    environment,
    failed,
    running,
)
from tests.support import servers, wire
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.servers import Raw

pytestmark = pytest.mark.measured

APP = "app-1:71:abc"
COLUMNS, LINES = 120, 30


class Watched:
    """A real ``jobctl top`` on a terminal, and what stands on its screen."""

    def __init__(self, directory: Path, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self.process = subprocess.Popen(
            [*COMMAND, "top", "--every", "0.3", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=directory,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self._stream.feed(os.read(self._ours, 65_536))
            except OSError:
                return

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def shows(self, text: str) -> None:
        eventually(lambda: text in self.text, message=lambda: f"{text!r} on:\n{self.text}")

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def leave(self) -> int:
        """Exit status; the terminal must be as it was."""
        status = self.process.wait(PATIENCE_S)
        assert termios.tcgetattr(self._theirs) == self.before
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._theirs)
        self._reader.join(5)
        os.close(self._ours)


Watch: TypeAlias = Callable[..., Watched]


@pytest.fixture
def watch(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Starts one; ended after the test."""
    for name, text in {**environment(redis_url), "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, text)
    started: list[Watched] = []

    def start(*words: str) -> Watched:
        started.append(Watched(tmp_path, *words))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.mark.process
def test_it_shows_what_there_is_as_it_changes(watch: Watch, raw: Raw) -> None:
    a_process(raw, APP, busy=1)
    running(raw, APP, "MoodSenderJob", "ada@example.com")
    wire.push(raw, "Echo", queue="low")
    top = watch()
    for text in ("enqueued 1 ", "low ", APP, "1 of 5", "MoodSenderJob", "'ada@example.com'"):
        top.shows(text)
    wire.push(raw, "Echo")
    top.shows("default ")
    raw.incrby("stat:processed", 1_000)
    top.shows("processed 1,000 (")
    top.press("q")
    assert top.leave() == 0


@pytest.mark.process
def test_keys_pause_a_queue_quiet_and_stop_a_process_and_retry(watch: Watch, raw: Raw) -> None:
    a_process(raw, APP)
    for queue in ("critical", "low"):
        wire.push(raw, "Echo", queue=queue)
    failed(raw)
    top = watch()
    top.shows("retries 1")
    top.press("\x1b[B")
    top.press("p")
    top.shows("low is paused")
    assert raw.smembers("paused") == {b"low"}
    top.press("p")
    top.shows("low is not paused any more")
    top.press("\tp")
    top.shows("takes no more jobs")
    assert raw.lrange(f"{APP}-signals", 0, -1) == [b"TSTP"]
    top.press("s")
    top.shows(f"stop {APP}? y / n")
    top.press("n")
    top.shows("nothing was done")
    top.press("sy")
    top.shows("finishes its jobs and leaves")
    assert raw.lrange(f"{APP}-signals", 0, -1) == [b"TERM", b"TSTP"]
    top.press("r")
    top.shows("retry all 1 job of retry now? y / n")
    top.press("y")
    top.shows("retried 1 job")
    assert raw.zcard("retry") == 0
    top.press("q")
    assert top.leave() == 0


@pytest.mark.process
def test_ctrl_c_leaves_and_the_terminal_is_as_it_was(watch: Watch, raw: Raw) -> None:
    top = watch()
    top.shows("no process runs here")
    top.process.send_signal(2)
    assert top.leave() == 0


@pytest.mark.process
def test_an_outage_is_told_on_the_screen_and_passes(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with servers.running("valkey") as valkey:
        monkeypatch.setenv("REDIS_URL", valkey.url())
        top = watch()
        top.shows("no process runs here")
        valkey.stop()
        top.shows("cannot use Redis")
        valkey.start()
        eventually(lambda: "cannot use Redis" not in top.text, message=lambda: top.text)
        top.press("q")
        assert top.leave() == 0


@pytest.mark.process
def test_without_the_extra_it_says_what_to_install(
    watch: Watch, tmp_path: Path, redis_url: str
) -> None:
    (tmp_path / "rich.py").write_text("raise ImportError('no rich')")
    top = watch()
    top.shows('jobctl: no rich: top needs pip install "jobd-server[tui]"')
    assert top.leave() == 69


def test_without_a_terminal_it_refuses_and_json_is_one_look(
    say: Say, raw: Raw, capsys: Captured
) -> None:
    a_process(raw, APP)
    jid = running(raw, APP)
    assert say("top") == 64
    assert "jobctl: top needs a terminal" in capsys.readouterr().err
    assert say("top", "--json") == 0
    found = answer(capsys)
    assert [process["identity"] for process in found["processes"]] == [APP]
    assert [work["payload"]["jid"] for work in found["works"]] == [jid]
