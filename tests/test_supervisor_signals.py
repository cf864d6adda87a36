"""The signals that do not stop the master, from outside: quiet, resume, dump, reopen, and the rest.

The children are toys (tests/toy_master.py), so nothing here needs a Redis.
"""

import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.toy_instance import Start, starting

pytestmark = [pytest.mark.process, pytest.mark.measured]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path) as begin:
        yield begin


def test_tstp_quiets_also_the_workers_that_come_later_and_cont_resumes(start: Start) -> None:
    instance = start().until_ready()
    instance.kill(signal.SIGTSTP)
    instance.sees("signal=SIGTSTP", 2)
    os.kill(instance.children()["worker 1"], signal.SIGKILL)
    instance.sees('msg="toy got" slot=1 signal=SIGTSTP', 2)
    instance.kill(signal.SIGCONT)
    instance.sees("signal=SIGCONT", 2)
    instance.kill(signal.SIGTSTP)
    instance.sees("signal=SIGTSTP", 5)
    assert instance.term() == 0


def test_signals_wait_for_a_child_that_boots(start: Start, tmp_path: Path) -> None:
    instance = start(behaviour="slow_to_boot", workers=1)
    instance.sees("toy boots")
    instance.kill(signal.SIGUSR1)
    instance.sees("log files reopened")
    instance.kill(signal.SIGTSTP)
    instance.sees('msg="quiet')
    (tmp_path / "booted").touch()
    instance.sees('msg="toy got" slot=1 signal=SIGUSR1')
    instance.sees('msg="toy got" slot=1 signal=SIGTSTP')
    assert instance.term() == 0


def test_ttin_logs_a_line_for_each_slot_and_passes_it_on(start: Start) -> None:
    instance = start(busy=2).until_ready()
    instance.kill(signal.SIGTTIN)
    instance.sees("signal=SIGTTIN", 3)
    assert instance.count("state of poller") == 1
    assert instance.count("state of worker") == 2
    assert "job=ToyJob job_jid=toy-jid" in instance.log


def test_ttou_winch_and_pipe_change_nothing(start: Start) -> None:
    instance = start().until_ready()
    before = instance.children()
    for number in (signal.SIGTTOU, signal.SIGWINCH, signal.SIGPIPE):
        instance.kill(number)
    instance.kill(signal.SIGTTIN)
    instance.sees("state of worker 2")
    assert instance.children() == before
    assert instance.term() == 0


def test_hup_stops_it_when_it_was_started_on_a_terminal(start: Start) -> None:
    instance = start().until_ready()
    assert instance.term() == 0
    ours, theirs = pty.openpty()
    with instance.log_path.open("wb") as output:
        instance.process = subprocess.Popen(
            instance.command, cwd=instance.directory, stdin=theirs, stdout=output
        )
    instance.until_ready()
    instance.kill(signal.SIGHUP)
    assert instance.wait() == 0
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(("name", "effect"), [("TSTP", "quiet: "), ("TERM", "stopping")])
def test_commands_from_redis_act_as_the_signals(start: Start, name: str, effect: str) -> None:
    instance = start(remote=name)
    instance.sees(effect)
    instance.kill(signal.SIGTERM)
    assert instance.wait() == 0


def test_no_other_command_from_redis_is_obeyed(start: Start) -> None:
    instance = start(remote="KILL").until_ready()
    assert "told through Redis" not in instance.log
    assert instance.term() == 0
