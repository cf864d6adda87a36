"""Starting it: what the command line says, and what makes it leave again at once."""

import os
import re
from typing import Any

import pytest

from tests.support import servers, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import SAMPLE_JOBS, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

EX_TEMPFAIL, EX_CONFIG = 75, 78

OTHER_REDIS = """
import jobd

@jobd.configure_server
def server(config):
    config.redis = {"url": "redis://:secret@other.example:6380/3"}
"""

SAME_REDIS = """
import os, jobd
from tests.support.sample_jobs import Echo

@jobd.configure_server
def server(config):
    config.redis = {"url": os.environ["REDIS_URL"]}
"""


def test_queues_are_named_on_the_command_line_without_a_file(raw: Raw, start_jobd: StartJobd):
    args = ["-q", "high", "-q", "default,2", "-r", str(SAMPLE_JOBS), "-c", "1"]
    jobd = start_jobd(config=None, args=args)
    for queue in ("high", "default"):
        wire.push(raw, "Echo", queue, queue=queue)

    eventually(lambda: len(jobd.ran()) == 2, message=jobd.log)

    jobd.wait_for_log(r"workers .*queues=.high default,2. order=weighted")
    assert jobd.stop() == 0


def test_the_boot_line_says_how_many_workers_auto_is_and_why(raw: Raw, start_jobd: StartJobd):
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        jobd = start_jobd(args=["-c", "auto"])
    finally:
        os.sched_setaffinity(0, cpus)
    jobd.wait_for_log(r'workers .*concurrency="1 process" auto="')
    wire.push(raw, "Echo")
    eventually(jobd.ran, message=jobd.log)
    assert jobd.stop() == 0


def test_another_redis_in_configure_server_ends_the_boot_and_both_are_named(
    redis_url: str, start_jobd: StartJobd
):
    jobd = start_jobd(ready=False, jobs=OTHER_REDIS, config={"concurrency": 2})

    assert jobd.wait() == EX_CONFIG
    assert "redis://:***@other.example:6380/3" in jobd.log()
    assert f"works on {redis_url}" in jobd.log()
    assert "secret" not in jobd.log()


def test_the_same_redis_in_configure_server_is_fine(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=SAME_REDIS)
    wire.push(raw, "Echo")

    eventually(jobd.ran, message=jobd.log)


def test_app_that_cannot_be_imported_is_told_once_and_ends_the_boot(start_jobd: StartJobd):
    jobd = start_jobd(ready=False, jobs="import nothing_of_the_kind\n", config={"concurrency": 3})

    assert jobd.wait() == EX_CONFIG
    assert len(re.findall("Traceback", jobd.log())) == 1
    assert len(re.findall("ModuleNotFoundError: No module", jobd.log())) == 1
    assert jobd.orphans() == []


def test_module_that_is_not_there_ends_the_boot_with_one_sentence(start_jobd: StartJobd):
    jobd = start_jobd(ready=False, config={"require": ["no_such_app"]})

    assert jobd.wait() == EX_CONFIG
    assert re.search(r"there is no module .*no_such_app", jobd.log())
    assert "Traceback" not in jobd.log()


def test_check_of_what_is_good_says_so(start_jobd: StartJobd):
    jobd = start_jobd(ready=False, args=["--check"])

    assert jobd.wait() == 0
    assert re.search(r"loads.* jobs=.*Echo", jobd.log())
    assert "all is well" in jobd.log()


def test_check_with_a_private_store_is_well_too(start_jobd: StartJobd):
    jobd = start_jobd(ready=False, args=["--check"], config={"redis": "embedded"}, redis_url=None)

    assert jobd.wait() == 0
    assert re.search(r"the private store is started by the server.*-server", jobd.log())
    assert "all is well" in jobd.log()
    assert not (jobd.directory / ".jobd").exists()


@pytest.mark.parametrize(
    ("config", "found"),
    [({"require": []}, "no module is named"), ({}, "app_jobs defines none")],
    ids=["nothing required", "no job in what is required"],
)
def test_server_that_knows_no_job_says_so_once_and_what_to_do(
    config: dict[str, Any], found: str, start_jobd: StartJobd
):
    started = start_jobd(jobs="", config={"concurrency": 2, **config})
    checked = start_jobd(jobs="", config=config, ready=False, args=["--check"])

    assert checked.wait() == 0
    assert "all else is well" in checked.log()
    for jobd in (started, checked):
        (line,) = re.findall(r".*no job is known here.*", jobd.log())
        assert found in line
        assert "-r MODULE" in line


def test_check_of_an_app_that_raises_shows_where(start_jobd: StartJobd):
    jobd = start_jobd(ready=False, args=["--check"], jobs="1 / 0\n")

    assert jobd.wait() == EX_CONFIG
    assert "ZeroDivisionError" in jobd.log()
    assert "app_jobs.py" in jobd.log()


def test_check_of_another_redis_in_configure_server_names_both(
    redis_url: str, start_jobd: StartJobd
):
    jobd = start_jobd(ready=False, args=["--check"], jobs=OTHER_REDIS)

    assert jobd.wait() == EX_CONFIG
    assert "redis://:***@other.example:6380/3" in jobd.log()
    assert redis_url in jobd.log()
    assert "Traceback" not in jobd.log()


def test_check_without_a_redis_names_it_and_the_remedy(start_jobd: StartJobd):
    url = f"redis://127.0.0.1:{servers.free_port()}/0"
    jobd = start_jobd(ready=False, args=["--check"], redis_url=url)

    assert jobd.wait() == EX_TEMPFAIL
    assert f"cannot use Redis at {url}" in jobd.log()
    assert "Traceback" not in jobd.log()


def test_check_of_a_bad_file_names_every_problem_with_its_line(start_jobd: StartJobd):
    jobd = start_jobd(ready=False, args=["--check"], config="concurency: 2\ntimeout: soon\n")

    assert jobd.wait() == EX_CONFIG
    assert re.search(r"jobd\.yml:1: .*concurency.*concurrency", jobd.log())
    assert re.search(r"jobd\.yml:2: timeout", jobd.log())
