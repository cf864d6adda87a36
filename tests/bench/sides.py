"""All sides, with the settings of each in one place.

The Python peers run in the best way that their own documentation names for many short jobs: no
results, no logs, no events, hiredis and uvloop where they can use them, and the concurrency that
their authors use in benchmarks (32 coroutines a process for the asynchronous ones). Where that
loses jobs when a process is killed, a second entry has the crash-safe way.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench.side import Command, Deployment, Side

APPS = Path(__file__).with_name("apps")


def _once(*words: str) -> Command:
    """A command whose ``{workers}`` and ``{queues}`` become what was asked for."""

    def command(programs: Path, deployment: Deployment) -> list[list[str]]:
        filled = [
            word.format(
                programs=programs,
                apps=APPS,
                workers=deployment.workers,
                queues=",".join(deployment.queue_names()),
                job=deployment.job,
            )
            for word in words
        ]
        at = filled.index("QUEUES") if "QUEUES" in filled else None
        if at is not None:
            filled[at : at + 1] = deployment.queue_names()
        return [filled]

    return command


def _each(*words: str) -> Command:
    """The same, started once for each worker: a system without a command for several."""

    def command(programs: Path, deployment: Deployment) -> list[list[str]]:
        return _once(*words)(programs, deployment) * deployment.workers

    return command


def _sidekiq(_: Path, deployment: Deployment) -> list[list[str]]:
    flags = [word for name in deployment.queue_names() for word in ("-q", f"{name},1")]
    app = str(APPS / "sidekiq_app.rb")
    return [["sidekiq", "-r", app, "-c", "5", "-e", "production", *flags]] * deployment.workers


def _jobd(
    *, level: str = "warning", batch: str | int = "auto"
) -> Callable[[Deployment], Mapping[str, str]]:
    def files(deployment: Deployment) -> Mapping[str, str]:
        names = deployment.queue_names()
        settings = {
            "concurrency": deployment.workers,
            "queues": names if len(names) == 1 else [[name, 1] for name in names],
            "batch": batch,
            "require": ["jobd_app"],
            "log": {"level": level, "format": "logfmt", "file": "jobd.log"},
        }
        return {"jobd.yml": json.dumps(settings)}

    return files


JOBD = _once(sys.executable, "-m", "jobd", "-C", "jobd.yml", "-e", "production")
FLOOR = _once(sys.executable, "{apps}/floor_app.py", "{workers}", "50", "{job}")

SIDES = (
    Side(
        name="jobd",
        kind="jobd",
        settings="fetch: reliable, batch: auto, log level warning to a file",
        is_safe=True,
        pace=150_000,
        command=JOBD,
        app="jobd_app",
        filler="floor_app",
        files=_jobd(),
        is_scaled=True,
    ),
    Side(
        name="jobd-batch1",
        kind="jobd",
        settings="fetch: reliable, batch: 1, log level warning to a file",
        is_safe=True,
        pace=25_000,
        command=JOBD,
        app="jobd_app",
        filler="floor_app",
        files=_jobd(batch=1),
        is_variant=True,
    ),
    Side(
        name="jobd-info",
        kind="jobd",
        settings="fetch: reliable, batch: auto, start and done of each job to a file (info)",
        is_safe=True,
        pace=120_000,
        command=JOBD,
        app="jobd_app",
        filler="floor_app",
        files=_jobd(level="info"),
        is_variant=True,
    ),
    Side(
        name="floor",
        kind="floor",
        settings="bare loop over redis-py's Connection with hiredis: one script acknowledges and "
        "claims 50, decode, look up, call; as a client a bare LPUSH",
        is_safe=True,
        pace=220_000,
        command=FLOOR,
        app="floor_app",
        can=frozenset({"run", "push", "bulk"}),
        is_scaled=True,
    ),
    Side(
        name="floor-batch1",
        kind="floor",
        settings="the same loop with claims of 1",
        is_safe=True,
        pace=35_000,
        command=_once(sys.executable, "{apps}/floor_app.py", "{workers}", "1", "{job}"),
        app="floor_app",
        can=frozenset({"run"}),
        is_variant=True,
        is_quick=False,
    ),
    Side(
        name="prototype",
        kind="floor",
        settings="the design's prototype as a bare loop: a claim that heals itself, 128 a batch; "
        "decode, registry, two middlewares, scoreboard, outcome",
        is_safe=True,
        pace=150_000,
        command=_once(sys.executable, "{apps}/prototype_app.py", "{workers}"),
        app="floor_app",
        can=frozenset({"run"}),
        is_variant=True,
    ),
    Side(
        name="ideal",
        kind="floor",
        settings="the job's function called in a loop, without Redis",
        is_safe=False,
        pace=0,
        command=_once(sys.executable, "{apps}/floor_app.py", "{workers}", "ideal", "{job}"),
        app="floor_app",
        can=frozenset(),
    ),
    Side(
        name="sidekiq",
        kind="sidekiq",
        settings="Debian's 6.4, 5 threads in each process, log level WARN, basic fetch",
        is_safe=False,
        pace=25_000,
        command=_sidekiq,
        app="sidekiq",
        filler="floor_app",
        can=frozenset({"run", "wait", "push", "bulk"}),
        is_scaled=True,
    ),
    Side(
        name="celery",
        kind="peer",
        section="celery",
        settings="prefork pool, prefetch 128, results ignored, no gossip, mingle, heartbeat or "
        "events, log level WARNING",
        is_safe=False,
        pace=3_000,
        command=_once(
            *("{programs}/celery", "-A", "celery_app", "worker", "--pool", "prefork"),
            *("-c", "{workers}", "-Q", "{queues}", "--loglevel", "WARNING"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ),
        app="celery_app",
        env={"C_FORCE_ROOT": "1"},
        is_quick=False,
    ),
    Side(
        name="celery-safe",
        kind="peer",
        section="celery",
        settings="the same with acks_late, reject_on_worker_lost and prefetch 1",
        is_safe=True,
        pace=2_000,
        command=_once(
            *("{programs}/celery", "-A", "celery_app", "worker", "--pool", "prefork"),
            *("-c", "{workers}", "-Q", "{queues}", "--loglevel", "WARNING"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ),
        app="celery_app",
        env={"C_FORCE_ROOT": "1", "BENCH_VARIANT": "safe"},
        is_quick=False,
        is_variant=True,
    ),
    Side(
        name="rq",
        kind="peer",
        section="rq",
        settings="worker-pool of SimpleWorker (no fork for each job), result_ttl 0, quiet",
        is_safe=False,
        pace=2_000,
        command=_once(
            *("{programs}/rq", "worker-pool", "-n", "{workers}", "-w", "rq_app.InProcess"),
            *("-q", "-l", "WARNING", "QUEUES"),
        ),
        app="rq_app",
        is_quick=False,
    ),
    Side(
        name="rq-fork",
        kind="peer",
        section="rq",
        settings="worker-pool of Worker (a fork for each job, modules imported before), quiet",
        is_safe=True,
        pace=600,
        command=_once(
            *("{programs}/rq", "worker-pool", "-n", "{workers}", "-w", "rq_app.Forking"),
            *("-q", "-l", "WARNING", "QUEUES"),
        ),
        app="rq_app",
        is_quick=False,
        is_variant=True,
    ),
    Side(
        name="dramatiq",
        kind="peer",
        section="dramatiq",
        settings="16 threads in each process and its default middleware",
        is_safe=True,
        pace=8_000,
        command=_once(
            *("{programs}/dramatiq", "dramatiq_app", "--processes", "{workers}", "--threads", "16"),
        ),
        app="dramatiq_app",
    ),
    Side(
        name="huey",
        kind="peer",
        section="huey",
        settings="process workers, blocking RedisHuey, no results, no periodic tasks, quiet",
        is_safe=False,
        pace=14_000,
        command=_once(
            *("{programs}/huey_consumer", "huey_app.huey", "-k", "process", "-w", "{workers}"),
            *("-n", "-q"),
        ),
        app="huey_app",
        most_queues=1,
    ),
    Side(
        name="arq",
        kind="peer",
        section="arq",
        settings="32 jobs in each process, poll_delay 10 ms, keep_result 0, uvloop",
        is_safe=True,
        pace=3_000,
        command=_each(
            *("{programs}/arq", "arq_app.WorkerSettings", "--custom-log-dict", "arq_app.LOGGING"),
        ),
        app="arq_app",
        most_queues=1,
        is_quick=False,
    ),
    Side(
        name="taskiq",
        kind="peer",
        section="taskiq",
        settings="ListQueueBroker, 32 async tasks and 32 prefetched in each process, no results, "
        "--no-parse, uvloop",
        is_safe=False,
        pace=15_000,
        command=_once(
            *("{programs}/taskiq", "worker", "taskiq_app:broker", "--workers", "{workers}"),
            *("--max-async-tasks", "32", "--max-prefetch", "32", "--no-parse"),
            *("--log-level", "WARNING"),
        ),
        app="taskiq_app",
        can=frozenset({"run", "wait", "push", "bulk"}),
        most_queues=1,
    ),
    Side(
        name="taskiq-streams",
        kind="peer",
        section="taskiq",
        settings="the same with RedisStreamBroker, acknowledged when executed",
        is_safe=True,
        pace=10_000,
        command=_once(
            *("{programs}/taskiq", "worker", "taskiq_app:broker", "--workers", "{workers}"),
            *("--max-async-tasks", "32", "--max-prefetch", "32", "--no-parse"),
            *("--log-level", "WARNING", "--ack-type", "when_executed"),
        ),
        app="taskiq_app",
        env={"BENCH_VARIANT": "streams"},
        can=frozenset({"run", "wait", "push", "bulk"}),
        most_queues=1,
        is_quick=False,
        is_variant=True,
    ),
    Side(
        name="saq",
        kind="peer",
        section="saq",
        settings="32 jobs in each process, job ttl -1 (no result), hiredis, uvloop, quiet",
        is_safe=True,
        pace=6_000,
        command=_once(
            *("{programs}/saq", "saq_app.settings", "--workers", "{workers}", "--quiet"),
        ),
        app="saq_app",
        most_queues=1,
        is_quick=False,
    ),
    Side(
        name="streaq",
        kind="peer",
        section="streaq",
        settings="32 tasks in each process, silent, ttl 0 (no result), uvloop",
        is_safe=True,
        pace=8_000,
        command=_once(
            *("{programs}/streaq", "run", "streaq_app:worker", "--workers", "{workers}"),
        ),
        app="streaq_app",
        is_quick=False,
    ),
)
