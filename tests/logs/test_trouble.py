"""A log that cannot be written."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from jobd import log
from jobd.sink import Sink
from tests.logs.parts import Settings, Written


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
    log.set_job("abc", "Echo", "default")
    full.event("heard")
    log.clear_job()
    heard = os.read(ours, 1 << 20).decode()
    os.close(ours)
    os.close(theirs)
    told = 'msg="log lines were lost: they could not be written" count=2 reason="'
    (line,) = [line for line in heard.splitlines() if told in line]
    assert "jid=" not in line  # the job of that moment has nothing to do with it
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
    sink = Sink(fd)
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
