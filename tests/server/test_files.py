"""The files of a server: its pid file, and a log that is renamed, or on a full disk."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support import leash, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.process, pytest.mark.redis]

ROTATE = Path(__file__).parents[2] / "etc" / "logrotate.d" / "jobd"


def runs(jobd: JobdProcess, raw: Raw, number: int) -> None:
    """Push a job, and wait until it has run."""
    wire.push(raw, "Echo", number)
    eventually(lambda: [number] in [run["args"] for run in jobd.ran()], message=jobd.log)


def test_a_second_server_with_the_same_pid_file_leaves_and_names_the_first(
    start_jobd: StartJobd, tmp_path: Path
) -> None:
    path = tmp_path / "jobd.pid"
    first = start_jobd(args=["-P", str(path)])
    second = start_jobd(args=["-P", str(path)], ready=False)
    assert second.wait() == os.EX_CANTCREAT
    assert f"another jobd runs already, with pid {first.pid}" in second.log()
    assert path.read_text() == f"{first.pid}\n"
    assert first.stop() == 0
    assert not path.exists()


def test_every_process_follows_a_log_that_was_renamed(
    start_jobd: StartJobd, raw: Raw, tmp_path: Path
) -> None:
    path = tmp_path / "log" / "jobd.log"
    path.parent.mkdir()
    jobd = start_jobd(args=["-L", str(path)])
    path.rename(path.with_name("old.log"))
    eventually(path.exists, message=jobd.log)

    def worker_has_followed() -> bool:
        runs(jobd, raw, len(jobd.ran()))
        return "done class=Echo" in path.read_text()

    eventually(worker_has_followed, message=jobd.log)
    jobd.signal(signal.SIGTSTP)
    eventually(lambda: f"pid={jobd.pid} msg=quiet" in path.read_text().replace('"', ""))


def test_logrotate_takes_the_file_away_and_no_line_is_lost(
    start_jobd: StartJobd, raw: Raw, tmp_path: Path
) -> None:
    program = leash.needs("/usr/sbin/logrotate", "logrotate")
    logs = tmp_path / "log"
    logs.mkdir(mode=0o755)
    jobd = start_jobd(args=["-L", str(logs / "jobd.log")])
    runs(jobd, raw, 1)
    owner = f"{logs.owner()} {logs.group()}"
    text = ROTATE.read_text().replace("/var/log/jobd", str(logs)).replace("jobd jobd", owner)
    text = re.sub(r"systemctl kill .*", f"kill -USR1 {jobd.pid}", text)
    config = tmp_path / "rotate.conf"
    config.write_text(text)
    config.chmod(0o644)
    command = [program, "--force", "--state", str(tmp_path / "state"), str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    eventually(lambda: "log files reopened" in (logs / "jobd.log").read_text(), message=jobd.log)
    runs(jobd, raw, 2)

    def lines() -> list[str]:
        texts = [path.read_text() for path in logs.iterdir()]
        return re.findall("msg=(start|done) class=Echo", "\n".join(texts))

    eventually(lambda: sorted(lines()) == ["done", "done", "start", "start"])
    assert len(list(logs.iterdir())) == 2


def test_a_full_disk_loses_lines_and_no_job(start_jobd: StartJobd, raw: Raw) -> None:
    jobd = start_jobd(args=["-L", "/dev/full"], config={"concurrency": 2})
    for number in range(20):
        wire.push(raw, "Echo", number)
    eventually(lambda: len(jobd.ran()) == 20, message=jobd.log)
    eventually(lambda: wire.privates(raw) == [], message=jobd.log)
    assert jobd.stop() == 0
    assert not raw.exists("retry", "dead")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is warned")
@pytest.mark.parametrize(("environment", "is_warned"), [("production", True), ("test", False)])
def test_root_is_warned_where_it_counts(
    start_jobd: StartJobd, environment: str, is_warned: bool
) -> None:
    jobd = start_jobd(args=["-e", environment])
    assert ("started as root" in jobd.log()) is is_warned


def test_on_heroku_the_dyno_is_the_host(start_jobd: StartJobd, raw: Raw) -> None:
    jobd = start_jobd(env={"DYNO": "worker.1"})
    (identity,) = eventually(lambda: raw.smembers("processes"), message=jobd.log)
    assert identity.decode().startswith(f"worker.1:{jobd.pid}:")
    assert raw.hget(identity, "info").find(b'"hostname":"worker.1"') > 0
