"""HUP and USR2 from outside: what is replaced, when, and what happens when it goes wrong.

The children are toys (tests/toy_master.py), whose options a reload reads from ``new.json``.
"""

import json
import os
import re
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from tests.support.eventually import eventually
from tests.support.toy_instance import Instance, Start, starting

pytestmark = pytest.mark.process


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path) as begin:
        yield begin


def change(directory: Path, **options: object) -> None:
    (directory / "new.json").write_text(json.dumps(options))


def workers(instance: Instance) -> set[int]:
    return {pid for name, pid in instance.children().items() if name.startswith("worker")}


def at(instance: Instance, event: str) -> datetime:
    """When something was logged."""
    line = next(line for line in instance.log.splitlines() if event in line)
    return datetime.fromisoformat(line.partition(" ")[0].removeprefix("ts="))


def until_in_force(instance: Instance, generation: int) -> None:
    instance.sees(f'msg="the new generation is in force" generation={generation}')
    instance.sees(f"generation={generation} state=done")


def fewest_serving(log: str, workers: int) -> int:
    """How many were ready and not asked to leave, at each moment since the first so many were."""
    serving: set[str] = set()
    fewest: list[int] = []
    for event, slot in re.findall(
        r'msg="toy (serves|got)" slot=([1-9]\d*).*(?:SIGTERM|incar)', log
    ):
        serving = serving | {slot} if event == "serves" else serving - {slot}
        if fewest or len(serving) == workers:
            fewest.append(len(serving))
    return min(fewest)


@pytest.mark.parametrize("preload", ["import_app", None])
@pytest.mark.parametrize("how", ["HUP", "USR2", "age"])
def test_there_are_never_fewer_workers_serving_than_there_should_be(
    start: Start, how: str, preload: str | None
) -> None:
    age = {"max_age_s": 1.0} if how == "age" else {}
    instance = start(workers=4, preload=preload, min_uptime_s=0.1, **age).until_ready(4)
    if how == "age":
        instance.sees("is replaced", 6)
    else:
        for generation in (2, 3):
            instance.kill(signal.Signals[f"SIG{how}"])
            until_in_force(instance, generation)
    log = instance.log
    assert log.count('msg="toy got"') >= 4
    assert fewest_serving(log, 4) == 4
    assert instance.term() == 0


@pytest.mark.parametrize("preload", ["import_app", None])
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_all_workers_are_replaced_and_master_and_poller_stay(
    start: Start, number: int, preload: str | None
) -> None:
    instance = start(workers=3, preload=preload).until_ready(3)
    before, poller = workers(instance), instance.children()["poller"]
    instance.kill(number)
    until_in_force(instance, 2)
    eventually(lambda: len(workers(instance)) == 3)
    assert not workers(instance) & before
    if number == signal.SIGUSR2:
        assert instance.children()["poller"] == poller
    instance.sees('status="exit 0"', 3)
    assert instance.term() == 0


def test_an_old_worker_is_asked_to_leave_when_the_new_one_has_been_ready_for_a_while(
    start: Start,
) -> None:
    instance = start(workers=1, min_uptime_s=1).until_ready(1)
    instance.kill(signal.SIGUSR2)
    until_in_force(instance, 2)
    instance.sees('msg="toy leaves"')
    moments = [at(instance, f'msg="toy {event}') for event in ('ready" slot=2', 'leaves" slot=1')]
    # Less than a second: the new one wrote its line after it had told the master.
    assert moments[1] - moments[0] >= timedelta(seconds=0.5)
    assert instance.term() == 0


def test_one_is_replaced_after_the_other(start: Start) -> None:
    instance = start(workers=3).until_ready(3)
    instance.kill(signal.SIGUSR2)
    until_in_force(instance, 2)
    order = [line.split("msg=")[1] for line in instance.log.splitlines() if "is replaced" in line]
    assert [line[: len('"worker 1')] for line in order] == ['"worker 1', '"worker 2', '"worker 3']
    assert instance.term() == 0


def test_a_worker_with_a_long_job_stays_until_it_is_done(start: Start) -> None:
    instance = start(workers=1, busy=1, timeout_s=0.1).until_ready(1)
    (busy,) = workers(instance)
    instance.kill(signal.SIGUSR2)
    until_in_force(instance, 2)
    instance.kill(signal.SIGUSR2)
    until_in_force(instance, 3)
    assert busy in workers(instance)
    assert "SIGUSR2" not in instance.log
    os.kill(busy, signal.SIGUSR2)  # ends the toy's job
    eventually(lambda: busy not in workers(instance))
    eventually(lambda: len(workers(instance)) == 1)
    assert instance.term() == 0


@pytest.mark.parametrize("preload", ["import_app", None])
def test_a_configuration_that_is_refused_changes_nothing_and_says_why(
    start: Start, tmp_path: Path, preload: str | None
) -> None:
    instance = start(preload=preload).until_ready()
    before = instance.children()
    change(tmp_path, refuse="jobd.yml:3: concurrency: must be a whole number")
    instance.kill(signal.SIGHUP)
    instance.sees(f'level=error pid={instance.process.pid} msg="reload refused')
    instance.sees('state=failed text="jobd.yml:3: concurrency: must be a whole number"')
    eventually(lambda: instance.children() == before)
    change(tmp_path)
    instance.kill(signal.SIGHUP)
    until_in_force(instance, 2)
    assert instance.term() == 0


def test_a_refusal_tells_all_that_is_wrong(start: Start, tmp_path: Path) -> None:
    instance = start().until_ready()
    change(tmp_path, refuse="jobd.yml:3: this is wrong\njobd.yml:7: that is, too")
    instance.kill(signal.SIGHUP)
    instance.sees('state=failed text="jobd.yml:3: this is wrong; jobd.yml:7: that is, too"')
    assert instance.term() == 0


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"behaviour": "crash_at_boot"}, "it left before it was ready: exit 3"),
        ({"behaviour": "crash_once_ready"}, "exit 78"),
        ({"behaviour": "fail_for_good"}, "no module named toys"),
        ({"behaviour": "never_ready", "boot_timeout_s": 0.2}, "it was not ready in 0.2 s"),
        ({"preload": "fail_to_import"}, "no module named toys"),
    ],
)
@pytest.mark.parametrize("preload", ["import_app", None])
def test_workers_that_fail_leave_the_old_generation_in_force(
    start: Start, tmp_path: Path, changed: dict[str, object], why: str, preload: str | None
) -> None:
    instance = start(preload=preload, min_uptime_s=0.2).until_ready()
    before = workers(instance)
    change(tmp_path, **changed)
    instance.kill(signal.SIGHUP)
    instance.sees("the new generation fails: the old one goes on")
    instance.sees("generation=1 state=failed")
    assert why in instance.log.split("state=failed")[1].splitlines()[0]
    eventually(lambda: workers(instance) == before)
    assert not re.search(r'"mold left".*again_in', instance.log)  # it had one chance
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    instance.sees("incarnation=2")
    assert instance.term() == 0


def test_what_was_replaced_already_is_replaced_back(start: Start, tmp_path: Path) -> None:
    instance = start(workers=2, preload="import_app").until_ready()
    change(tmp_path, behaviour="only_the_first")
    instance.kill(signal.SIGHUP)
    instance.sees("the new generation fails: the old one goes on")
    instance.sees("all workers are of the old generation again")
    eventually(lambda: len(workers(instance)) == 2)
    instance.kill(signal.SIGTTIN)
    eventually(lambda: instance.count("state=idle") == 3)
    assert instance.count("generation=1 doing") == 3
    assert instance.term() == 0


def test_more_or_fewer_workers_touch_no_other(start: Start, tmp_path: Path) -> None:
    instance = start(workers=2, preload="import_app").until_ready()
    before = workers(instance)
    change(tmp_path, workers=4, live=True)
    instance.kill(signal.SIGHUP)
    eventually(lambda: len(workers(instance)) == 4)
    assert before < workers(instance)
    change(tmp_path, workers=1, live=True)
    instance.kill(signal.SIGHUP)
    eventually(lambda: len(workers(instance)) == 1)
    assert instance.count("toy app imported") == 1
    assert instance.term() == 0


def test_many_hups_and_usr2s_end_in_one_generation(start: Start) -> None:
    instance = start(preload="import_app", min_uptime_s=0.05).until_ready()
    for _ in range(10):
        instance.kill(signal.SIGHUP)
        instance.kill(signal.SIGUSR2)
        instance.children()
    eventually(lambda: "state=done" in instance.log.rpartition("toy reloaded")[2])
    eventually(lambda: len(instance.children()) == 4)
    assert instance.term() == 0
    assert "level=error" not in instance.log


@pytest.mark.parametrize("preload", ["import_app", None])
def test_a_stop_in_the_middle_of_a_roll_wins(start: Start, preload: str | None) -> None:
    instance = start(workers=2, preload=preload, min_uptime_s=60).until_ready()
    instance.kill(signal.SIGHUP)
    instance.sees("is replaced")
    assert instance.term() == 0


def test_an_old_worker_that_is_killed_in_a_roll_does_not_stop_it(start: Start) -> None:
    instance = start(workers=1, min_uptime_s=2).until_ready(1)
    (old,) = workers(instance)
    instance.kill(signal.SIGUSR2)
    instance.sees('msg="toy ready" slot=2')
    os.kill(old, signal.SIGKILL)
    until_in_force(instance, 2)
    eventually(lambda: list(instance.children()) == ["poller", "worker 2"])
    assert instance.term() == 0


def test_quiet_workers_are_replaced_by_quiet_ones(start: Start) -> None:
    instance = start(workers=1).until_ready(1)
    instance.kill(signal.SIGTSTP)
    instance.sees("signal=SIGTSTP")
    instance.kill(signal.SIGUSR2)
    until_in_force(instance, 2)
    instance.sees('msg="toy got" slot=2 signal=SIGTSTP')
    assert instance.term() == 0


def test_hup_from_redis_reloads(start: Start) -> None:
    instance = start(remote="HUP")
    until_in_force(instance, 2)
    assert instance.term() == 0


def test_a_new_poller_knows_what_became_of_the_last_reload(start: Start, tmp_path: Path) -> None:
    instance = start().until_ready()
    change(tmp_path, refuse="a mistake")
    instance.kill(signal.SIGHUP)
    instance.sees('state=failed text="a mistake"')
    os.kill(instance.children()["poller"], signal.SIGKILL)
    instance.sees('state=failed text="a mistake"', 2)
    assert instance.term() == 0


def test_rolls_leak_no_descriptor_and_no_process(start: Start) -> None:
    instance = start(preload="import_app", min_uptime_s=0).until_ready()
    master = psutil.Process(instance.process.pid)
    held = master.num_fds()
    for generation in range(2, 6):
        instance.kill(signal.SIGHUP)
        until_in_force(instance, generation)
        eventually(lambda: len(instance.children()) == 4)
        eventually(lambda: master.num_fds() == held)
    assert instance.term() == 0
