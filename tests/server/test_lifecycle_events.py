"""When the events of a server's life happen, written down by real workers."""

import json
import os
import signal

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

JOBS = """
import jobd
from tests.support.sample_jobs import Echo, Hold, record

record("loaded", "", None, [])


@jobd.configure_server
def server(config):
    for event in ("exit", "shutdown", "quiet", "beat", "startup", "fork"):
        for n in (1, 2):
            config.on(event)(lambda event=event, n=n: record(f"{event} {n}", "", None, []))
"""
RAISING = """
import asyncio
import jobd
from tests.support.sample_jobs import Echo, record

ERRORS = {
    "fork": RuntimeError, "beat": SystemExit, "quiet": KeyboardInterrupt,
    "shutdown": asyncio.CancelledError, "exit": RuntimeError,
}


@jobd.configure_server
def server(config):
    for event, error in ERRORS.items():
        def fail(event=event, error=error):
            record(event, "", None, [])
            raise error(f"from {event}")
        config.on(event)(fail)
"""
ABORTING = """
import jobd
from tests.support.sample_jobs import record


@jobd.configure_server
def server(config):
    @config.on("startup")
    def refuse():
        record("startup", "", None, [])
        raise ValueError("no licence")
"""

HANDLERS = """
import asyncio
import jobd
from tests.support.sample_jobs import Echo, record

ERRORS = (
    RuntimeError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit,
    jobd.JobInterrupted,
)


def kind_of(payload):
    return ERRORS[payload["args"][0]]


@jobd.configure_server
def server(config):
    @config.error_handlers.append
    def told(error, context):
        record("told", "", None, [])
        raise kind_of(context["job"])("from error handler")

    @config.death_handlers.append
    def buried(payload, error):
        record("buried", "", None, [])
        raise kind_of(payload)("from death handler")


class Failing(jobd.Job):
    retry = 1

    @jobd.on_failure
    def failed(self, error, number):
        raise ERRORS[number]("from on_failure")

    @classmethod
    def retry_in(cls, count, error, payload):
        record("retry_in", "", None, [])
        raise kind_of(payload)("from retry_in")

    @classmethod
    def retries_exhausted(cls, payload, error):
        record("exhausted", "", None, [])
        raise kind_of(payload)("from retries_exhausted")

    @jobd.after_enqueue
    @classmethod
    def sent(cls, payload):
        raise kind_of(payload)("from after_enqueue")

    def perform(self, number):
        raise ValueError("the job's own error")


class Parent(jobd.Job):
    retry = False

    def perform(self, number):
        Failing.set(retry=0).perform_async(number)
        record("parent", "", None, [])


class Guarded(jobd.Job):
    retry = 0

    @jobd.before_perform
    def check(self, number):
        raise ERRORS[number]("from before_perform")

    def perform(self, number):
        record("performed", "", None, [])
"""
KINDS = 6


def told(jobd: JobdProcess, pid: int) -> list[str]:
    """What a process wrote down, oldest first; a beat only where it is the first."""
    # The last line may still be on its way.
    lines = (jobd.directory / "ran.jsonl").read_text().split("\n")[:-1]
    events = [run["event"] for run in map(json.loads, lines) if run["pid"] == pid]
    return list(dict.fromkeys(events))


@pytest.mark.measured
@pytest.mark.parametrize("preload", [True, False])
def test_each_worker_goes_through_its_events_in_order(
    raw: Raw, start_jobd: StartJobd, *, preload: bool
):
    jobd = start_jobd(config={"concurrency": 2, "preload": preload}, jobs=JOBS)
    workers = [jobd.worker(1).pid, jobd.worker(2).pid]
    # By now: a worker that was just forked bears the title of the mold.
    mold = {child.pid for child in jobd.children("mold")}
    eventually(lambda: {run["pid"] for run in jobd.ran("beat 2")} == set(workers), message=jobd.log)
    jid = wire.push(raw, "Echo")
    (job,) = eventually(jobd.ran, message=jobd.log)
    assert job["jid"] == jid

    jobd.signal(signal.SIGTSTP)
    eventually(lambda: len(jobd.ran("quiet 1")) == 2, message=jobd.log)
    assert jobd.stop() == 0

    for pid in workers:
        assert [event for event in told(jobd, pid) if event != "done"] == [
            *([] if preload else ["loaded"]),
            *("fork 1", "fork 2", "startup 1", "startup 2", "beat 1", "beat 2"),
            *("quiet 2", "quiet 1", "shutdown 2", "shutdown 1", "exit 2", "exit 1"),
        ]
    everybody = {run["pid"] for run in jobd.ran("loaded")}
    assert everybody == (mold or set(workers))  # neither the master nor the poller
    assert bool(mold) == preload


@pytest.mark.measured
def test_worker_that_takes_the_place_of_a_dead_one_has_its_own_fork_and_startup(
    start_jobd: StartJobd,
):
    jobd = start_jobd(jobs=JOBS)
    first = jobd.worker(1).pid

    os.kill(first, signal.SIGKILL)
    (second,) = eventually(
        lambda: {run["pid"] for run in jobd.ran("beat 2")} - {first}, message=jobd.log
    )

    assert second == jobd.worker(1).pid
    assert told(jobd, second)[:4] == ["fork 1", "fork 2", "startup 1", "startup 2"]
    assert "shutdown 1" not in told(jobd, first)


def test_shutdown_waits_for_the_running_job(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=JOBS)
    wire.push(raw, "Hold", "a")
    eventually(lambda: jobd.ran("start"), message=jobd.log)

    jobd.signal(signal.SIGTERM)
    jobd.wait_for_log("stopping")
    jobd.release("a")

    assert jobd.wait() == 0
    (job,) = jobd.ran()
    assert told(jobd, job["pid"])[-5:] == [
        *("done", "shutdown 2", "shutdown 1", "exit 2", "exit 1"),
    ]


@pytest.mark.slow
def test_beat_comes_about_every_ten_seconds_idle_or_quiet(start_jobd: StartJobd):
    idle, quiet = start_jobd(jobs=JOBS), start_jobd(jobs=JOBS)
    quiet.signal(signal.SIGTSTP)
    for jobd in (idle, quiet):
        eventually(lambda jobd=jobd: len(jobd.ran("beat 1")) >= 2, message=jobd.log)

    for jobd in (idle, quiet):
        first, second, *_ = (run["at_ms"] for run in jobd.ran("beat 1"))
        assert second - first >= 9_900


def test_hooks_that_raise_stop_no_server(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=RAISING)
    worker = jobd.worker(1).pid
    eventually(lambda: jobd.ran("beat"), message=jobd.log)
    jobd.signal(signal.SIGTSTP)
    eventually(lambda: jobd.ran("quiet"), message=jobd.log)
    jobd.signal(signal.SIGCONT)
    wire.push(raw, "Echo")
    (job,) = eventually(jobd.ran, message=jobd.log)

    assert jobd.stop() == 0
    assert job["pid"] == worker
    events = ["fork", "beat", "quiet", "shutdown", "exit"]
    assert [event for event in told(jobd, worker) if event != "done"] == events
    for event in events:
        assert f"from {event}" in jobd.log()
    assert jobd.log().count("fail raised, and was ignored") >= len(events)


def test_startup_that_raises_ends_the_boot(start_jobd: StartJobd):
    jobd = start_jobd(jobs=ABORTING, ready=False)

    assert jobd.wait() == os.EX_CONFIG
    assert "no licence" in jobd.log()
    assert jobd.ran("startup")


@pytest.mark.measured
@pytest.mark.slow
def test_handlers_and_callbacks_that_raise_anything_stop_no_server(raw: Raw, start_jobd: StartJobd):
    jobd = start_jobd(jobs=HANDLERS)
    worker = jobd.worker(1).pid
    for number in range(KINDS):
        wire.push(raw, "Failing", number, retry=1)
        wire.push(raw, "Failing", number, retry=0)
        wire.push(raw, "Parent", number, retry=0)
        wire.push(raw, "Guarded", number, retry=0)
    eventually(lambda: len(jobd.ran("told")) > 4 * KINDS, message=jobd.log)
    wire.push(raw, "Echo")
    (echo,) = eventually(jobd.ran, message=jobd.log)

    assert echo["pid"] == worker, "one worker did it all"
    # Only the first push of each kind had a retry left; Failing twice, and Guarded, had none.
    assert raw.zcard("retry") == len(jobd.ran("retry_in")) == KINDS
    # And one Parent: what looks like an interruption ends the job that pushes, too.
    assert raw.zcard("dead") == len(jobd.ran("buried")) == 3 * KINDS + 1
    assert len(jobd.ran("exhausted")) == 2 * KINDS
    assert not jobd.ran("performed")
    for hook in ("error handler", "death handler", "on_failure", "retry_in", "after_enqueue"):
        assert f"from {hook}" in jobd.log()
    assert jobd.stop() == 0
