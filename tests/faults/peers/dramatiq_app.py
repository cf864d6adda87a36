"""Dramatiq in its default settings."""

import sys

import dramatiq
import work
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=work.URL))
run = dramatiq.actor(work.work, actor_name="work")

if __name__ == "__main__":
    run.send(sys.argv[1], float(sys.argv[2]), sys.argv[3])
