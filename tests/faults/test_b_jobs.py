"""B: jobs misbehave. Each hurts itself; the worker, its neighbours and the server go on.

What a job does is a piece of Python beside its assertions, run by the job ``Do``.
"""

import contextlib
import signal
from pathlib import Path

import psutil
import pytest

from tests.faults import times
from tests.faults.conftest import StartRigged
from tests.faults.stage import PATIENCE_S, Stage
from tests.support import leash, wire
from tests.support.control_groups import MEMORY, PIDS, group
from tests.support.eventually import eventually

pytestmark = [pytest.mark.redis, pytest.mark.process]


RAISES = {
    "raise RuntimeError('as told')": "RuntimeError",
    "raise SystemExit(3)": "SystemExit",
    "import sys; sys.exit()": "SystemExit",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise GeneratorExit": "GeneratorExit",
    "raise StopIteration": "StopIteration",
    "raise BaseException": "BaseException",
}
ODD_ERRORS = {
    "its text raises": "class E(Exception):\n def __str__(self): raise ValueError\nraise E",
    "its repr raises": "class E(Exception):\n def __repr__(self): raise ValueError\nraise E",
    "its text is no text": "class E(Exception):\n def __str__(self): return 7\nraise E",
    "50 MB": "raise ValueError('x' * 50_000_000)",
    "no valid text": r"raise ValueError('\ud800\x00' + chr(0x10ffff))",
    "it cannot be pickled": "raise ValueError(lambda: 1)",
    "its attributes raise": (
        "class E(Exception):\n def __getattribute__(self, name): raise ValueError\nraise E"
    ),
    "it is its own cause": "e = ValueError('a')\ne.__cause__ = e\nraise e",
    "a group": "raise BaseExceptionGroup('g', [SystemExit(), ValueError()])",
}
KILLS = {
    "os._exit(0)": "exit 0",
    "os._exit(3)": "exit 3",
    "os._exit(78)": "exit 78",
    "os.kill(os.getpid(), 9)": "SIGKILL",
    "ctypes.string_at(0)": "SIGSEGV",
    "os.abort()": "SIGABRT",
}
# What a job may leave behind in its process. The worker has to serve the next job all the same.
LEFTOVERS = {
    "B7 all descriptors closed": "import os; os.closerange(3, 1024)",
    "B7 standard streams closed": "import os; os.closerange(0, 3)",
    "B8 junk in the log": "import os; os.write(1, bytes(range(256)) * 100 + b'torn')",
    "B8 ten megabytes without an end": "print('x' * 10_000_000, end='')",
    "B8 streams lead elsewhere": (
        "import os\nfd = os.open('/dev/null', 2)\nos.dup2(fd, 1)\nos.dup2(fd, 2)"
    ),
    "B9 a child that leaves": (
        "import os, threading\nif os.fork() == 0:\n threading.Event().wait(0.2)\n os._exit(0)"
    ),
    "B11 handlers": (
        "import signal\n"
        "for n in (signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR2, signal.SIGCHLD):\n"
        " signal.signal(n, signal.SIG_IGN)"
    ),
    "B11 a timer": "import signal; signal.setitimer(signal.ITIMER_REAL, 0.2)",
    "B11 a mask": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "B11 a wake-up descriptor": "import signal; signal.set_wakeup_fd(-1)",
    "B13 another directory": "import os; os.chdir('/')",
    "B13 a umask": "import os; os.umask(0o777)",
    "B13 no environment": "import os; os.environ.clear()",
    "B13 no paths": "import sys; sys.path.clear()",
    "B13 no garbage collection": "import gc; gc.disable(); gc.set_threshold(0)",
    "B13 low priority": "import os; os.nice(5)",
    "B13 a locale": "import locale; locale.setlocale(locale.LC_ALL, 'C')",
    "B13 no recursion": "import sys; sys.setrecursionlimit(60)",
    "B14 a thread": "import threading; threading.Thread(target=threading.Event().wait).start()",
    "B18 no class of its own": "import sys; sys.modules.pop('tests.support.sample_jobs', None)",
    "B19 stdout closed": "import sys; sys.stdout.close(); sys.stderr.close()",
    "B19 logging shut down": "import logging; logging.shutdown(); logging.disable()",
}
# Here the worker's own code meets the damage, so the worker may fall, and its job be charged.
MONKEYS = {
    "json": "import json, msgspec; json.loads = msgspec.json.decode = msgspec.json.encode = None",
    "time": "import time; time.monotonic = time.time = time.time_ns = None",
    "os": "import os; os.getpid = os.write = None",
    "the registry": "from jobd.jobs import registry; registry.find = None",
    "the processor": "from jobd.worker import processor; processor.decode = None",
}


@pytest.mark.parametrize("source", [*RAISES, "f = lambda: f(); f()"])
def test_B1_whatever_a_job_raises_is_a_failure_of_that_job_only(stage: Stage, source: str):
    before = {child.pid for child in stage.jobd.children()}

    jid = stage.push("Do", source)

    eventually(lambda: stage.places().get(jid) == ["retry"], PATIENCE_S, stage.last_lines)
    (failed,) = wire.entries(stage.raw, "retry")
    assert failed["error_class"] == RAISES.get(source, "RecursionError")
    assert {child.pid for child in stage.jobd.children()} == before


@pytest.mark.parametrize("how", KILLS)
def test_B2_B3_job_that_kills_its_worker_three_times_is_dead_and_a_hundred_others_run(
    stage: Stage, how: str
):
    """B2 too: no exit status of a worker is taken for a success, or for a failed boot."""
    others = stage.push_many("Echo", 50)
    poison = stage.push("Do", f"import os, ctypes\n{how}", runs=3)
    others += stage.push_many("Echo", 50)

    eventually(lambda: stage.places().get(poison) == ["dead"], PATIENCE_S, stage.last_lines)
    stage.wait_for("done", *others)

    (dead,) = wire.entries(stage.raw, "dead")
    assert KILLS[how] in dead["error_message"]
    starts = stage.runs("start", poison)
    times.note([starts[0]["at_ms"] / 1000], starts)
    assert len(starts) == len({run["pid"] for run in starts}) == 3


def test_B3_crash_shows_its_stack_and_its_job_in_the_log(stage: Stage):
    jid = stage.push("Do", "import ctypes; ctypes.string_at(0)", runs=3)

    line = stage.jobd.wait_for_log(f"worker . left.*SIGSEGV.*{jid}.*")[0]

    assert "Segmentation fault" in line
    assert "mischief" in line


def test_B4_recursion_in_c_hurts_only_its_job(stage: Stage):
    """Old Pythons crash, newer ones raise RecursionError."""
    source = (
        "import sys\nsys.setrecursionlimit(10**7)\na = []\nfor _ in range(10**5): a = [a]\nrepr(a)"
    )
    jid = stage.push("Do", source, runs=3)

    eventually(
        lambda: stage.places().get(jid) in (["dead"], ["retry"]), PATIENCE_S, stage.last_lines
    )


def test_B5_memory_error_is_a_failure_of_that_job_only(stage: Stage):
    source = """
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, hard))
try:
    bytearray(10**11)
finally:
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
"""
    jid = stage.push("Do", source)

    eventually(lambda: stage.places().get(jid) == ["retry"], PATIENCE_S, stage.last_lines)
    assert wire.entries(stage.raw, "retry")[0]["error_class"] == "MemoryError"


@pytest.mark.long
def test_B5_job_killed_for_its_memory_is_dead_after_three_starts(stage: Stage):
    with group(MEMORY, memory__limit_in_bytes=200_000_000) as folder:
        source = f"""
import os
open("{folder}/cgroup.procs", "w").write(str(os.getpid()))
bytes(1_000_000_000).replace(b"\\0", b"x")
"""
        jid = stage.push("Do", source, runs=3)

        eventually(lambda: stage.places().get(jid) == ["dead"], PATIENCE_S, stage.last_lines)

    assert "SIGKILL" in wire.entries(stage.raw, "dead")[0]["error_message"]


STUBBORN = {
    "that holds the interpreter": "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
    "that catches everything": (
        "while True:\n try:\n  while True: pass\n except BaseException: pass"
    ),
}


@pytest.mark.parametrize("name", STUBBORN)
def test_B6_endless_job_keeps_its_lease_and_is_given_back_uncharged_at_a_stop(
    stage: Stage, start_rigged: StartRigged, name: str
):
    jobd = start_rigged(stage.server.url(), config={"queues": ["apart"], "timeout": 0.5})
    jid = wire.push(stage.raw, "Do", STUBBORN[name], queue="apart")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    pid = f":{jobd.pid}:".encode()
    (identity,) = eventually(lambda: [i for i in stage.raw.smembers("processes") if pid in i])
    assert float(stage.raw.hget(identity, "busy")) <= 1

    assert jobd.stop() == 0

    (back,) = wire.queued(stage.raw, "apart")
    assert back["jid"] == jid
    assert "recovered" not in back
    assert "retry_count" not in back
    assert len(jobd.ran("start")) == 1
    assert wire.privates(stage.raw) == []
    stage.raw.delete("queue:apart")


@pytest.mark.parametrize("name", LEFTOVERS)
def test_B7_B8_B9_B11_B13_B14_B18_B19_leftovers_of_a_job_cost_no_other_job(stage: Stage, name: str):
    before = {child.pid for child in stage.jobd.children("worker")}
    # Both workers get it, whoever is quicker: while one is in it, the other must take the second.
    for _ in range(2):
        stage.push("Do", f"import threading\n{LEFTOVERS[name]}\nthreading.Event().wait(0.02)")
    stage.wait_for("done")

    stage.push_many("Nap", 4, 0.3)
    stage.wait_for("done")

    if name not in {"B7 all descriptors closed", "B13 no recursion"}:  # those cost a worker
        assert {child.pid for child in stage.jobd.children("worker")} == before
    for pid in before:
        with contextlib.suppress(ProcessLookupError):
            stage.kill(pid, signal.SIGTERM)  # also the last order is still heard
    eventually(lambda: all(map(stage.is_gone, before)), PATIENCE_S, stage.last_lines)


def test_B10_child_that_a_job_forks_and_that_returns_settles_nothing(stage: Stage):
    lines = len(stage.jobd.log())
    jid = stage.push("Do", "import os; os.fork()", runs=2)

    stage.wait_for("done", jid)
    eventually(lambda: len(stage.runs("done")) == 2, message=stage.last_lines)

    jids = stage.push_many("Echo", 5)
    stage.wait_for("done", *jids)
    assert "ownership lost" not in stage.jobd.log()[lines:]


DAEMON = """
import os, pathlib, threading
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        pathlib.Path("daemon").write_text(str(os.getpid()))
        threading.Event().wait(60)
    os._exit(0)
os.wait()
while not pathlib.Path("daemon").exists():
    threading.Event().wait(0.01)
"""


def test_B12_daemon_that_a_job_started_outlives_the_worker_and_holds_nothing_up(
    stage: Stage, start_rigged: StartRigged
):
    """As documented: only the service manager's control group ends it."""
    jobd = start_rigged(stage.server.url(), config={"queues": ["apart"]})
    wire.push(stage.raw, "Do", DAEMON, queue="apart")
    eventually(jobd.ran, message=jobd.log)
    # The file is there a moment before the pid is in it.
    daemon = eventually(lambda: int((jobd.directory / "daemon").read_text()))
    try:
        assert jobd.stop() == 0
        assert leash.is_alive(daemon)
    finally:
        leash.kill([psutil.Process(daemon)])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_B14_threads_and_exit_handlers_that_hang_hold_no_stop_up(
    stage: Stage, start_rigged: StartRigged, number: signal.Signals
):
    jobd = start_rigged(stage.server.url(), config={"queues": ["apart"], "concurrency": 1})
    source = """
import atexit, threading
atexit.register(threading.Event().wait)
threading.Thread(target=threading.Event().wait).start()
"""
    wire.push(stage.raw, "Do", source, queue="apart")
    eventually(jobd.ran, message=jobd.log)

    jobd.signal(number)

    assert jobd.wait() == 0
    assert "does not leave" not in jobd.log()


@pytest.mark.long
def test_B16_fork_bomb_takes_down_only_its_worker(stage: Stage):
    with group(PIDS, pids__max=30) as folder:
        source = f"""
import os
open("{folder}/cgroup.procs", "w").write(str(os.getpid()))
while True:
    os.fork()
"""
        jid = stage.push("Do", source, runs=100)
        others = stage.push_many("Echo", 20)
        stage.wait_for("done", *others)
        eventually(
            lambda: stage.places().get(jid) in (["dead"], ["retry"]), PATIENCE_S, stage.last_lines
        )
        # Who forks faster than it dies is ended by its group, as a service manager would.
        (folder / "pids.max").write_text("0")
        eventually(lambda: _kill_all(folder))


def _kill_all(folder: Path) -> bool:
    pids = [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    leash.kill([psutil.Process(pid) for pid in pids])
    return not pids


@pytest.mark.parametrize("name", ODD_ERRORS)
def test_B17_odd_error_is_stored_as_short_valid_text(stage: Stage, name: str):
    jid = stage.push("Do", ODD_ERRORS[name])

    eventually(lambda: stage.places().get(jid) == ["retry"], PATIENCE_S, stage.last_lines)

    (raw,) = stage.raw.zrange("retry", 0, -1)
    assert len(raw) < 1_000_000
    assert isinstance(wire.entries(stage.raw, "retry")[0]["error_message"], str)


@pytest.mark.parametrize("name", MONKEYS)
def test_B18_job_that_breaks_the_library_breaks_its_worker_only(stage: Stage, name: str):
    jid = stage.push("Do", MONKEYS[name], runs=3)
    others = stage.push_many("Echo", 20, runs=2)
    stage.wait_for("done", *others)
    eventually(
        lambda: jid not in stage.places() or stage.places()[jid] != ["queue:default"],
        PATIENCE_S,
        stage.last_lines,
    )
    if stage.places().get(jid) == ["dead"]:
        stage.runs_do_not_count(jid)


@pytest.mark.parametrize("source", ["object()", "b'x' * 50_000_000", "lambda: 1", "float('nan')"])
def test_B20_what_a_job_returns_does_no_harm(stage: Stage, source: str):
    stage.push("Return", source)

    stage.wait_for("done")
