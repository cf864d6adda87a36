"""What an operator sees in ps(1) and says with kill(1), and with Sidekiq's remote commands."""

import os
import re
import signal

import psutil
import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]


def title(pid: int) -> str:
    return " ".join(psutil.Process(pid).cmdline()).strip()


def wait_for_title(jobd: JobdProcess, pid: int, pattern: str) -> None:
    eventually(lambda: re.fullmatch(pattern, title(pid)), message=lambda: f"{pattern} {pid}")


@pytest.mark.measured
@pytest.mark.slow
def test_titles_show_what_every_process_does(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"concurrency": 2, "tag": "shop"})
    wire.push(raw, "Hold", "a")
    (busy,) = eventually(lambda: jobd.ran("start"), message=jobd.log)

    wait_for_title(jobd, jobd.pid, r"jobd \d+\.\d+\S* shop \[1 of 2 busy\]")
    wait_for_title(jobd, busy["pid"], r"jobd: worker [12] \[Hold since \d\d:\d\d:\d\d\]")
    assert title(jobd.poller().pid) == "jobd: poller"
    jobd.release("a")
    wait_for_title(jobd, jobd.pid, r"jobd \S+ shop \[0 of 2 busy\]")
    wait_for_title(jobd, busy["pid"], r"jobd: worker [12] \[idle\]")


def test_quiet_server_takes_no_job_and_a_resumed_one_does(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"concurrency": 2})
    wire.push(raw, "Hold", "a")
    eventually(lambda: jobd.ran("start"), message=jobd.log)

    jobd.signal(signal.SIGTSTP)
    # The master says so after it has told every worker; one worker says nothing of the other.
    wait_for_title(jobd, jobd.pid, r"jobd .*\[1 of 2 busy\] quiet")
    jid = wire.push(raw, "Echo")
    jobd.release("a")
    eventually(jobd.ran, message=jobd.log)
    wait_for_title(jobd, jobd.pid, r"jobd .*\[0 of 2 busy\] quiet")

    assert [job["jid"] for job in wire.queued(raw)] == [jid]
    jobd.signal(signal.SIGCONT)
    eventually(lambda: len(jobd.ran()) == 2, message=jobd.log)
    wait_for_title(jobd, jobd.pid, r"jobd .*\[0 of 2 busy\]")


@pytest.mark.measured
def test_ttin_writes_the_running_job_and_its_stack_to_the_log(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd()
    jid = wire.push(raw, "Spin", "a")
    eventually(lambda: jobd.ran("start"), message=jobd.log)

    jobd.signal(signal.SIGTTIN)

    jobd.wait_for_log(rf"state of worker 1\W.*job=Spin job_jid={jid}")
    jobd.wait_for_log(
        rf"stacks of worker 1\W.*job=Spin job_jid={jid}.*sample_jobs\.py.* in perform"
    )
    jobd.wait_for_log(r"state of poller\W")
    jobd.wait_for_log(r"stacks of poller\W.*poller\.py.* in run")
    assert jobd.returncode is None
    jobd.release("a")
    eventually(jobd.ran, message=jobd.log)


def say_through_redis(raw: Raw, command: str) -> None:
    """Leave a command as Sidekiq's dashboard does, and have it read before the next beat."""
    (identity,) = eventually(lambda: raw.smembers("processes"))
    raw.lpush(identity + b"-signals", command)
    wire.have_them_beat(raw)


@pytest.mark.measured
@pytest.mark.slow
def test_commands_that_come_through_redis_quiet_and_stop_the_server(
    raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd()

    say_through_redis(raw, "KILL; rm -rf /")
    jobd.wait_for_log("KILL; rm -rf /")
    say_through_redis(raw, "TSTP")
    wait_for_title(jobd, jobd.pid, r"jobd .* quiet")
    say_through_redis(raw, "CONT")
    wait_for_title(jobd, jobd.pid, r"jobd .* busy\]")
    say_through_redis(raw, "TERM")

    assert jobd.wait() == 0
    assert raw.smembers("processes") == set()


def test_terms_that_come_again_change_nothing(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"timeout": 30})
    wire.push(raw, "Hold", "a")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    for _ in range(5):
        jobd.signal(signal.SIGTERM)
    jobd.signal(signal.SIGCONT)
    jobd.wait_for_log("stopping")
    wait_for_title(jobd, jobd.pid, r"jobd .*stopping")

    jobd.release("a")

    assert jobd.wait() == 0
    assert len(jobd.ran()) == 1


def test_quit_gives_the_job_back_at_once(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"timeout": 600})
    jid = wire.push(raw, "Nap", 600)
    eventually(lambda: jobd.ran("start"), message=jobd.log)

    jobd.signal(signal.SIGQUIT)

    assert jobd.wait() == 0
    assert [job["jid"] for job in wire.queued(raw)] == [jid]
    assert wire.privates(raw) == []
    assert not raw.exists("retry")


def test_term_to_a_worker_alone_ends_its_job_well_and_replaces_it(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(config={"timeout": 30})
    wire.push(raw, "Hold", "a")
    (run,) = eventually(lambda: jobd.ran("start"), message=jobd.log)

    os.kill(run["pid"], signal.SIGTERM)
    wait_for_title(jobd, run["pid"], r"jobd: worker 1 .*")
    jobd.release("a")

    eventually(jobd.ran, message=jobd.log)
    eventually(
        lambda: [c.pid for c in jobd.children("worker")] not in ([], [run["pid"]]),
        message=jobd.log,
    )
    wire.push(raw, "Echo")
    eventually(lambda: len(jobd.ran()) == 2, message=jobd.log)
