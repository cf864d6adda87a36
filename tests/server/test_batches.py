"""Batches in a whole server: kills, stops and long jobs in the middle of them."""

import json
import os
import signal
from collections import Counter

import pytest

from tests.server.load import PATIENCE_S, is_empty, jids, push_many, wait_for_more_runs
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

# Jobs so short that many are claimed at once, and a middleware that notes who has been charged.
QUICK = """
import os
import signal
import jobd
from jobd import faults
from tests.support.sample_jobs import Hold, record

running = []

class Quick(jobd.Job):
    def perform(self, queue, number):
        running[:] = [number]
        record("done", "Quick", self.jid, [number])

class Charges:
    def __call__(self, job, payload, proceed):
        if payload.get("recovered"):
            record("charged", payload["class"], job.jid, [payload["recovered"]])
        proceed(job, payload)

@jobd.configure_server
def server(config):
    config.server_middleware.add(Charges())
"""

DYING = (
    QUICK
    + """
def die(name):
    if name == "performed" and running == [300] and not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)

faults.point = die
"""
)


def runs_of(jobd: JobdProcess) -> Counter[int]:
    """How often each job has run, by its number."""
    return Counter(run["args"][0] for run in jobd.ran() if run["class"] == "Quick")


def test_a_kill_before_the_end_is_noted_runs_that_job_again_and_no_other(
    raw: Raw, start_jobd: StartJobd
):
    push_many(raw, "Quick", 600)
    jobd = start_jobd(jobs=DYING)

    eventually(lambda: len(runs_of(jobd)) == 600, timeout=PATIENCE_S, message=jobd.log)

    assert jobd.stop() == 0
    assert {number: n for number, n in runs_of(jobd).items() if n > 1} == {300: 2}
    assert len(jobd.ran("charged")) == 1
    assert is_empty(raw)


@pytest.mark.slow
def test_kills_in_the_middle_of_batches_run_only_running_jobs_again_and_charge_only_them(
    raw: Raw, start_jobd: StartJobd
):
    kills, jobs = 8, 1_000
    jobd = start_jobd(jobs=QUICK, config={"concurrency": 2})
    for kill in range(kills):
        push_many(raw, "Quick", jobs, first=kill * jobs)
        wait_for_more_runs(jobd, kill * jobs)
        slot = kill % 2 + 1
        killed = jobd.worker(slot).pid
        os.kill(killed, signal.SIGKILL)
        eventually(
            lambda n=slot, pid=killed: jobd.worker(n).pid != pid,
            timeout=PATIENCE_S,
            message=jobd.log,
        )
        eventually(lambda n=kill: len(runs_of(jobd)) == (n + 1) * jobs, message=jobd.log)

    assert jobd.stop() == 0
    assert runs_of(jobd).total() <= kills * jobs + kills
    assert sum(run["args"][0] for run in jobd.ran("charged")) <= kills
    assert is_empty(raw)


def test_a_long_job_gives_those_behind_it_back_for_others_to_run(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=QUICK, config={"concurrency": 2})
    first = push_many(raw, "Quick", 250)
    wire.push(raw, "Hold", "a")
    second = push_many(raw, "Quick", 250)

    eventually(lambda: jids([jobd]) == sorted(first + second), timeout=PATIENCE_S, message=jobd.log)

    eventually(lambda: held(raw) == ["Hold"], message=jobd.log)
    (pid,) = [run["pid"] for run in jobd.ran("start")]
    eventually(
        lambda: any(c.pid == pid and "[Hold since" in c.title for c in jobd.children("worker")),
        message=jobd.log,
    )
    jobd.release("a")
    assert jobd.stop() == 0
    assert is_empty(raw)


def held(raw: Raw) -> list[str]:
    """The classes of all jobs that lie in private lists."""
    raws = [job for name in wire.privates(raw) for job in raw.lrange(name, 0, -1)]
    return [json.loads(job)["class"] for job in raws]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGTSTP])
def test_a_signal_in_a_batch_leaves_what_was_not_begun_in_its_queue_in_order(
    raw: Raw, start_jobd: StartJobd, number: signal.Signals
):
    jobd = start_jobd(jobs=QUICK)
    push_many(raw, "Quick", 100)
    eventually(lambda: len(runs_of(jobd)) == 100, timeout=PATIENCE_S, message=jobd.log)
    push_many(raw, "Quick", 3_000)
    wait_for_more_runs(jobd, 100)

    jobd.signal(number)

    if number == signal.SIGTSTP:
        eventually(lambda: "[quiet]" in jobd.worker(1).title, message=jobd.log)
        eventually(lambda: not wire.privates(raw), message=jobd.log)
    else:
        assert jobd.wait() == 0
    left = [job["args"][1] for job in wire.queued(raw)]
    assert left == list(range(3_000 - len(left), 3_000))
    again = runs_of(jobd).total() - (100 + 3_000 - len(left))
    # QUIT interrupts the running job, which may have done its work: it goes back all the same.
    assert again == 0 or (again == 1 and number == signal.SIGQUIT)
    assert not wire.privates(raw)
    raw.delete("queue:default")
