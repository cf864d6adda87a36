"""RQ: the jobs, and pushing them. The worker pool imports this module before it forks."""

from datetime import UTC, datetime
from typing import Any

import bench_jobs
import redis
from rq import Queue, SimpleWorker, Worker

connection = redis.Redis.from_url(bench_jobs.URL)
QUEUES = {name: Queue(name, connection=connection) for name in bench_jobs.QUEUES}


class InProcess(SimpleWorker):
    """Runs jobs in the worker itself."""


class Forking(Worker):
    """Forks for each job: a crash kills one job only."""


def enqueue(job: str, args: list[Any], queue: str) -> None:
    """One job, without a result."""
    QUEUES[queue].enqueue_call(bench_jobs.JOBS[job], args=tuple(args), result_ttl=0)


def enqueue_many(job: str, many: list[list[Any]], queue: str) -> None:
    """One pipeline."""
    prepare = Queue.prepare_data
    QUEUES[queue].enqueue_many(
        [prepare(bench_jobs.JOBS[job], args=tuple(args), result_ttl=0) for args in many]
    )


def enqueue_at(job: str, many: list[list[Any]], at_s: float) -> None:
    """One by one; there is no bulk for later."""
    when = datetime.fromtimestamp(at_s, UTC)
    for args in many:
        QUEUES[bench_jobs.QUEUES[0]].enqueue_at(when, bench_jobs.JOBS[job], *args, result_ttl=0)
