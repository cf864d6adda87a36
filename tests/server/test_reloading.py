"""``jobd --reload``: a change starts the server anew, a mistake waits for the next change."""

import re

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

JOBS = """
from jobd import Job

class Say(Job):
    def perform(self):
        print("it says {word}")
"""


def test_a_change_starts_the_server_anew(raw: Raw, start_jobd: StartJobd) -> None:
    jobd = start_jobd(jobs=JOBS.format(word="one"), args=["--reload"])
    wire.push(raw, "Say")
    jobd.wait_for_log("it says one")

    app = jobd.directory / "app_jobs.py"
    app.write_text(JOBS.format(word="two"))
    jobd.wait_for_log(r"the server is started anew.*files=app_jobs\.py")
    # Until then the old one takes jobs.
    eventually(lambda: jobd.log().count("ready for jobs") == 2, message=jobd.log)
    wire.push(raw, "Say")
    jobd.wait_for_log("it says two")

    app.write_text("this is no Python")
    jobd.wait_for_log("it is started anew after the next change.*status=78")
    app.write_text(JOBS.format(word="three"))
    wire.push(raw, "Say")
    jobd.wait_for_log("it says three")

    assert jobd.stop() == 0
    assert len(re.findall("msg=stopping", jobd.log())) == 3
    assert not wire.queued(raw)
