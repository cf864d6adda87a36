"""The prototype that jobd was designed with, as a bare loop: what a job needs, and nobody else.

``python prototype_app.py WORKERS``: a claim that heals itself and looks for paused queues, in
batches; then for each job decode, registry, two middlewares, its start and its end in a scoreboard
with a sequence number, and an outcome. No retries, heartbeat, logging, signals or supervision, no
limits, cancellation or metrics.
"""

import mmap
import os
import random
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import bench_jobs
import msgspec
import redis

BATCH = 128
CLAIM = """
local n = (#KEYS - 2) / 2
local k, at = tonumber(ARGV[n + 1]), n + 3
for _ = 1, ARGV[n + 2] do
  redis.call('LREM', KEYS[2 + n + ARGV[at]], -1, ARGV[at + 1])
  at = at + 2
end
local jobs = {}
if redis.call('EXISTS', unpack(KEYS, 3 + n)) > 0 then
  for i = 1, n do
    for _, job in ipairs(redis.call('LRANGE', KEYS[2 + n + i], 0, -1)) do
      jobs[#jobs + 1] = i
      jobs[#jobs + 1] = job
    end
  end
  return jobs
end
local some_paused = redis.call('EXISTS', KEYS[2]) == 1
for j = at, #ARGV do
  local i = tonumber(ARGV[j])
  if not some_paused or redis.call('SISMEMBER', KEYS[2], ARGV[i]) == 0 then
    while k > 0 do
      local job = redis.call('LMOVE', KEYS[2 + i], KEYS[2 + n + i], 'RIGHT', 'LEFT')
      if not job then break end
      jobs[#jobs + 1] = i
      jobs[#jobs + 1] = job
      k = k - 1
    end
  end
end
if #jobs > 0 then redis.call('SADD', KEYS[1], unpack(KEYS, 3 + n)) end
return jobs
"""
SLOT = struct.Struct("<IId128s64s")


class Job:
    """What a registry has for each name."""

    def __init__(self, run: Callable[..., None]) -> None:
        self.run = run
        self.jid = ""


def middleware(proceed: Callable[[Job, Any], None]) -> Callable[[Job, Any], None]:
    """One that only goes on."""

    def call(job: Job, payload: dict[str, Any]) -> None:
        proceed(job, payload)

    return call


def perform(job: Job, payload: dict[str, Any]) -> None:
    """The end of the chain."""
    job.run(*payload["args"])


REGISTRY = bench_jobs.JOBS
CHAIN = middleware(middleware(perform))


def run(payload: dict[str, Any]) -> BaseException | None:
    """Its outcome."""
    try:
        job = Job(REGISTRY[payload["class"]])
        job.jid = payload["jid"]
        CHAIN(job, payload)
    except BaseException as error:  # noqa: BLE001 - as an outcome
        return error
    return None


def work(number: int) -> None:
    """Claim, run, claim."""
    queues = bench_jobs.QUEUES
    page = memoryview(mmap.mmap(-1, 4096))
    words = page.cast("I")
    connection: Any = redis.Redis.from_url(bench_jobs.URL).connection_pool.make_connection()
    connection.connect()
    connection.send_command("SCRIPT", "LOAD", CLAIM)
    lists = (*(f"queue:{name}" for name in queues), *(f"held:{number}:{name}" for name in queues))
    constant = ("EVALSHA", connection.read_response(), 2 + len(lists), "privates", "paused", *lists)
    decode, clock = msgspec.json.Decoder().decode, time.monotonic
    done: list[Any] = []
    while True:
        order = random.sample(range(1, len(queues) + 1), len(queues))
        connection.send_command(*constant, *queues, BATCH, len(done) // 2, *done, *order)
        claimed = iter(connection.read_response())
        done = []
        for queue, raw in zip(claimed, claimed, strict=True):
            payload = decode(raw)
            name, jid = payload["class"].encode(), payload["jid"].encode()
            words[0] += 1
            SLOT.pack_into(page, 4, 1, number, clock(), name, jid)
            words[0] += 1
            outcome = run(payload)
            words[0] += 1
            SLOT.pack_into(page, 4, 0, number, clock(), b"", b"")
            words[0] += 1
            if outcome is None:
                done += (queue, raw)
        if not done:
            time.sleep(0.001)


def main(workers: int) -> None:
    """Fork the workers and be the last of them."""
    number = 0
    while number < workers - 1 and os.fork():
        number += 1
    work(number)


if __name__ == "__main__":
    main(int(sys.argv[1]))
