"""The shipped units under a real systemd: all in one test, since a boot of it costs seconds.

Where none can be booted, what it would hear is tested all the same
(``server/test_systemd_messages.py``), and the run says so at its end.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import FOR_THE_SUMMARY
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import SAMPLE_JOBS
from tests.support.servers import Raw
from tests.support.systemd import CannotBoot, Systemd

pytestmark = [pytest.mark.process, pytest.mark.redis, pytest.mark.slow]

UNIT = "jobd.service"
PROBES = """
import json, os, subprocess
from pathlib import Path
from jobd import Job

def refused(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "allowed"

class Probe(Job):
    def perform(self):
        state = Path(os.environ["STATE_DIRECTORY"]) / "kept"
        found = {
            "etc": refused(lambda: Path("/etc/jobd-was-here").write_text("x")),
            "usr": refused(lambda: Path("/usr/jobd-was-here").write_text("x")),
            "home": refused(lambda: os.listdir("/root")),
            "state": refused(lambda: state.write_text("x")),
            "user": os.getuid(),
            "processes": subprocess.run(["echo", "run"], capture_output=True, text=True).stdout,
            "privileges": "NoNewPrivs:\\t1" in Path("/proc/self/status").read_text(),
            "notify": "NOTIFY_SOCKET" in os.environ,
        }
        Path("probed.json").write_text(json.dumps(found))
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A directory with settings and jobs."""
    config: dict[str, Any] = {"concurrency": 1, "timeout": 8}
    config["require"] = ["sample_jobs.py", "probes.py"]
    (tmp_path / "jobd.yml").write_text(yaml.safe_dump(config))
    (tmp_path / "sample_jobs.py").write_text(SAMPLE_JOBS.read_text())
    (tmp_path / "probes.py").write_text(PROBES)
    return tmp_path


@pytest.mark.timeout(400)
def test_A6_a_real_systemd_starts_confines_drains_watches_and_restarts_jobd(
    app: Path, redis_url: str, raw: Raw, record_property: Callable[[str, object], None]
) -> None:
    try:
        systemd = Systemd(app, redis_url)
    except CannotBoot as error:
        said = (
            f"systemd: none could be booted ({error}): its messages were heard by a fake one only"
        )
        record_property(FOR_THE_SUMMARY, said)
        pytest.skip(said)
    with systemd:
        it_counts_as_started_when_it_is_ready(systemd)
        jobs_are_confined(systemd, app, raw)
        its_lines_have_their_priorities_in_the_journal(systemd)
        a_reload_that_fails_changes_nothing_and_says_why(systemd, app)
        a_drain_may_last_longer_than_systemd_meant_to_wait(systemd, app, raw)
        a_master_that_hangs_is_replaced_and_leaves_its_stack(systemd)
        a_killed_master_takes_all_with_it_and_is_replaced(systemd)
        instances_of_the_template_stop_with_the_target(systemd)
        what_would_fail_again_is_not_tried_again(systemd, app)
    record_property(FOR_THE_SUMMARY, "systemd: the units ran under a real one")


def it_counts_as_started_when_it_is_ready(systemd: Systemd) -> None:
    systemd.systemctl("start", "--no-block", UNIT)
    systemd.expect(UNIT, SubState="running", StatusText="ready 1/1")


def jobs_are_confined(systemd: Systemd, app: Path, raw: Raw) -> None:
    wire.push(raw, "Probe")
    eventually((app / "probed.json").exists, message=lambda: systemd.story(UNIT))
    found = eventually(lambda: yaml.safe_load((app / "probed.json").read_text()))
    assert found == {
        "etc": "OSError",  # EROFS
        "usr": "OSError",
        "home": "PermissionError",
        "state": "allowed",
        "user": app.stat().st_uid,
        "processes": "run\n",
        "privileges": True,
        "notify": False,
    }


def its_lines_have_their_priorities_in_the_journal(systemd: Systemd) -> None:
    entries = systemd.journal(UNIT)
    (done,) = (each for each in entries if "msg=done class=Probe" in each["MESSAGE"])
    assert done["PRIORITY"] == "6"
    assert done["SYSLOG_IDENTIFIER"] == "jobd"
    assert done["MESSAGE"].startswith("level=info pid=")


def a_reload_that_fails_changes_nothing_and_says_why(systemd: Systemd, app: Path) -> None:
    good, master = (app / "jobd.yml").read_text(), systemd.show(UNIT)["MainPID"]
    (app / "jobd.yml").write_text("concurency: 1\n")
    assert systemd.systemctl("reload", UNIT).returncode != 0
    said = [str(each["MESSAGE"]) for each in systemd.journal(UNIT)]
    assert any('did you mean "concurrency"?' in line for line in said)
    (app / "jobd.yml").write_text(good)
    (app / "probes.py").write_text("import nowhere")
    assert systemd.systemctl("reload", UNIT).returncode != 0
    systemd.expect(UNIT, StatusText="ready 1/1, 0 jobs running; reload failed: ")
    (app / "probes.py").write_text(PROBES)
    assert systemd.systemctl("reload", UNIT).returncode == 0
    systemd.expect(UNIT, StatusText="ready 1/1, 0 jobs running", MainPID=master)


def a_drain_may_last_longer_than_systemd_meant_to_wait(
    systemd: Systemd, app: Path, raw: Raw
) -> None:
    systemd.drop_in(UNIT, "[Service]\nTimeoutStopSec=1\nWatchdogSec=4\nTimeoutAbortSec=60\n")
    systemd.systemctl("restart", UNIT)
    wire.push(raw, "Hold", "long")
    systemd.expect(UNIT, StatusText="ready 1/1, 1 job running")
    systemd.systemctl("stop", "--no-block", UNIT)
    systemd.expect(UNIT, StatusText="draining 1 job, 4 s left")  # three times what it would wait
    (app / "released-long").touch()
    systemd.expect(UNIT, ActiveState="inactive", Result="success", NRestarts="0")
    assert '"event": "done", "class": "Hold"' in (app / "ran.jsonl").read_text()


def a_master_that_hangs_is_replaced_and_leaves_its_stack(systemd: Systemd) -> None:
    systemd.systemctl("start", UNIT)
    systemd.kill(UNIT, "STOP")
    # systemd sends CONT after its ABRT, so that is heard at once.
    systemd.expect(UNIT, NRestarts="1", StatusText="ready 1/1")
    said = "\n".join(str(each["MESSAGE"]) for each in systemd.journal(UNIT))
    assert "Fatal Python error: Aborted" in said
    assert re.search(r"master\.py.* in _wait", said)


def a_killed_master_takes_all_with_it_and_is_replaced(systemd: Systemd) -> None:
    before = systemd.processes(UNIT)
    systemd.kill(UNIT, "KILL")
    systemd.expect(UNIT, NRestarts="2", SubState="running", StatusText="ready 1/1")
    assert not before & systemd.processes(UNIT)
    systemd.systemctl("stop", UNIT)


def instances_of_the_template_stop_with_the_target(systemd: Systemd) -> None:
    systemd.systemctl("start", "jobd.target", "jobd@blue")
    systemd.expect("jobd@blue", StatusText="ready 1/1", Slice="jobd.slice")
    systemd.systemctl("stop", "jobd.target")
    systemd.expect("jobd@blue", ActiveState="inactive", Result="success")


def what_would_fail_again_is_not_tried_again(systemd: Systemd, app: Path) -> None:
    (app / "probes.py").write_text("import nowhere")
    assert systemd.systemctl("start", UNIT).returncode != 0
    expected = {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    systemd.expect(
        UNIT, **expected, StatusText="the application cannot be loaded", StatusErrno="22"
    )
