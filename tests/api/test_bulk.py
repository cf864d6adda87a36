"""Acts on everything that a filter means: whole jobs only, once, in constant memory."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from jobd.api import (
    Access,
    DeadSet,
    Filter,
    JobSet,
    Queue,
    RetrySet,
    ScheduledSet,
    Tally,
    set_of,
)
from jobd.api.access import Redis
from jobd.connection import Reply
from jobd.errors import CannotAct, RedisError
from jobd.link import Argument, Command
from tests.api.parts import ODD, a_failed_job, a_job, fill, jids_of
from tests.support import servers, wire
from tests.support.eventually import eventually
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

ECHO = Filter(class_name="Echo")


def queued_jids(raw: Raw, queue: str = "default") -> list[str]:
    return jids_of(raw.lrange(f"queue:{queue}", 0, -1))


def test_all_that_match_are_retried_and_nothing_else(raw: Raw, access: Access):
    echoes = fill(raw, "retry", 700)
    fill(raw, "retry", 300, "Sweep")

    tally = RetrySet(access=access).retry_all(ECHO)

    assert (tally.total, tally.matched, tally.done, tally.refused) == (1000, 700, 700, 0)
    assert sorted(queued_jids(raw)) == sorted(echoes)
    assert {job["retry_count"] for job in wire.queued(raw)} == {1}
    assert {each.class_name for each in RetrySet(access=access)} == {"Sweep"}


def test_without_a_filter_all_are_meant(raw: Raw, access: Access):
    fill(raw, "schedule", 500)

    assert ScheduledSet(access=access).add_all_to_queue().done == 500
    assert {job["retry_count"] for job in wire.queued(raw)} == {2}
    assert raw.zcard("schedule") == 0


def test_all_that_match_are_deleted(raw: Raw, access: Access):
    fill(raw, "dead", 500)
    fill(raw, "dead", 100, "Sweep")

    assert DeadSet(access=access).delete_all(ECHO).done == 500
    assert DeadSet(access=access).size == 100


def test_all_that_match_are_killed_and_handlers_hear_of_it_only_if_asked(raw: Raw, access: Access):
    heard: list[str] = []
    access.hooks.death_handlers.append(lambda job, _: heard.append(job["jid"]))
    fill(raw, "retry", 300)
    loud = fill(raw, "retry", 300, "Sweep")
    retries = RetrySet(access=access)

    assert retries.kill_all(ECHO).done == 300
    assert heard == []
    assert retries.kill_all(notify=True).done == 300
    assert sorted(heard) == loud
    assert DeadSet(access=access).size == 600


def test_the_dead_set_keeps_its_limit_when_many_are_killed(raw: Raw, access: Access):
    fill(raw, "retry", 500)
    limited = Access(redis=access.redis, dead_limits=(100, 10**6))

    assert RetrySet(access=limited).kill_all().done == 500
    assert raw.zcard("dead") == 100


def test_all_that_match_are_rescheduled(raw: Raw, access: Access):
    fill(raw, "retry", 500)
    fill(raw, "retry", 100, "Sweep")
    moment = datetime(2099, 1, 1, tzinfo=UTC)
    retries = RetrySet(access=access)

    assert retries.reschedule_all(moment, ECHO).done == 500
    assert raw.zcount("retry", moment.timestamp(), moment.timestamp()) == 500
    assert retries.size == 600
    assert retries.reschedule_all(timedelta(hours=1)).done == 600


def test_the_dead_can_only_be_retried_or_deleted(raw: Raw, access: Access):
    fill(raw, "dead", 10)
    dead = DeadSet(access=access)

    with pytest.raises(CannotAct, match="dead already"):
        dead.kill_all()
    with pytest.raises(CannotAct, match="never due"):
        dead.reschedule_all(5)
    assert dead.retry_all().done == 10


def test_what_is_no_job_is_counted_as_refused_and_stays(raw: Raw, access: Access):
    fill(raw, "retry", 50)
    raw.zadd("retry", dict.fromkeys(ODD.values(), 5))
    raw.zadd("retry", {a_failed_job(queue=[]): 5})
    retries = RetrySet(access=access)

    tally = retries.retry_all()

    assert (tally.done, tally.refused) == (50, len(ODD) + 1)
    assert "delete it or kill it" in tally.reason
    assert retries.kill_all().done == len(ODD) + 1
    assert DeadSet(access=access).delete_all().done == len(ODD) + 1


def test_a_queue_that_is_no_list_keeps_its_jobs_back_and_no_others(raw: Raw, access: Access):
    raw.set("queue:low", "text")
    fill(raw, "retry", 200)
    fill(raw, "retry", 200, "Sweep", queue="low")

    tally = RetrySet(access=access).retry_all()

    assert tally.done == 200
    assert "WRONGTYPE" in tally.reason
    assert RetrySet(access=access).size == 200


def test_progress_is_told_after_each_page(raw: Raw, access: Access):
    fill(raw, "retry", 1000)
    told: list[Tally] = []

    last = RetrySet(access=access).retry_all(progress=told.append)

    assert told[-1] == last
    assert [tally.done for tally in told] == sorted(tally.done for tally in told)
    assert all(tally.total == 1000 for tally in told)
    pages = [after.done - before.done for before, after in itertools.pairwise(told)]
    assert max(pages) <= 200


class Counting:
    """The redis of an access, which notes how many keys each script was given."""

    def __init__(self, inner: Redis) -> None:
        self.key_counts: list[int] = []
        self._inner = inner

    def call(self, *command: Argument) -> Reply:
        if command[0] == "EVALSHA":
            self.key_counts.append(int(command[2]))
        return self._inner.call(*command)

    def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        return self._inner.pipeline(commands)


def test_no_script_moves_more_than_200_jobs(raw: Raw, access: Access):
    fill(raw, "retry", 5000)
    counting = Counting(access.redis)

    assert RetrySet(access=Access(redis=counting)).retry_all().done == 5000
    assert sum(count - 2 for count in counting.key_counts) == 5000
    assert max(counting.key_counts) <= 202


def test_jobs_that_fail_again_meanwhile_are_left_alone(raw: Raw, access: Access):
    jids = fill(raw, "retry", 1000)

    def fail_again(_: Tally) -> None:
        while (job := raw.rpop("queue:default")) is not None:
            again = {**json.loads(job), "retry_count": 3, "retried_at": wire.now_ms()}
            raw.zadd("retry", {wire.encode(again): wire.now_ms() / 1000 + 15})

    tally = RetrySet(access=access).retry_all(progress=fail_again)

    assert tally.done == 1000
    assert sorted(jids_of(raw.zrange("retry", 0, -1))) == jids


def test_jobs_that_are_scheduled_meanwhile_are_left_alone(raw: Raw, access: Access):
    fill(raw, "schedule", 500)

    def schedule(_: Tally) -> None:
        now_ms = wire.now_ms()
        eventually(lambda: wire.now_ms() > now_ms)  # what comes in the very same millisecond is old
        for number in range(50):
            wire.schedule(raw, 60, "Late", number)

    tally = ScheduledSet(access=access).delete_all(progress=schedule)

    assert tally.done == 500
    assert {job["class"] for job in wire.entries(raw, "schedule")} == {"Late"}


def test_a_job_whose_times_lie_in_the_future_is_retried_all_the_same(raw: Raw, access: Access):
    hour_ms = 3_600_000
    raw.zadd("retry", {a_failed_job(enqueued_at=wire.now_ms() + hour_ms): 5})

    assert RetrySet(access=access).retry_all().done == 1


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (lambda jobs: jobs.retry_all(ECHO), "queue:default"),
        (lambda jobs: jobs.kill_all(ECHO), "dead"),
        (lambda jobs: jobs.delete_all(ECHO), None),
    ],
    ids=["retry", "kill", "delete"],
)
def test_what_stays_is_seen_while_others_write(
    raw: Raw, access: Access, redis_url: str, act: Callable[[JobSet], Tally], name: str | None
):
    jids = fill(raw, "retry", 3000)
    is_over = threading.Event()

    def write() -> None:
        with servers.connect(redis_url) as other:
            number = 0
            while not is_over.is_set():
                number += 1
                jobs = [a_job("Noise", number, i, jid=f"noise{number}-{i}") for i in range(50)]
                other.zadd("retry", dict.fromkeys(jobs, number))
                other.zrem("retry", *jobs[:40])

    writer = threading.Thread(target=write)
    writer.start()
    tally = act(RetrySet(access=access))
    is_over.set()
    writer.join()

    assert tally.done == 3000
    assert not any(b"Echo" in each for each in raw.zrange("retry", 0, -1))
    if name == "dead":
        assert sorted(jids_of(raw.zrange("dead", 0, -1))) == jids
    elif name is not None:
        assert sorted(queued_jids(raw)) == jids


def test_two_who_retry_everything_at_once_retry_each_job_once(raw: Raw, access: Access):
    jids = fill(raw, "retry", 2000)
    told: list[Tally] = []
    threads = [
        threading.Thread(target=lambda: told.append(RetrySet(access=access).retry_all()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(tally.done for tally in told) == 2000
    assert sorted(queued_jids(raw)) == jids


KILLED = """
import signal, sys
from jobd.api import Access, Filter, RetrySet
from jobd.config import RedisSettings
from jobd.pool import Pool

url, pages = sys.argv[1], int(sys.argv[2])

def progress(tally):
    global pages
    pages -= 1
    if pages == 0:
        print("now", flush=True)
        if sys.argv[3] == "wait":
            signal.pause()

RetrySet(access=Access(redis=Pool(RedisSettings(url=url)))).retry_all(
    Filter(class_name="Echo"), progress=progress
)
print("over", flush=True)
"""


def kill_in_the_midst(redis_url: str, pages: int, manner: str) -> None:
    command = [sys.executable, "-c", KILLED, redis_url, str(pages), manner]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.process
@pytest.mark.parametrize("manner", ["wait", "run"], ids=["between two pages", "anywhere"])
def test_a_retry_of_all_that_is_killed_and_run_again_queues_each_job_once(
    raw: Raw, access: Access, redis_url: str, manner: str
):
    jids = fill(raw, "retry", 10_000)

    kill_in_the_midst(redis_url, 12, manner)
    before = raw.llen("queue:default")
    assert before + raw.zcard("retry") == 10_000
    assert before > 0
    if manner == "wait":
        assert before < 10_000
    tally = RetrySet(access=access).retry_all(ECHO)

    assert tally.done == 10_000 - before
    assert sorted(queued_jids(raw)) == jids
    assert raw.zcard("retry") == 0


def test_a_lost_server_is_told_with_how_far_it_came(raw: Raw, access: Access):
    fill(raw, "retry", 1000)

    def lose(tally: Tally) -> None:
        if tally.done >= 200:
            raw.delete("retry")
            raw.set("retry", "text")

    with pytest.raises(RedisError) as caught:
        RetrySet(access=access).retry_all(progress=lose)
    (note,) = caught.value.__notes__
    assert note.endswith("jobs were done before; run it again to go on")


def peak_of(act: Callable[[], Tally]) -> tuple[int, int]:
    tracemalloc.start()
    try:
        done = act().done
        return done, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_memory_does_not_grow_with_the_set(raw: Raw, access: Access):
    peaks: dict[int, int] = {}
    for count in (4_000, 40_000):
        raw.flushall()
        fill(raw, "retry", count // 2)
        fill(raw, "retry", count // 2, "Sweep")
        done, peaks[count] = peak_of(lambda: RetrySet(access=access).retry_all(ECHO))
        assert done == count // 2
        assert raw.llen("queue:default") == raw.zcard("retry") == count // 2

    assert peaks[40_000] < 1.5 * peaks[4_000]


@pytest.mark.slow
def test_entries_of_a_megabyte_are_read_a_few_at_a_time(raw: Raw, access: Access):
    for number in range(60):
        raw.zadd("retry", {a_failed_job("Echo", number, "x" * 1_000_000): number})

    done, peak = peak_of(lambda: RetrySet(access=access).retry_all(ECHO))

    assert done == 60
    assert peak < 60_000_000


@pytest.mark.parametrize("name", ["schedule", "retry", "dead"])
def test_a_set_is_cleared_at_once(raw: Raw, access: Access, name: str):
    fill(raw, name, 300)
    jobs = set_of(name, access=access)

    assert (jobs.clear(), jobs.clear(), jobs.size) == (300, 0, 0)


def test_jobs_that_were_retried_by_class_run_in_their_own_queues(raw: Raw, access: Access):
    fill(raw, "retry", 100, queue="low")
    fill(raw, "retry", 100, "Sweep", queue="mailers")

    RetrySet(access=access).retry_all()

    assert {queue.name: queue.size for queue in Queue.all(access=access)} == {
        "low": 100,
        "mailers": 100,
    }
