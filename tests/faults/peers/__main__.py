"""Runs each system through each fault and prints a table.

One job runs for some seconds; meanwhile the fault comes; what the service manager would start
again is started again at once. What counts is when the job begins again, or that it never does.
"""

import contextlib
import functools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from tests.bench.environments import Environments
from tests.support import leash, servers
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.servers import Server

APPS = Path(__file__).parent
_JOB_S = 12.0  # longer than it takes a client to leave on a busy machine
_OTHERS = 10
_LONG_S = 60.0
_JOB_BYTES = 40
"""A reply that is longer brings a job, or at least its name."""


@dataclass(frozen=True, slots=True)
class System:
    """A job system: how its workers are started and how a job is pushed.

    Attributes:
        section: of the benchmark's ``peers.txt``; None for what is installed already.
        serve: the command; ``{bin}``, ``{url}`` and ``{apps}`` are filled in.
        push: the command before the job's arguments.
        fetches_by: the command that brings a job to an idle worker.
    """

    name: str
    section: str | None
    serve: tuple[str, ...]
    push: tuple[str, ...]
    fetches_by: str


SYSTEMS = (
    System(
        "jobd",
        None,
        (sys.executable, "-m", "jobd", "-e", "production", "-c", "2", "-r", "{apps}/jobd_app.py"),
        (sys.executable, "{apps}/jobd_app.py"),
        "BLMOVE",
    ),
    System(
        "RQ",
        "rq",
        ("{bin}/rq", "worker-pool", "-n", "2", "-u", "{url}", "-P", "{apps}", "default"),
        ("{bin}/python", "{apps}/rq_app.py"),
        "BLMOVE",
    ),
    System(
        "Celery, acks_late",
        "celery",
        ("{bin}/celery", "-A", "celery_app", "worker", "-c", "2", "--loglevel", "WARNING"),
        ("{bin}/python", "{apps}/celery_app.py"),
        "BRPOP",
    ),
    System(
        "Dramatiq",
        "dramatiq",
        (
            "{bin}/dramatiq",
            "dramatiq_app",
            "--processes",
            "2",
            "--threads",
            "1",
            "--path",
            "{apps}",
        ),
        ("{bin}/python", "{apps}/dramatiq_app.py"),
        "EVALSHA",
    ),
    System(
        "Sidekiq, basic fetch",
        None,
        ("sidekiq", "-r", "{apps}/sidekiq_app.rb", "-c", "2", "-e", "production"),
        ("ruby", "{apps}/sidekiq_app.rb"),
        "BRPOP",
    ),
)


class Trial:
    """One system on a server of its own, which its workers reach by a proxy, its clients not."""

    def __init__(self, system: System, programs: Path | None, server: Server, line: Proxy) -> None:
        self.server, self.line = server, line
        self._system = system
        self._directory = Path(tempfile.mkdtemp(prefix="jobd-peer-"))
        self._record = self._directory / "record"
        self._places = {"bin": str(programs), "url": line.url(), "apps": str(APPS)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start its workers, once more if they were killed."""
        leash.adopt_orphans()
        with (self._directory / "output.log").open("ab") as log:
            self._process = leash.start(
                self._filled(self._system.serve),
                cwd=self._directory,
                env=self._env(self.line.url()),
                output=log,
            )

    def keep(self) -> None:
        """What a service manager does: start again what has left."""
        if self._process is not None and self._process.poll() is not None:
            self.start()

    def push(self, token: str, how: str = "well", seconds: float = _JOB_S) -> None:
        """Push one job, by a program of the system's own."""
        words = [*self._filled(self._system.push), token, str(seconds), how]
        env = self._env(self.server.url())
        subprocess.run(words, cwd=self._directory, env=env, check=True, timeout=60)

    def times(self, letter: str, token: str) -> list[tuple[int, float]]:
        """When a job began (S) or ended (F), and in which process."""
        lines = self._record.read_text().splitlines() if self._record.exists() else []
        found = [line.split() for line in lines]
        return [(int(w[2]), int(w[3]) / 1e9) for w in found if w[:2] == [letter, token]]

    def family(self) -> list[psutil.Process]:
        """The processes of this system."""
        assert self._process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def signal(self, number: signal.Signals) -> None:
        """To the process that was started."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float) -> None:
        """Until the started process has left, or killed then."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            return
        leash.kill(self.family())

    def close(self) -> None:
        """End all."""
        leash.kill(self.family())
        leash.kill(leash.orphans(self._directory))
        if self._process is not None:
            self._process.wait()

    def _filled(self, words: tuple[str, ...]) -> list[str]:
        return [word.format(**self._places) for word in words]

    def _env(self, url: str) -> dict[str, str]:
        path = os.pathsep.join([str(APPS), str(Path(__file__).parents[3])])
        return {
            **os.environ,
            "FAULTS_REDIS_URL": url,
            "FAULTS_RECORD": str(self._record),
            "REDIS_URL": url,
            "PYTHONPATH": path,
            "C_FORCE_ROOT": "1",
        }


def kill_worker(trial: Trial) -> float:
    """Kill -9 to the process that runs the job."""
    pid, _ = trial.times("S", "a")[0]
    psutil.Process(pid).kill()
    return time.monotonic()


def kill_all(trial: Trial) -> float:
    """Kill -9 to every process of it."""
    leash.kill(trial.family())
    trial.start()
    return time.monotonic()


def restart_redis(trial: Trial) -> float:
    """Redis leaves and comes back with its data."""
    trial.server.restart()
    return time.monotonic()


def kill_redis(trial: Trial) -> float:
    """Kill -9 to Redis, and a new start."""
    trial.server.kill9()
    trial.server.start()
    return time.monotonic()


def terminate(trial: Trial) -> float:
    """TERM, and started again when it has left."""
    trial.signal(signal.SIGTERM)
    trial.wait(60)
    trial.start()
    return time.monotonic()


FAULTS: dict[str, Callable[[Trial], float]] = {
    "kill -9 of a worker in a job": kill_worker,
    "kill -9 of the whole instance": kill_all,
    "Redis restarts": restart_redis,
    "kill -9 of Redis": kill_redis,
    "SIGTERM during a job": terminate,
}


@contextlib.contextmanager
def trying(system: System, programs: Path | None) -> Iterator[Trial]:
    """A trial with running workers."""
    with servers.running("redis", aof=True, settings=("--appendfsync", "always")) as server:
        line = Proxy(server.port)
        line.start()
        trial = Trial(system, programs, server, line)
        trial.start()
        try:
            yield trial
        finally:
            trial.close()
            line.stop()


def outcome(trial: Trial, struck: float, patience_s: float) -> float | str:
    """Wait until the job has begun again, or ended: after how many seconds, or how else."""

    def is_over() -> bool:
        trial.keep()
        return len(trial.times("S", "a")) > 1 or bool(trial.times("F", "a"))

    with contextlib.suppress(AssertionError):
        eventually(is_over, patience_s)
    starts, ends = trial.times("S", "a"), trial.times("F", "a")
    if len(starts) > 1:
        return starts[1][1] - struck
    return "ran to its end, once" if ends else f"not in {patience_s:.0f} s"


def suffer(system: System, programs: Path | None, fault: str, patience_s: float) -> float | str:
    """One trial."""
    with trying(system, programs) as trial:
        trial.push("a")
        eventually(lambda: trial.times("S", "a"), 60, f"{system.name} does not begin")
        if trial.times("F", "a"):
            return "the machine is too busy: the job has ended before the fault came"
        return outcome(trial, FAULTS[fault](trial), patience_s)


def lose(system: System, programs: Path | None, patience_s: float) -> float | str:
    """The message that brings a job to a worker is lost, with its connection."""
    with trying(system, programs) as trial:
        trial.push("before", seconds=0.01)
        eventually(lambda: trial.times("F", "before"), 60, f"{system.name} does not begin")
        trial.line.drop_long_reply_once(system.fetches_by, _JOB_BYTES)
        trial.push("a", seconds=0.01)
        pushed = time.monotonic()

        def is_over() -> bool:
            trial.keep()
            return bool(trial.times("F", "a"))

        with contextlib.suppress(AssertionError):
            eventually(is_over, patience_s)
        starts = trial.times("S", "a")
        if trial.line.will_drop:
            return "nothing was lost"
        return starts[0][1] - pushed if starts else f"not in {patience_s:.0f} s"


def repeated(trial: Callable[[], float | str], most: int) -> str:
    """One cell of the table: so many trials, but one alone if that takes long."""
    began = time.monotonic()
    found = [trial()]
    if time.monotonic() - began < _LONG_S:
        found += [trial() for _ in range(most - 1)]
    again_s = [each for each in found if isinstance(each, float)]
    cells = [f"{count}: {text}" for text, count in Counter(map(str, found)).items()]
    if len(again_s) == len(found):
        cells = [f"again after {statistics.median(again_s):.2f} s, worst {max(again_s):.2f} s"]
    return f"{'; '.join(cells)} (n = {len(found)})"


def crash(system: System, programs: Path | None, patience_s: float) -> str:
    """A job that crashes its process, before ten good ones."""
    good = [f"good-{number}" for number in range(_OTHERS)]
    with trying(system, programs) as trial:
        trial.push("bad", "segfault")
        for token in good:
            trial.push(token, seconds=0.01)

        def is_over() -> bool:
            trial.keep()
            return (
                all(trial.times("F", token) for token in good) and len(trial.times("S", "bad")) > 10
            )

        with contextlib.suppress(AssertionError):
            eventually(is_over, patience_s)
        ran = sum(bool(trial.times("F", token)) for token in good)
        return (
            f"started {len(trial.times('S', 'bad'))} times in {patience_s:.0f} s; {ran} of 10 ran"
        )


@click.command()
@click.option("--environments", type=Path, default=Path(".bench"), show_default=True)
@click.option("--patience", default=75.0, show_default=True, help="Seconds to wait for a job.")
@click.option("--trials", default=5, show_default=True, help="Of what takes but seconds.")
@click.option("--only", multiple=True, help="Names of systems.")
@click.option("--fault", "chosen", multiple=True, help="Words of the faults; all if none.")
def main(
    environments: Path,
    patience: float,
    trials: int,
    only: tuple[str, ...],
    chosen: tuple[str, ...],
) -> None:
    """Print what each system does under each fault."""
    made = Environments(environments.absolute(), click.echo)
    for system in SYSTEMS:
        if only and system.name not in only:
            continue
        programs = made.programs(system.section) if system.section else None
        cells: dict[str, Callable[[], str]] = {
            fault: functools.partial(
                repeated, functools.partial(suffer, system, programs, fault, patience), trials
            )
            for fault in FAULTS
        }
        lost = functools.partial(lose, system, programs, patience)
        cells["the message with the job is lost"] = functools.partial(repeated, lost, trials)
        cells["a job that crashes its process"] = functools.partial(
            crash, system, programs, min(patience, 40)
        )
        for fault, cell in cells.items():
            if not chosen or any(word in fault for word in chosen):
                click.echo(f"{system.name} | {fault} | {cell()}")


if __name__ == "__main__":
    main()
