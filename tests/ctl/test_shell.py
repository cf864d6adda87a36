"""``jobctl shell``: the application, and jobd.api, at a prompt."""

import subprocess
from pathlib import Path

import pytest

from tests.ctl.conftest import COMMAND, environment
from tests.support import wire
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

JOBS = """
from jobd import Job, job

class Greet(Job):
    def perform(self, name: str) -> None: ...

@job
def add(x: int, y: int) -> None: ...
"""


def shell(url: str, directory: Path, *words: str, said: str) -> tuple[int, str]:
    done = subprocess.run(
        [*COMMAND, "shell", *words],
        input=said,
        cwd=directory,
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_jobs_can_be_pushed_and_looked_at(raw: Raw, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "my_jobs.py").write_text(JOBS)
    (tmp_path / "jobd.yml").write_text("require: [my_jobs]")
    said = (
        "jid = Greet.perform_async('Ada'); add.perform_async(1, 2)\nprint(Queue('default').size)\n"
    )
    status, told = shell(redis_url, tmp_path, said=said)
    assert status == 0
    assert "jobs: Greet add" in told
    assert "2\n" in told
    assert [payload["args"] for payload in wire.queued(raw)] == [["Ada"], [1, 2]]


def test_something_else_can_be_loaded(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(JOBS)
    status, told = shell(redis_url, tmp_path, "-r", "other.py", said="print(Greet.wire_name)\n")
    assert (status, "Greet\n" in told) == (0, True)


def test_what_cannot_be_loaded_is_told(redis_url: str, tmp_path: Path) -> None:
    status, told = shell(redis_url, tmp_path, "-r", "nowhere", said="")
    assert status == 78
    assert 'there is no module "nowhere"' in told
