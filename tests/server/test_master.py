"""What the master never does, seen from outside: so nothing that goes wrong there takes it down."""

import signal

import psutil
import pytest

from tests.server.load import PATIENCE_S
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

TELLING = """
import os
from pathlib import Path
from tests.support.sample_jobs import Echo

with Path("imported").open("a") as file:
    file.write(f"{os.getpid()}\\n")
"""


@pytest.mark.parametrize("preload", [True, False])
def test_the_master_imports_no_application_starts_no_thread_and_opens_no_connection(
    raw: Raw, start_jobd: StartJobd, *, preload: bool
):
    jobd = start_jobd(config={"preload": preload}, jobs=TELLING)
    (first,) = jobd.children("worker")
    jobd.signal(signal.SIGHUP)
    jobd.wait_for_log("the new generation is in force", timeout=PATIENCE_S)
    wire.push(raw, "Echo")
    eventually(jobd.ran, message=jobd.log)

    imported = (jobd.directory / "imported").read_text().split()
    assert len(imported) >= 2  # at the boot and at the reload
    assert str(jobd.pid) not in imported
    assert psutil.Process(jobd.pid).num_threads() == 1
    assert psutil.Process(jobd.pid).net_connections(kind="inet") == []
    eventually(lambda: first.pid not in {child.pid for child in jobd.children("worker")})
    assert jobd.stop() == 0
