"""Huey: the jobs, and pushing them."""

from datetime import UTC, datetime
from typing import Any

import bench_jobs
from huey import RedisHuey

huey = RedisHuey("bench", url=bench_jobs.URL, results=False, blocking=True)
JOBS = {name: huey.task(name=name)(run) for name, run in bench_jobs.JOBS.items()}


def enqueue(job: str, args: list[Any], queue: str) -> None:
    """One LPUSH."""
    JOBS[job](*args)


def enqueue_many(job: str, many: list[list[Any]], queue: str) -> None:
    """One LPUSH each: Huey has no bulk push."""
    for args in many:
        JOBS[job](*args)


def enqueue_at(job: str, many: list[list[Any]], at_s: float) -> None:
    """One by one."""
    eta = datetime.fromtimestamp(at_s, UTC)
    for args in many:
        JOBS[job].schedule(args=args, eta=eta)
