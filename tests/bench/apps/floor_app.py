"""The floor: the moves of Sidekiq's format by a bare loop, without anything of a job server.

As a client: LPUSH of ready payloads by redis-py. As a worker (``python floor_app.py WORKERS BATCH
JOB``): one script that acknowledges and claims BATCH jobs, sent and read through redis-py's
``Connection`` with hiredis; then decode, look up, call. No retries, heartbeat, logging or signals.
With ``ideal`` for BATCH there is no Redis either: JOB is called again and again.
"""

import os
import random
import sys
import time
from itertools import count
from typing import Any

import bench_jobs
import msgspec
import redis

FIRST = bench_jobs.QUEUES[0]
CLAIM = """
for i = 4, #ARGV do redis.call('LREM', KEYS[1], -1, ARGV[i]) end
local jobs = {}
for i = 1, tonumber(ARGV[1]) do
  local job = redis.call('LMOVE', ARGV[2], KEYS[1], 'RIGHT', 'LEFT')
  if not job then break end
  jobs[i] = job
end
return jobs
"""
PAYLOAD = (
    '{"class":"%s","args":%s,"queue":"%s","retry":true,"jid":"%024x",'
    '"created_at":1790000000000,"enqueued_at":1790000000000}'
)

server: Any = redis.Redis.from_url(bench_jobs.URL)
jids = count()


def payload(job: str, args: list[Any], queue: str) -> str:
    """What jobd and Sidekiq would push."""
    text = msgspec.json.encode(args).decode()
    return PAYLOAD % (job, text, queue, next(jids))


READY = payload("Noop", [1], FIRST)


def enqueue(job: str, args: list[Any], queue: str) -> None:
    """One LPUSH; of the same bytes each time, unless the job says when it was sent."""
    server.lpush(f"queue:{queue}", READY if job == "Noop" else payload(job, args, queue))


def enqueue_many(job: str, many: list[list[Any]], queue: str) -> None:
    """One LPUSH of all."""
    server.sadd("queues", queue)
    server.lpush(f"queue:{queue}", *[payload(job, args, queue) for args in many])


def work(batch: int) -> None:
    """Claim, run, claim."""
    connection: Any = redis.Redis.from_url(bench_jobs.URL).connection_pool.make_connection()
    connection.connect()

    def ask(*command: Any) -> Any:
        connection.send_command(*command)
        return connection.read_response()

    script = ask("SCRIPT", "LOAD", CLAIM)
    private, decode, jobs = f"floor:{os.getpid()}", msgspec.json.decode, bench_jobs.JOBS
    done: list[bytes] = []
    while True:
        queue = f"queue:{random.choice(bench_jobs.QUEUES)}"
        done = ask("EVALSHA", script, 1, private, batch, queue, "", *done)
        for raw in done:
            item = decode(raw)
            jobs[item["class"]](*item["args"])
        if not done:
            time.sleep(0.001)


def call_only(job: str) -> None:
    """Call the job, for ever."""
    run = bench_jobs.JOBS[job]
    for number in count():
        run(number)


def main(workers: int, batch: str, job: str) -> None:
    """Fork the workers and be the last of them."""
    for _ in range(workers - 1):
        if os.fork() == 0:
            break
    if batch == "ideal":
        call_only(job)
    work(int(batch))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
