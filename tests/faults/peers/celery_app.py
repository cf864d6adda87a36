"""Celery in its safest settings."""

import sys

import work
from celery import Celery

app = Celery("faults", broker=work.URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)
run = app.task(name="work")(work.work)

if __name__ == "__main__":
    run.delay(sys.argv[1], float(sys.argv[2]), sys.argv[3])
