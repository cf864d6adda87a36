"""Celery: the jobs, and pushing them."""

import os
from datetime import UTC, datetime
from typing import Any

import bench_jobs
from celery import Celery

IS_SAFE = os.environ.get("BENCH_VARIANT") == "safe"

app = Celery("bench", broker=bench_jobs.URL)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=IS_SAFE,
    task_reject_on_worker_lost=IS_SAFE,
    worker_prefetch_multiplier=1 if IS_SAFE else 128,
    worker_send_task_events=False,
    task_default_queue=bench_jobs.QUEUES[0],
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)
JOBS = {name: app.task(name=name)(run) for name, run in bench_jobs.JOBS.items()}


def enqueue(job: str, args: list[Any], queue: str) -> None:
    """One message."""
    JOBS[job].apply_async(args, queue=queue)


def enqueue_many(job: str, many: list[list[Any]], queue: str) -> None:
    """One message each, over one connection: Celery has no bulk push."""
    with app.producer_pool.acquire(block=True) as producer:
        for args in many:
            JOBS[job].apply_async(args, queue=queue, producer=producer)


def enqueue_at(job: str, many: list[list[Any]], at_s: float) -> None:
    """With an ETA; a worker keeps such jobs in its memory."""
    eta = datetime.fromtimestamp(at_s, UTC)
    with app.producer_pool.acquire(block=True) as producer:
        for args in many:
            JOBS[job].apply_async(args, eta=eta, producer=producer)
