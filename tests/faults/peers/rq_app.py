"""RQ, with three retries."""

import sys

import redis
import work
from rq import Queue, Retry

if __name__ == "__main__":
    queue = Queue("default", connection=redis.Redis.from_url(work.URL))
    queue.enqueue(work.work, sys.argv[1], float(sys.argv[2]), sys.argv[3], retry=Retry(max=3))
