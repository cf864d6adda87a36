"""arq: the jobs, and pushing them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import bench_jobs
import uvloop
from arq import create_pool, func
from arq.connections import ArqRedis, RedisSettings

uvloop.install()
SETTINGS = RedisSettings.from_dsn(bench_jobs.URL)
SIDE_BY_SIDE = 50


def as_coroutine(run: Callable[..., Any]) -> Callable[..., Any]:
    """What arq calls: a coroutine function with a context before the arguments."""

    async def perform(_context: dict[str, Any], *args: Any) -> None:
        result = run(*args)
        if result is not None:
            await result

    return perform


class WorkerSettings:
    """Read by the arq command."""

    functions = tuple(func(as_coroutine(run), name=n) for n, run in bench_jobs.ASYNC_JOBS.items())
    redis_settings = SETTINGS
    max_jobs = 32
    poll_delay = 0.01
    keep_result = 0
    log_results = False


LOGGING = {"version": 1, "loggers": {"arq": {"level": "WARNING"}}}


class Pool:
    """The connection, once it is made."""

    redis: ArqRedis


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[None]:
    """Open the pool."""
    Pool.redis = await create_pool(SETTINGS)
    yield
    await Pool.redis.aclose()


async def enqueue(job: str, args: list[Any], queue: str) -> None:
    """One job, two round trips."""
    await Pool.redis.enqueue_job(job, *args)


async def enqueue_many(job: str, many: list[list[Any]], queue: str) -> None:
    """One by one, so many side by side: arq has no bulk push."""
    for start in range(0, len(many), SIDE_BY_SIDE):
        slice_ = many[start : start + SIDE_BY_SIDE]
        await asyncio.gather(*(Pool.redis.enqueue_job(job, *args) for args in slice_))


async def enqueue_at(job: str, many: list[list[Any]], at_s: float) -> None:
    """The same, deferred."""
    when = datetime.fromtimestamp(at_s, UTC)
    for start in range(0, len(many), SIDE_BY_SIDE):
        slice_ = many[start : start + SIDE_BY_SIDE]
        await asyncio.gather(
            *(Pool.redis.enqueue_job(job, *args, _defer_until=when) for args in slice_)
        )
