"""Taskiq: the jobs, and pushing them."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import bench_jobs
from taskiq_redis import ListQueueBroker, RedisStreamBroker

SIDE_BY_SIDE = 50

broker: Any = (
    RedisStreamBroker(bench_jobs.URL, queue_name="bench", consumer_id="0")
    if os.environ.get("BENCH_VARIANT") == "streams"
    else ListQueueBroker(bench_jobs.URL, queue_name="bench")
)


def as_coroutine(run: Any) -> Any:
    """A coroutine function: others would run in a thread, which is slower."""

    async def perform(value: Any) -> None:
        result = run(value)
        if result is not None:
            await result

    return perform


TASKS = {
    name: broker.register_task(as_coroutine(run), task_name=name)
    for name, run in bench_jobs.ASYNC_JOBS.items()
}


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[None]:
    """Start the broker."""
    await broker.startup()
    yield
    await broker.shutdown()


async def enqueue(job: str, args: list[Any], queue: str) -> None:
    """One message."""
    await TASKS[job].kiq(*args)


async def enqueue_many(job: str, many: list[list[Any]], queue: str) -> None:
    """One by one, so many side by side: Taskiq has no bulk push."""
    for start in range(0, len(many), SIDE_BY_SIDE):
        slice_ = many[start : start + SIDE_BY_SIDE]
        await asyncio.gather(*(TASKS[job].kiq(*args) for args in slice_))
