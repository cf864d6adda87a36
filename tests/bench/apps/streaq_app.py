"""streaq: the jobs, and pushing them. Its queues are priorities of one queue."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import bench_jobs
from streaq import Worker

worker: Any = Worker(
    redis_url=bench_jobs.URL,
    queue_name="bench",
    priorities=list(bench_jobs.QUEUES),
    concurrency=32,
    anyio_kwargs={"use_uvloop": True},
)


def as_coroutine(run: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine function: others would run in a thread, which is slower."""

    async def perform(value: Any) -> None:
        result = run(value)
        if result is not None:
            await result

    return perform


TASKS = {
    name: worker.task(name=name, silent=True, ttl=0)(as_coroutine(run))
    for name, run in bench_jobs.ASYNC_JOBS.items()
}


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[None]:
    """Open the worker's connections."""
    async with worker:
        yield


async def enqueue(job: str, args: list[Any], queue: str) -> None:
    """One task."""
    await TASKS[job].enqueue(*args).start(priority=queue)


async def enqueue_many(job: str, many: list[list[Any]], queue: str) -> None:
    """One pipeline."""
    tasks = [TASKS[job].enqueue(*args) for args in many]
    for task in tasks:
        task.priority = queue
    await worker.enqueue_many(tasks)


async def enqueue_at(job: str, many: list[list[Any]], at_s: float) -> None:
    """One pipeline."""
    when = datetime.fromtimestamp(at_s, UTC)
    tasks = [TASKS[job].enqueue(*args) for args in many]
    for task in tasks:
        task.schedule = when
    await worker.enqueue_many(tasks)
