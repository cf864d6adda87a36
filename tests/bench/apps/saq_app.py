"""SAQ: the jobs, and pushing them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import bench_jobs
import uvloop
from saq import Queue

SIDE_BY_SIDE = 50

uvloop.install()
queue = Queue.from_url(bench_jobs.URL, name="bench")


def as_coroutine(run: Callable[..., Any]) -> Callable[..., Any]:
    """What SAQ calls: a coroutine function with a context and keyword arguments."""

    async def perform(_context: Any, *, value: Any) -> None:
        result = run(value)
        if result is not None:
            await result

    return perform


settings = {
    "queue": queue,
    "functions": [(name, as_coroutine(run)) for name, run in bench_jobs.ASYNC_JOBS.items()],
    "concurrency": 32,
}


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[None]:
    """Open the queue."""
    await queue.connect()
    yield
    await queue.disconnect()


async def enqueue(job: str, args: list[Any], queue_name: str) -> None:
    """One job, without a result."""
    await queue.enqueue(job, value=args[0], ttl=-1)


async def enqueue_many(job: str, many: list[list[Any]], queue_name: str) -> None:
    """One by one, so many side by side: SAQ has no bulk push."""
    await _all(job, many, 0)


async def enqueue_at(job: str, many: list[list[Any]], at_s: float) -> None:
    """The same, scheduled."""
    await _all(job, many, int(at_s))


async def _all(job: str, many: list[list[Any]], scheduled: int) -> None:
    for start in range(0, len(many), SIDE_BY_SIDE):
        slice_ = many[start : start + SIDE_BY_SIDE]
        await asyncio.gather(
            *(queue.enqueue(job, value=args[0], ttl=-1, scheduled=scheduled) for args in slice_)
        )
