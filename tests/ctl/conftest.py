"""jobctl in this process, and a real one on a terminal."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from jobd import ctl

Say: TypeAlias = Callable[..., int]
Captured: TypeAlias = pytest.CaptureFixture[str]

COMMAND = (sys.executable, "-c", "import sys; from jobd.ctl import main; sys.exit(main())")


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run the command in an empty directory and environment; returns its exit status."""
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "REDIS_PROVIDER", "JOBD_ENV", "APP_ENV"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["jobctl", *words])
        try:
            return ctl.main()
        except SystemExit as end:
            return int(str(end.code))

    return run


@pytest.fixture
def say(outside: Say, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Say:
    """The same, with a server."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    return outside


def answer(capsys: Captured) -> Any:
    return json.loads(capsys.readouterr().out)


def environment(url: str) -> dict[str, str]:
    return {"REDIS_URL": url, "PYTHONPATH": str(Path(ctl.__file__).parents[2])}


def on_a_terminal(url: str, directory: Path, *words: str, said: str = "") -> tuple[int, str]:
    """Exit status and stdout of a real jobctl whose stdin, and stdout, are a terminal."""
    ours, theirs = pty.openpty()
    os.write(ours, said.encode())
    process = subprocess.Popen(
        [*COMMAND, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        cwd=directory,
        env=environment(url),
    )
    status = process.wait(20)
    text = os.read(ours, 10_000).decode() if not said else ""
    os.close(ours)
    os.close(theirs)
    return status, text.replace("\r\n", "\n")
