"""jobctl in this process, and a real one on a terminal."""

import contextlib
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
from tests.support import wire
from tests.support.eventually import PATIENCE_S
from tests.support.servers import Raw

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
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
        while part := os.read(ours, 10_000):
            text += part
    os.close(ours)
    return process.wait(PATIENCE_S), "" if said else text.decode().replace("\r\n", "\n")


def failed(raw: Raw, name: str = "MoodSenderJob", *args: Any, **fields: Any) -> str:
    """Put a job that has failed once into ``retry``, due in an hour; returns its jid."""
    error = {"error_class": "OSError", "error_message": "smtp is down", "retry_count": 0}
    payload = wire.a_payload(name, *args, **{"failed_at": wire.now_ms(), **error, **fields})
    raw.zadd("retry", {wire.encode(payload): wire.now_ms() / 1000 + 3600})
    return str(payload["jid"])


def buried(raw: Raw, name: str = "MoodSenderJob", *args: Any, **fields: Any) -> str:
    """Put a job into ``dead``; returns its jid."""
    payload = wire.a_payload(name, *args, **fields)
    raw.zadd("dead", {wire.encode(payload): wire.now_ms() / 1000})
    return str(payload["jid"])


def a_process(raw: Raw, identity: str, *, is_jobd: bool = True, **told: Any) -> None:
    """Have an instance with a heartbeat, which nobody renews."""
    host, pid, _ = identity.split(":")
    info = {"hostname": host, "pid": int(pid), "tag": "shop", "queues": ["default", "low"]}
    raw.sadd("processes", identity)
    beat = {"concurrency": 5, "busy": 0, "beat": wire.now_ms() / 1000, "rss": 81920}
    told = {"info": json.dumps(info), "quiet": "false", **beat, **told}
    raw.hset(identity, mapping=told)
    if is_jobd:
        raw.hset(f"jobd:instance:{identity}", mapping={"state": "running"})


def running(raw: Raw, identity: str, name: str = "Echo", *args: Any, **fields: Any) -> str:
    """Have the instance run a job since a minute; returns its jid."""
    payload = wire.a_payload(name, *args, **fields)
    work = {
        "queue": "default",
        "payload": wire.encode(payload).decode(),
        "run_at": wire.now_ms() // 1000 - 60,
    }
    raw.hset(f"{identity}:work", "1.0.1", json.dumps(work))
    return str(payload["jid"])
