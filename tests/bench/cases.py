"""The cases that compare sides."""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

from tests.bench.case import Case, Measure
from tests.bench.effort import Effort
from tests.bench.figures import Figure, percentile, rate
from tests.bench.side import Deployment, Side
from tests.bench.stage import LOOK_S, Failed, Running, Stage

RATE = Figure("jobs_per_s", "jobs/s", "higher")
TRIPS = Figure("trips_per_job", "round trips/job", "lower")
COMMANDS = Figure("commands_per_job", "commands/job", "lower")
SERVER = Figure("server_us_per_job", "µs/job of the server", "lower")
OWN = Figure("own_us_per_job", "µs/job of its processes", "lower")
PUSHES = Figure("pushes_per_s", "jobs/s", "higher")
P50 = Figure("p50_ms", "ms, median", "lower")
P99 = Figure("p99_ms", "ms, 99 %", "lower")
COLD = Figure("cold_s", "s to the first finished job", "lower")
PSS_2 = Figure("pss_2_mb", "MB with 2 workers", "lower")
PSS_8 = Figure("pss_8_mb", "MB with 8 workers", "lower")
PSS_MORE = Figure("pss_more_mb", "MB for each further worker", "lower")
IDLE_COMMANDS = Figure("commands_per_s", "commands/s", "lower")
IDLE_CPU = Figure("core_percent", "% of a core", "lower")

# 10 KB each: more would be a test of the machine's memory.
_MOST_TEXTS = 40_000
# What no side can exceed with jobs of a millisecond, however many it runs side by side.
_MOST_NAPS = 20_000
_MOST_SPINS = 1_000
# A worker that starts late finds the jobs taken by the others, so more and more are pushed.
_WARM_UPS = 10


def backlog(side: Side, effort: Effort, job: str, workers: int) -> int:
    """How many jobs are queued so that the workers do not run dry."""
    most = {"Nap": _MOST_NAPS, "Spin": _MOST_SPINS * workers}
    pace = min(side.pace, most.get(job, side.pace))
    count = int(pace * (effort.warm_s + effort.window_s) * 1.25) + 100
    return min(count, _MOST_TEXTS) if job == "Text" else count


class ServerMeter:
    """What the server did since this was made."""

    def __init__(self, stage: Stage) -> None:
        self._client = stage.client
        self._process = psutil.Process(stage.server.pid)
        self._began = self._now()
        self._busy_s = _busy_s(self._process)

    def read(self) -> tuple[int, int, float]:
        """Three numbers.

        Returns:
            commands carried out, those that scripts called included; reads of a socket, which
            are round trips where nothing is sent ahead; CPU seconds of the server's process.
        """
        commands, reads = self._now()
        busy_s = _busy_s(self._process) - self._busy_s
        asked = 2  # by ourselves
        return commands - self._began[0] - asked, reads - self._began[1] - asked, busy_s

    def _now(self) -> tuple[int, int]:
        stats: dict[str, dict[str, Any]] = self._client.info("commandstats")
        reads = int(self._client.info("stats")["total_reads_processed"])
        return sum(stat["calls"] for stat in stats.values()), reads


def _busy_s(process: psutil.Process) -> float:
    """CPU seconds of a process, and of its children that have ended."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _all_busy_s(processes: Iterable[psutil.Process]) -> float:
    busy_s = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # a child that ran one job
            busy_s += _busy_s(process)
    return busy_s


def throughput(job: str, workers: int = 2) -> Measure:
    """Jobs a second from a full queue."""

    def measure(stage: Stage, effort: Effort, side: Side) -> Mapping[str, float]:
        deployment = Deployment(workers=workers, job=job)
        total = backlog(side, effort, job, workers) if side.pace else None
        if total:
            stage.fill(side, deployment, job, total)
        with stage.running(side, deployment) as running:
            return drained(stage, effort, running, workers, total)

    return measure


def drained(
    stage: Stage, effort: Effort, running: Running, workers: int, total: int | None
) -> Mapping[str, float]:
    """Throughput of workers that have just been started, and what it cost.

    The window opens when each of them has run a job: some take seconds to start, all of the
    machine's CPU with them.
    """
    samples = running.until(lambda count: count == total or len(running.counts()) >= workers)
    family, meter, before = running.family(), ServerMeter(stage), running.count()
    own_s, end_s = _all_busy_s(family), time.monotonic() + effort.warm_s + effort.window_s
    if before != total:
        samples = running.until(lambda count: count == total or time.monotonic() > end_s)
    jobs, own_s = max(1, running.count() - before), _all_busy_s(family) - own_s
    if total is not None and running.count() > total:
        raise Failed(f"{running.count()} jobs were run, {total} queued")
    commands, trips, busy_s = meter.read()
    return {
        RATE.name: rate(samples, effort.warm_s),
        COMMANDS.name: commands / jobs,
        TRIPS.name: trips / jobs,
        SERVER.name: 1e6 * busy_s / jobs,
        OWN.name: 1e6 * own_s / jobs,
    }


def pushing(command: str) -> Measure:
    """Jobs a second of one client; client and server share one core."""

    def measure(stage: Stage, effort: Effort, side: Side) -> Mapping[str, float]:
        core = min(os.sched_getaffinity(0))
        server = psutil.Process(stage.server.pid)
        anywhere = server.cpu_affinity()
        server.cpu_affinity([core])
        try:
            answer = stage.push(side, Deployment(), command, core=core, seconds=effort.push_s)
        finally:
            server.cpu_affinity(anywhere)
        return {PUSHES.name: answer["jobs_per_s"]}

    return measure


def pickup(queues: int) -> Measure:
    """From the call that pushes to the first line of the job, with two idle workers."""

    def measure(stage: Stage, effort: Effort, side: Side) -> Mapping[str, float]:
        deployment = Deployment(queues=queues)
        with stage.running(side, deployment) as running:
            _warm_up(stage, side, deployment, running)
            known = running.count()
            stage.push(side, deployment, "ping", count=effort.pings, pause_s=effort.pause_s)
            running.until(lambda count: count >= known + effort.pings + queues)
            waits = running.waits()
        return {P50.name: 1e3 * percentile(waits, 50), P99.name: 1e3 * percentile(waits, 99)}

    return measure


def _warm_up(stage: Stage, side: Side, deployment: Deployment, running: Running) -> None:
    """Let every worker run a job: some prepare only then."""
    for more in range(1, _WARM_UPS + 1):
        jobs = 20 * deployment.workers * more
        target = running.count() + jobs
        stage.fill(side, deployment, "Nap", jobs)
        running.until(target.__le__)
        if len(running.counts()) >= deployment.workers:
            return
    raise Failed(f"{len(running.counts())} of {deployment.workers} workers ran jobs")


def idle_memory(stage: Stage, effort: Effort, side: Side) -> Mapping[str, float]:
    """Proportional set size of all processes of 2 and of 8 idle workers, and the start of 2."""
    found: dict[int, float] = {}
    cold_s = 0.0
    for workers in (2, 8):
        stage.reset()
        deployment = Deployment(workers=workers)
        stage.fill(side, deployment, "Noop", 1)
        began_s = time.monotonic()
        with stage.running(side, deployment) as running:
            first = running.until(lambda count: count > 0)[-1]
            cold_s = cold_s or first.at_s - began_s
            _warm_up(stage, side, deployment, running)
            found[workers] = sum(map(_pss_mb, running.family()))
    return {
        COLD.name: cold_s,
        PSS_2.name: found[2],
        PSS_8.name: found[8],
        PSS_MORE.name: (found[8] - found[2]) / 6,
    }


def _pss_mb(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss) / 1e6


def idleness(stage: Stage, effort: Effort, side: Side) -> Mapping[str, float]:
    """What 8 workers do all day: commands to the server, and CPU of all their processes.

    With three queues, or one where a worker serves no more.
    """
    deployment = Deployment(workers=8, queues=min(3, side.most_queues or 3))
    with stage.running(side, deployment) as running:
        _warm_up(stage, side, deployment, running)
        time.sleep(min(1.0, effort.idle_s))
        family = running.family()
        busy_s, meter, began_s = _all_busy_s(family), ServerMeter(stage), time.monotonic()
        time.sleep(effort.idle_s)
        passed_s = time.monotonic() - began_s
        return {
            IDLE_COMMANDS.name: meter.read()[0] / passed_s,
            IDLE_CPU.name: 100 * (_all_busy_s(family) - busy_s) / passed_s,
        }


def due_at_once(stage: Stage, effort: Effort, side: Side) -> Mapping[str, float]:
    """Jobs a second from the moment for which all were scheduled; workers run by then."""
    lead_s = 1.0 + effort.due / 1500
    with stage.running(side, Deployment()) as running:
        _warm_up(stage, side, Deployment(), running)
        known = running.count()
        answer = stage.push(side, Deployment(), "later", count=effort.due, lead_s=lead_s)
        if answer["ready_s"] > answer["at_s"]:
            raise Failed(f"could not schedule {effort.due} jobs within {lead_s:.1f} s")
        running.until(lambda _: time.time() >= answer["at_s"])
        began_s = time.monotonic()
        end_s = began_s + 10
        samples = running.until(
            lambda count: count >= known + effort.due or time.monotonic() > end_s
        )
    done = samples[-1].jobs - known
    last_s = next(sample.at_s for sample in samples if sample.jobs == samples[-1].jobs)
    return {RATE.name: done / max(LOOK_S, last_s - began_s)}


CASES = (
    Case(
        name="noop",
        title="jobs that do nothing, 2 worker processes",
        figures=(RATE, OWN, SERVER, TRIPS, COMMANDS),
        measure=throughput("Noop"),
        with_variants=True,
    ),
    Case(
        name="push",
        title="enqueue one by one, client and server on one core",
        figures=(PUSHES,),
        measure=pushing("one_by_one"),
        needs="push",
    ),
    Case(
        name="bulk",
        title="enqueue 1,000 at a time (or as many as it can), client and server on one core",
        figures=(PUSHES,),
        measure=pushing("in_bulk"),
        needs="bulk",
    ),
    Case(
        name="memory",
        title="start of 2 workers to the first finished job; memory (PSS) of 2 and of 8 idle ones",
        figures=(PSS_MORE, PSS_2, PSS_8, COLD),
        measure=idle_memory,
        needs="wait",
    ),
    Case(
        name="pickup",
        title="from the push to the first line of the job, 2 idle workers, 1 queue",
        figures=(P50, P99),
        measure=pickup(1),
        needs="wait",
    ),
    Case(
        name="pickup5",
        title="the same with 5 queues",
        figures=(P50, P99),
        measure=pickup(5),
        needs="wait",
        queues=5,
    ),
    Case(
        name="idle",
        title="8 idle workers, 3 queues (1 where a worker serves no more)",
        figures=(IDLE_COMMANDS, IDLE_CPU),
        measure=idleness,
        needs="wait",
        is_quick=False,  # two seconds would fall between two of a worker's waits
    ),
    Case(
        name="sleep8",
        title="jobs that wait 1 ms, 8 worker processes",
        figures=(RATE,),
        measure=throughput("Nap", workers=8),
        needs=None,
    ),
    Case(
        name="sleep",
        title="jobs that wait 1 ms, 2 worker processes",
        figures=(RATE,),
        measure=throughput("Nap"),
        needs=None,
        is_quick=False,
    ),
    Case(
        name="cpu",
        title="jobs that use 1 ms of CPU, 2 worker processes",
        figures=(RATE,),
        measure=throughput("Spin"),
        is_quick=False,
        with_variants=True,
        needs=None,
    ),
    Case(
        name="text",
        title="jobs with an argument of 10 KB, 2 worker processes",
        figures=(RATE,),
        measure=throughput("Text"),
        is_quick=False,
        with_variants=True,
    ),
    Case(
        name="due",
        title="jobs that were scheduled for one moment",
        figures=(RATE,),
        measure=due_at_once,
        is_quick=False,
        needs="later",
    ),
)
