"""The pushing side of every Python peer: ``python bench_client.py APP COMMAND OPTIONS-AS-JSON``.

An app module has ``enqueue(job, args, queue)``, ``enqueue_many(job, list_of_args, queue)`` and, if
it can, ``enqueue_at(job, list_of_args, epoch_s)``; plain functions or coroutines. An asynchronous
one may have ``connected()``, an async context manager that is entered first. The answer is one
line of JSON.
"""

import asyncio
import contextlib
import importlib
import inspect
import json
import random
import sys
import time
from typing import Any

from bench_jobs import QUEUES

CHUNK = 1000
Arguments = list[Any]


def arguments(job: str, count: int) -> list[Arguments]:
    """Of so many jobs of a kind."""
    if job == "Text":
        value = "x" * 10_240
        return [[value] for _ in range(count)]
    return [[number] for number in range(count)]


class Client:
    """The app's functions, awaited where that is needed."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def enqueue(self, job: str, args: Arguments, queue: str) -> None:
        """One job."""
        result = self._app.enqueue(job, args, queue)
        if inspect.isawaitable(result):
            await result

    async def enqueue_many(self, job: str, many: list[Arguments], queue: str) -> None:
        """Many jobs, in the fewest round trips that the app knows."""
        result = self._app.enqueue_many(job, many, queue)
        if inspect.isawaitable(result):
            await result

    async def enqueue_at(self, job: str, many: list[Arguments], at_s: float) -> None:
        """Many jobs for later."""
        result = self._app.enqueue_at(job, many, at_s)
        if inspect.isawaitable(result):
            await result


async def fill(client: Client, *, job: str, count: int) -> dict[str, float]:
    """Queue so many jobs, spread over the queues."""
    for number, start in enumerate(range(0, count, CHUNK)):
        many = arguments(job, min(CHUNK, count - start))
        await client.enqueue_many(job, many, QUEUES[number % len(QUEUES)])
    return {"count": count}


async def one_by_one(client: Client, *, seconds: float) -> dict[str, float]:
    """Enqueue one by one for so long; the first hundred are not counted."""
    for number in range(100):
        await client.enqueue("Noop", [number], QUEUES[0])
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        await client.enqueue("Noop", [count], QUEUES[0])
        count += 1
    return {"jobs_per_s": count / took}


async def in_bulk(client: Client, *, seconds: float) -> dict[str, float]:
    """Enqueue by the thousand for so long; the first thousand are not counted."""
    many = arguments("Noop", CHUNK)
    await client.enqueue_many("Noop", many, QUEUES[0])
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        await client.enqueue_many("Noop", many, QUEUES[0])
        count += CHUNK
    return {"jobs_per_s": count / took}


async def ping(client: Client, *, count: int, pause_s: float) -> dict[str, float]:
    """Send jobs that note when they start, with pauses of random length around ``pause_s``.

    One job of another kind goes before to each queue: a client's first push connects, and may
    import what it needs.
    """
    rng = random.Random(7)
    for queue in QUEUES:
        await client.enqueue("Noop", [0], queue)
    for number in range(count):
        await asyncio.sleep(rng.uniform(0.5, 1.5) * pause_s)
        await client.enqueue("Stamp", [time.monotonic()], QUEUES[number % len(QUEUES)])
    return {"count": count}


async def later(client: Client, *, count: int, lead_s: float) -> dict[str, float]:
    """Schedule so many jobs for one moment, ``lead_s`` from now."""
    at_s = time.time() + lead_s
    for start in range(0, count, CHUNK):
        await client.enqueue_at("Noop", arguments("Noop", min(CHUNK, count - start)), at_s)
    return {"at_s": at_s, "ready_s": time.time()}


COMMANDS = {command.__name__: command for command in (fill, one_by_one, in_bulk, ping, later)}


async def main(app: Any, command: str, options: str) -> None:
    """Run one command and print its answer."""
    connected = getattr(app, "connected", contextlib.nullcontext)
    async with connected():
        answer = await COMMANDS[command](Client(app), **json.loads(options))
    print(json.dumps(answer))


if __name__ == "__main__":
    with contextlib.suppress(ImportError):  # only asynchronous peers have it
        importlib.import_module("uvloop").install()
    asyncio.run(main(importlib.import_module(sys.argv[1]), *sys.argv[2:]))
