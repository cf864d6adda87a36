"""A queue as an operator has it."""

import json
import random
import threading

import pytest

from jobd.api import Access, Filter, Queue, Stats, Tally
from jobd.api.walk import through_queue
from jobd.errors import CannotAct, RedisRejected
from tests.api.parts import ODD, a_job, jids_of, places
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.servers import Raw

pytestmark = pytest.mark.redis


def test_a_queue_tells_its_size_and_for_how_long_its_next_job_has_waited(raw: Raw, access: Access):
    raw.sadd("queues", "mailers")
    raw.lpush("queue:mailers", a_job(enqueued_at=wire.now_ms() - 5_000))
    raw.lpush("queue:mailers", a_job(enqueued_at=wire.now_ms()))
    queue = Queue("mailers", access=access)

    assert (queue.size, len(queue), queue.is_known, queue.is_paused) == (2, 2, True, False)
    assert 5.0 <= queue.latency_s < 60.0
    assert [each.name for each in Queue.all(access=access)] == ["mailers"]


def test_a_queue_that_nobody_knows_is_empty(access: Access):
    queue = Queue("nobody", access=access)

    assert (queue.size, queue.latency_s, queue.is_known) == (0, 0.0, False)
    assert list(queue) == queue.page(1, 10) == []
    assert queue.find("abc") is None
    assert (queue.clear(), queue.delete_by_class("Echo")) == (0, 0)
    assert queue


@pytest.mark.parametrize(
    "name", [b"", b"\xff\xfe", b"a\nb", b"a/../b", b"x" * 5000, "ä ö".encode()]
)
def test_a_queue_of_any_name_is_read_and_acted_on(raw: Raw, access: Access, name: bytes):
    raw.sadd("queues", name)
    raw.lpush(b"queue:" + name, *(a_job("Echo", n, jid=f"j{n}") for n in range(4)))
    (queue,) = Queue.all(access=access)

    assert [job.jid for job in queue] == ["j0", "j1", "j2", "j3"]
    assert (queue.pause(), raw.smembers("paused")) == (True, {name})
    assert [each.is_paused for each in Stats(access=access).queues()] == [True]
    assert (queue.is_paused, queue.unpause(), queue.is_paused) == (True, True, False)
    one, two, three, _ = queue.page(1, 4)
    assert (one.delete(), two.kill(), queue.move(three, "low")) == (True, True, True)
    assert queue.delete(Filter(jid="j3")) == 1
    assert (raw.zcard("dead"), raw.llen("queue:low"), queue.size) == (1, 1, 0)
    assert (queue.clear(), raw.smembers("queues")) == (0, {b"low"})


def test_jobs_are_given_in_the_order_in_which_they_will_run(raw: Raw, access: Access):
    for number in range(250):
        wire.push(raw, "Echo", number)
    queue = Queue(access=access)

    assert [job.args[0] for job in queue] == list(range(250))
    assert [job.args[0] for job in queue.page(1, 3)] == [0, 1, 2]
    assert [job.args[0] for job in queue.page(3, 100)] == list(range(200, 250))
    assert queue.page(4, 100) == []


def test_a_job_is_found_and_deleted_by_its_exact_bytes(raw: Raw, access: Access):
    spaced = b'{ "class":"Echo", "args":[], "jid":"spaced" }'
    raw.lpush("queue:default", spaced, a_job(jid="other"))
    job = Queue(access=access).find("spaced")

    assert job is not None
    assert job.delete()
    assert not job.delete()
    assert jids_of(raw.lrange("queue:default", 0, -1)) == ["other"]


def test_every_job_can_be_deleted_while_the_queue_is_gone_through(raw: Raw, access: Access):
    for number in range(350):
        wire.push(raw, "Echo", number)
    queue = Queue(access=access)

    assert [job.delete() for job in queue] == [True] * 350
    assert queue.size == 0


def test_jobs_that_stay_are_given_though_whole_pages_before_them_are_deleted(
    raw: Raw, access: Access
):
    for number in range(1000):
        wire.push(raw, "Sweep" if 150 <= number < 850 else "Echo", number)
    seen: list[int] = []
    for job in Queue(access=access):
        seen.append(job.args[0])
        if job.class_name == "Sweep":
            job.delete()

    assert seen == list(range(1000))


@pytest.mark.parametrize("seed", range(8))
def test_what_is_there_throughout_is_given_whatever_others_do(raw: Raw, access: Access, seed: int):
    rng = random.Random(seed)
    raw.lpush("queue:default", *(b"early %d" % number for number in range(120)))
    stays = [b"stays %d" % number for number in range(100)]
    for number, job in enumerate(stays):
        raw.lpush("queue:default", job, b"noise %d" % number)
    seen: list[bytes] = []
    for number, stretch in enumerate(through_queue(access.redis, "queue:default", 10)):
        seen += stretch.raws
        raw.lpush(
            "queue:default", *(b"new %d %d" % (number, i) for i in range(1 + rng.randrange(9)))
        )
        for _ in range(rng.randrange(4)):
            raw.lrem("queue:default", 1, b"noise %d" % rng.randrange(100))
        for _ in range(rng.randrange(25)):
            if raw.lindex("queue:default", -1).startswith(b"early"):
                raw.rpop("queue:default")
        if rng.random() < 0.3:
            raw.rpush(
                "queue:default", *(b"early back %d" % i for i in range(1 + rng.randrange(20)))
            )

    assert set(stays) <= set(seen)


def test_a_queue_that_grows_all_the_time_is_gone_through_once(raw: Raw, access: Access):
    for number in range(200):
        wire.push(raw, "Echo", number)
    seen = 0
    for _ in Queue(access=access):
        seen += 1
        wire.push(raw, "Echo", "again")

    assert 200 <= seen <= 300


def test_jobs_of_a_class_are_deleted_and_no_others(raw: Raw, access: Access):
    for number in range(1300):
        wire.push(raw, "Sweep" if number % 3 else "Echo", number)
    raw.lpush("queue:default", *ODD.values())

    assert Queue(access=access).delete_by_class("Sweep") == 866
    left = raw.lrange("queue:default", 0, -1)
    assert len(left) == 434 + len(ODD)
    assert not any(b"Sweep" in job for job in left)
    jobs = [json.loads(job)["args"][0] for job in reversed(left[len(ODD) :])]
    assert jobs == list(range(0, 1300, 3))


def test_jobs_are_deleted_by_class_while_workers_take_and_clients_push(raw: Raw, access: Access):
    for number in range(3000):
        wire.push(raw, "Sweep" if number % 2 else "Echo", number)
    taken: list[bytes] = []
    pushed = threading.Event()

    def work() -> None:
        for number in range(600):
            taken.append(raw.rpop("queue:default"))
            wire.push(raw, "Echo", "late", number)
        pushed.set()

    worker = threading.Thread(target=work)
    worker.start()
    deleted = Queue(access=access).delete_by_class("Sweep")
    worker.join()
    assert pushed.is_set()
    deleted += Queue(access=access).delete_by_class("Sweep")

    left = raw.lrange("queue:default", 0, -1)
    assert not any(b"Sweep" in job for job in left)
    assert len(left) + len(taken) + deleted == 3600
    assert len(set(left + taken)) == len(left) + len(taken)


def test_clearing_deletes_the_queue_and_keeps_its_pause(raw: Raw, access: Access):
    wire.push(raw, "Echo")
    wire.push(raw, "Echo")
    queue = Queue(access=access)
    assert queue.pause()

    assert queue.clear() == 2
    assert (queue.size, queue.is_known, queue.is_paused) == (0, False, True)


def test_a_queue_is_paused_once_and_unpaused_once(access: Access):
    queue = Queue("low", access=access)

    assert (queue.pause(), queue.pause(), queue.is_paused) == (True, False, True)
    assert [each.name for each in Stats(access=access).queues()] == []
    assert (queue.unpause(), queue.unpause(), queue.is_paused) == (True, False, False)


def test_a_job_moves_to_the_back_of_another_queue_with_all_its_fields(raw: Raw, access: Access):
    wire.push(raw, "Echo", queue="low")
    raw.lpush("queue:default", a_job("Echo", 2**70, [], {}, jid="abc", strange={"a": []}))
    queue = Queue(access=access)
    (job,) = queue

    assert queue.move(job, "low")
    assert not queue.move(job, "low")
    assert places(raw, "abc") == ["queue:low"]
    moved = Queue("low", access=access).page(2, 1)[0]
    assert moved.fields == {**job.fields, "queue": "low"}
    assert raw.sismember("queues", "low")


def test_a_whole_queue_moves_behind_another_in_its_order_and_what_is_no_job_stays(
    raw: Raw, access: Access
):
    wire.push(raw, "Echo", "first", queue="low")
    odd = [*ODD.values(), b"[1]"]
    raw.lpush("queue:default", *odd)
    for number in range(1300):
        raw.lpush("queue:default", a_job("Echo", number, 2**70, [], {}, strange={"a": []}))
    reports: list[Tally] = []

    tally = Queue(access=access).move_all("low", progress=reports.append)

    assert (tally.done, tally.refused, tally.seen) == (1300, len(odd), 1300 + len(odd))
    assert "no other queue can run it" in tally.reason
    assert reports[-1] == tally
    assert list(reversed(raw.lrange("queue:default", 0, -1))) == odd
    first, *moved = Queue("low", access=access)
    assert first.args == ["first"]
    assert [job.args for job in moved] == [[number, 2**70, [], {}] for number in range(1300)]
    assert {(job.queue, job["queue"], job["strange"]["a"] == []) for job in moved} == {
        ("low", "low", True)
    }
    assert raw.smembers("queues") == {b"low"}


def test_jobs_that_match_move_and_no_others(raw: Raw, access: Access):
    for number in range(1300):
        wire.push(raw, "Sweep" if number % 3 else "Echo", number)

    tally = Queue(access=access).move_all("low", Filter(class_name="Sweep"))

    assert (tally.matched, tally.done, tally.seen) == (866, 866, 1300)
    stayed, moved = Queue(access=access), Queue("low", access=access)
    assert [job.args[0] for job in stayed] == list(range(0, 1300, 3))
    assert [job.args[0] for job in moved] == [n for n in range(1300) if n % 3]


def test_a_queue_moves_while_workers_take_and_clients_push_and_nothing_is_lost_or_doubled(
    raw: Raw, access: Access
):
    for number in range(3000):
        wire.push(raw, "Echo", number)
    taken: list[bytes] = []
    pushed = threading.Event()

    def work() -> None:
        for number in range(600):
            job = raw.rpop("queue:default")
            taken.extend([] if job is None else [job])
            wire.push(raw, "Echo", "late", number)
        pushed.set()

    worker = threading.Thread(target=work)
    worker.start()
    moved = Queue(access=access).move_all("low").done
    worker.join()

    assert pushed.is_set()
    assert raw.llen("queue:low") == moved
    there = taken + raw.lrange("queue:default", 0, -1) + raw.lrange("queue:low", 0, -1)
    assert len(there) == len(set(jids_of(there))) == 3600


def test_a_move_that_is_ended_in_its_midst_has_moved_each_job_whole(raw: Raw, access: Access):
    for number in range(1200):
        wire.push(raw, "Echo", number)

    def end(tally: Tally) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Queue(access=access).move_all("low", progress=end)

    stay, moved = raw.lrange("queue:default", 0, -1), raw.lrange("queue:low", 0, -1)
    assert len(moved) == 500
    assert len(set(jids_of(stay + moved))) == len(stay) + len(moved) == 1200
    assert Queue(access=access).move_all("low").done == 700
    assert [job.args[0] for job in Queue("low", access=access)] == list(range(1200))


@pytest.mark.parametrize("key", ["queue:low", "queues"])
def test_a_move_that_a_key_of_another_type_refuses_moves_nothing(
    raw: Raw, access: Access, key: str
):
    jid = wire.push(raw, "Echo")
    raw.delete(key)
    raw.set(key, "no list")

    with pytest.raises(RedisRejected, match="WRONGTYPE"):
        Queue(access=access).move_all("low")
    assert jids_of(raw.lrange("queue:default", 0, -1)) == [jid]


def test_a_queue_is_not_moved_to_itself(raw: Raw, access: Access):
    wire.push(raw, "Echo")

    with pytest.raises(CannotAct, match="its jobs are there already"):
        Queue(access=access).move_all("default")


@pytest.mark.parametrize("name", ["", "mail box", "é"])
def test_a_job_is_not_moved_where_no_queue_can_be(raw: Raw, access: Access, name: str):
    wire.push(raw, "Echo")
    queue = Queue(access=access)

    with pytest.raises(CannotAct, match="a queue name holds letters"):
        queue.move(next(iter(queue)), name)
    with pytest.raises(CannotAct, match="a queue name holds letters"):
        queue.move_all(name)
    assert queue.size == 1


def test_a_job_that_waits_is_killed_and_the_death_handlers_hear_of_it(raw: Raw, access: Access):
    heard: list[tuple[str, str]] = []
    access.hooks.death_handlers.append(lambda job, error: heard.append((job["jid"], str(error))))
    jid = wire.push(raw, "Echo")
    (job,) = Queue(access=access)

    assert job.kill()
    assert not job.kill()
    assert places(raw, jid) == ["dead"]
    assert heard == [(jid, "Echo was killed by an operator")]


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_is_no_job_can_be_seen_deleted_and_killed(raw: Raw, access: Access, odd: bytes):
    raw.rpush("queue:default", a_job(), odd, odd)
    queue = Queue(access=access)

    job = queue.page(1, 1)[0]
    assert (job.raw, queue.latency_s) == (odd, 0.0)
    assert queue.find(job.key) == job
    with pytest.raises(CannotAct, match="delete it or kill it"):
        queue.move(job, "low")
    assert job.delete()
    assert job.kill()
    assert not job.delete()
    assert queue.size == 1
    assert raw.zrange("dead", 0, -1) == [odd]


def test_a_filter_deletes_what_is_no_job_only_by_its_text(raw: Raw, access: Access):
    raw.rpush("queue:default", b"garbage 1", a_job(), b"garbage 2")
    queue = Queue(access=access)

    assert queue.delete(Filter(class_name="garbage")) == 0
    assert queue.delete(Filter(text="garbage")) == 2
    assert queue.size == 1


def test_two_who_delete_one_job_are_told_apart(raw: Raw, access: Access):
    wire.push(raw, "Echo")
    (job,) = Queue(access=access)
    told: list[bool] = []
    threads = [threading.Thread(target=lambda: told.append(job.delete())) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(told) == 2)

    assert sorted(told) == [False, True]
