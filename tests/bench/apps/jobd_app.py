"""jobd: the jobs, and pushing them."""

from typing import Any

import bench_jobs

import jobd

FIRST, *OTHERS = bench_jobs.QUEUES
JOBS = {name: jobd.job(name=name, queue=FIRST)(run) for name, run in bench_jobs.JOBS.items()}
SENDERS: dict[tuple[str, str], Any] = {(name, FIRST): job for name, job in JOBS.items()}
SENDERS |= {(name, queue): job.set(queue=queue) for name, job in JOBS.items() for queue in OTHERS}


@jobd.configure_client
def client(config: Any) -> None:
    """Push to the server of this run."""
    config.redis = {"url": bench_jobs.URL}


def enqueue(job: str, args: list[Any], queue: str) -> None:
    """SADD and LPUSH, one round trip."""
    SENDERS[job, queue].perform_async(*args)


def enqueue_many(job: str, many: list[list[Any]], queue: str) -> None:
    """One SADD and one LPUSH for all."""
    SENDERS[job, queue].perform_bulk(many)


def enqueue_at(job: str, many: list[list[Any]], at_s: float) -> None:
    """ZADD, by the hundred."""
    SENDERS[job, FIRST].perform_bulk(many, at=at_s)
