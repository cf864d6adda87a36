"""Dramatiq: the jobs, and pushing them."""

import time
from typing import Any

import bench_jobs
import dramatiq
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=bench_jobs.URL)
dramatiq.set_broker(broker)
ACTORS = {
    (name, queue): dramatiq.actor(run, actor_name=f"{name}-{queue}", queue_name=queue)
    for name, run in bench_jobs.JOBS.items()
    for queue in bench_jobs.QUEUES
}


def enqueue(job: str, args: list[Any], queue: str) -> None:
    """One message."""
    ACTORS[job, queue].send(*args)


def enqueue_many(job: str, many: list[list[Any]], queue: str) -> None:
    """One message each: Dramatiq has no bulk push."""
    send = ACTORS[job, queue].send
    for args in many:
        send(*args)


def enqueue_at(job: str, many: list[list[Any]], at_s: float) -> None:
    """By a delay; a worker keeps such messages in its memory."""
    send = ACTORS[job, bench_jobs.QUEUES[0]].send_with_options
    for args in many:
        send(args=args, delay=int((at_s - time.time()) * 1000))
