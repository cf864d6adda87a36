"""The sorted sets, entry by entry."""

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from jobd.api import Access, Audit, DeadSet, JobSet, RetrySet, ScheduledSet, SortedEntry, set_of
from jobd.api.walk import at_score, through_set
from jobd.errors import CannotAct, InvalidArguments, InvalidJob, RedisRejected
from tests.api.parts import ODD, a_failed_job, a_job, fill, jids_of, places
from tests.support import wire
from tests.support.servers import Raw

pytestmark = pytest.mark.redis


def the_only(jobs: JobSet) -> SortedEntry:
    (entry,) = jobs
    return entry


def test_scheduled_and_retries_come_in_the_order_in_which_they_are_due(raw: Raw, access: Access):
    for name in ("schedule", "retry"):
        jids = fill(raw, name, 250)
        jobs = set_of(name, access=access)

        assert (jobs.size, len(jobs)) == (250, 250)
        assert [entry.jid for entry in jobs] == jids
        assert [entry.jid for entry in jobs.page(2, 100)] == jids[100:200]


def test_the_dead_come_newest_first(raw: Raw, access: Access):
    jids = fill(raw, "dead", 250)

    assert [entry.jid for entry in DeadSet(access=access)] == jids[::-1]
    assert [entry.jid for entry in DeadSet(access=access).page(1, 2)] == jids[:-3:-1]


def test_an_empty_set_has_nothing_and_is_true(access: Access):
    for kind in (ScheduledSet, RetrySet, DeadSet):
        jobs = kind(access=access)
        assert jobs
        assert (list(jobs), jobs.page(1, 9), list(jobs.scan("*")), jobs.size) == ([], [], [], 0)
        assert jobs.find("abc") is None
        assert jobs.clear() == 0


def test_an_entry_is_found_by_score_range_jid_and_id(raw: Raw, access: Access):
    jids = fill(raw, "retry", 300)
    raw.zadd("retry", {a_job(jid="twin"): 7, b"odd": 1.25})
    jobs = RetrySet(access=access)

    assert [entry.jid for entry in jobs.fetch(7)] == [jids[6], "twin"]
    assert [entry.jid for entry in jobs.fetch(7.0, "twin")] == ["twin"]
    assert [entry.jid for entry in jobs.fetch((299, 400))] == jids[298:]
    moments = (datetime.fromtimestamp(1, UTC), datetime.fromtimestamp(2, UTC))
    assert [entry.jid for entry in jobs.fetch(moments)] == [jids[0], "", jids[1]]
    for wanted in (jids[200], "twin"):
        found = jobs.find(wanted)
        assert found is not None
        assert jobs.get(found.id) == found
    odd = jobs.page(2, 1)[0]
    assert odd.raw == b"odd"
    assert jobs.find(odd.key) == jobs.get(odd.id) == odd


def test_an_entry_is_found_among_many_of_one_moment(raw: Raw, access: Access):
    crowd = {a_job("Echo", n, jid=f"j{n:05}"): 7 for n in range(3500)}
    raw.zadd("retry", {**crowd, a_job(jid="low"): 6, a_job(jid="high"): 8})
    jobs = RetrySet(access=access)

    ids = ["7|j00000", "7|j01234", "7|j03499", "6|low", "8|high", "7|low", "7|nobody"]
    assert [entry.id for entry in jobs.get_each(ids)] == ids[:5]
    assert jobs.get("7|j02999") == jobs.find("j02999")


def test_an_entry_is_found_while_those_before_it_leave(raw: Raw, access: Access):
    crowd = [a_job("Echo", n, jid=f"j{n:05}") for n in range(3500)]
    raw.zadd("retry", dict.fromkeys(crowd, 7))
    pages = at_score(access.redis, "retry", 7.0)
    seen = {each.raw for each in next(pages)}
    raw.zrem("retry", *seen)

    for page in pages:
        seen |= {each.raw for each in page}
    assert seen == set(crowd)


@pytest.mark.parametrize("jid", ["", "x" * 201, "a\nb", "a\u202eb", "a\u0000"])
def test_a_jid_that_cannot_be_typed_has_a_digest_instead(raw: Raw, access: Access, jid: str):
    raw.zadd("retry", {a_job(jid=jid): 7, a_job(jid="other"): 7})
    jobs = RetrySet(access=access)

    (odd,) = (entry for entry in jobs if entry.jid != "other")
    assert odd.key.startswith("sha1:")
    assert jobs.get(odd.id) == jobs.find(odd.key) == odd


@pytest.mark.parametrize("wanted", ["", "x", "7|", "7|nobody", "nan|twin", "|", "7-twin"])
def test_an_id_that_is_none_finds_nothing(raw: Raw, access: Access, wanted: str):
    raw.zadd("retry", {a_job(jid="twin"): 7})

    assert RetrySet(access=access).get(wanted) is None


def test_a_naive_time_is_refused(access: Access):
    with pytest.raises(ValueError, match="has no time zone"):
        RetrySet(access=access).fetch(datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


def test_a_scan_looks_into_the_json(raw: Raw, access: Access):
    fill(raw, "retry", 200)
    raw.zadd("retry", {a_job("Sweep", "needle [1]"): 1})
    jobs = RetrySet(access=access)

    assert [entry.class_name for entry in jobs.scan("Sweep")] == ["Sweep"]
    assert [entry.class_name for entry in jobs.scan("*nee?le*")] == ["Sweep"]
    assert list(jobs.scan("needle*")) == []
    assert len(list(jobs.scan("Echo"))) == 200


def test_the_oddest_scores_are_given(raw: Raw, access: Access):
    scores = [float("-inf"), -1.5, 0.0, 1e-300, 1795296945.447977, 1e300, float("inf")]
    for number, score in enumerate(scores):
        raw.zadd("retry", {a_job(jid=f"j{number}"): score})
    jobs = RetrySet(access=access)

    assert [entry.score for entry in jobs] == scores
    assert [jobs.get(entry.id) for entry in jobs] == list(jobs)


# Acts on one entry


def test_a_retry_is_queued_with_one_try_less(raw: Raw, access: Access):
    raw.zadd("retry", {a_failed_job("Echo", 2**70, [], {}, queue="low", odd={"a": []}): 9e9})
    entry = the_only(RetrySet(access=access))
    before_ms = wire.now_ms() - 1000

    assert entry.retry()
    assert not entry.retry()
    (queued,) = wire.queued(raw, "low")
    enqueued_at = queued.pop("enqueued_at")
    assert type(enqueued_at) is int
    assert before_ms < enqueued_at < before_ms + 60_000
    assert queued == {**entry.fields, "retry_count": 1}
    assert raw.smembers("queues") == {b"low"}
    assert not raw.exists("retry")


def test_a_first_retry_by_hand_is_counted_minus_one(raw: Raw, access: Access):
    raw.zadd("retry", {a_failed_job(retry_count=0): 9e9})

    the_only(RetrySet(access=access)).retry()

    assert wire.queued(raw)[0]["retry_count"] == -1


def test_a_job_that_never_failed_gets_no_count(raw: Raw, access: Access):
    raw.zadd("schedule", {a_job(): 9e9})

    the_only(ScheduledSet(access=access)).retry()

    assert "retry_count" not in wire.queued(raw)[0]


def test_adding_to_the_queue_leaves_the_count_alone(raw: Raw, access: Access):
    raw.zadd("schedule", {a_failed_job(): 9e9})
    entry = the_only(ScheduledSet(access=access))

    assert entry.add_to_queue()
    assert not entry.add_to_queue()
    assert wire.queued(raw)[0]["retry_count"] == 2


def test_wire_7_writes_float_seconds(raw: Raw, access: Access):
    raw.zadd("retry", {a_failed_job(): 9e9})
    seven = Access(redis=access.redis, wire=7)

    the_only(RetrySet(access=seven)).retry()

    (queued,) = wire.queued(raw)
    assert type(queued["enqueued_at"]) is float
    assert abs(queued["enqueued_at"] - wire.now_ms() / 1000) < 60


def test_what_another_client_left_out_is_filled_in_as_sidekiq_does(raw: Raw, access: Access):
    raw.zadd("schedule", {b'{"class":"Echo","args":[],"jid":"j"}': 1})

    the_only(ScheduledSet(access=access)).add_to_queue()

    (queued,) = wire.queued(raw)
    assert (queued["queue"], queued["retry"]) == ("default", True)


def test_a_job_is_retried_with_other_arguments(raw: Raw, access: Access):
    raw.zadd("dead", {a_failed_job("Echo", "wrong"): 9e9})
    entry = the_only(DeadSet(access=access))

    with pytest.raises(InvalidArguments, match=r"args\[0\]"):
        entry.retry(args=[object()])
    assert entry.retry(args=["right", 1])
    assert wire.queued(raw)[0]["args"] == ["right", 1]


@pytest.mark.parametrize("name", ["schedule", "retry"])
def test_a_job_is_killed_now_by_the_servers_clock(raw: Raw, access: Access, name: str):
    heard: list[tuple[str, str, str]] = []
    access.hooks.death_handlers.append(
        lambda job, error: heard.append((job["jid"], type(error).__name__, str(error)))
    )
    raw.zadd(name, {a_failed_job(jid="abc"): 9e9})
    seconds, _ = raw.time()
    entry = the_only(set_of(name, access=access))

    assert entry.kill()
    assert not entry.kill()
    ((grave, score),) = raw.zrange("dead", 0, -1, withscores=True)
    assert grave == entry.raw
    assert 0 <= score - seconds < 60
    assert not raw.exists(name)
    assert heard == [("abc", "JobKilled", "Echo was killed by an operator")]


def test_a_death_handler_that_raises_spoils_nothing(
    raw: Raw, access: Access, caplog: pytest.LogCaptureFixture
):
    heard: list[str] = []
    access.hooks.death_handlers += [lambda job, error: 1 / 0, lambda job, _: heard.append("yes")]
    raw.zadd("retry", {a_failed_job(): 9e9})

    assert the_only(RetrySet(access=access)).kill()
    assert heard == ["yes"]
    assert "was ignored" in caplog.text


def test_a_job_is_killed_in_silence_if_asked(raw: Raw, access: Access):
    heard: list[object] = []
    access.hooks.death_handlers.append(lambda job, error: heard.append(job))
    raw.zadd("retry", {a_failed_job(): 9e9})

    assert the_only(RetrySet(access=access)).kill(notify=False)
    assert heard == []


def test_a_kill_trims_the_dead_by_number_and_age(raw: Raw, access: Access):
    seconds, _ = raw.time()
    raw.zadd("dead", {f"old {number}": seconds - 9_000 + number for number in range(5)})
    raw.zadd("dead", {f"new {number}": seconds - 100 + number for number in range(20)})
    raw.zadd("retry", {a_failed_job(jid="abc"): 9e9})
    limited = Access(redis=access.redis, dead_limits=(10, 5_000))

    the_only(RetrySet(access=limited)).kill()

    left = raw.zrange("dead", 0, -1)
    assert len(left) == 10
    assert jids_of(left[-1:]) == ["abc"]
    assert left[:-1] == [b"new %d" % number for number in range(11, 20)]


def test_the_default_keeps_10000_dead(raw: Raw, access: Access):
    raw.zadd("dead", {f"d{number}": 1.7e9 + number for number in range(10_050)})
    seconds, _ = raw.time()
    raw.zadd("dead", {f"d{number}": seconds - 50_000 + number for number in range(10_050)})
    raw.zadd("retry", {a_failed_job(): 9e9})

    the_only(RetrySet(access=Access(redis=access.redis))).kill()

    assert raw.zcard("dead") == 10_000


def test_the_dead_cannot_be_killed_or_be_due(raw: Raw, access: Access):
    raw.zadd("dead", {a_failed_job(): 5})
    entry = the_only(DeadSet(access=access))

    with pytest.raises(CannotAct, match="dead already"):
        entry.kill()
    with pytest.raises(CannotAct, match="never due"):
        entry.reschedule(5)
    assert raw.zrange("dead", 0, -1, withscores=True) == [(entry.raw, 5.0)]


@pytest.mark.parametrize(
    ("when", "due_in_s"),
    [(timedelta(hours=1), 3600), (3600, 3600), (timedelta(hours=-1), 0)],
    ids=["a timedelta", "seconds", "the past"],
)
def test_a_job_is_rescheduled(raw: Raw, access: Access, when: float, due_in_s: int):
    raw.zadd("schedule", {a_job(): 5})
    entry = the_only(ScheduledSet(access=access))
    seconds, _ = raw.time()

    assert entry.reschedule(when)
    assert 0 <= raw.zscore("schedule", entry.raw) - seconds - due_in_s < 60
    assert raw.zcard("schedule") == 1


def test_a_job_is_rescheduled_to_a_moment_exactly(raw: Raw, access: Access):
    raw.zadd("retry", {a_job(): 5})
    entry = the_only(RetrySet(access=access))
    moment = datetime(2099, 12, 24, 18, 0, 0, 123_000, tzinfo=UTC)

    assert entry.reschedule(moment)
    assert the_only(RetrySet(access=access)).at == moment
    with pytest.raises(InvalidJob, match="no time zone"):
        entry.reschedule(moment.replace(tzinfo=None))


def test_a_job_that_is_gone_is_not_rescheduled(raw: Raw, access: Access):
    raw.zadd("retry", {a_job(): 5})
    entry = the_only(RetrySet(access=access))
    assert entry.delete()

    assert not entry.reschedule(60)
    assert not entry.delete()
    assert not raw.exists("retry")


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_is_no_job_is_deleted_or_killed_and_not_retried(raw: Raw, access: Access, odd: bytes):
    raw.zadd("retry", {odd: 5})
    entry = the_only(RetrySet(access=access))

    for act in (entry.retry, entry.add_to_queue):
        with pytest.raises(CannotAct, match=r"this is no job \(.+\): delete it or kill it"):
            act()
    assert entry.reschedule(60)
    assert entry.kill()
    dead = the_only(DeadSet(access=access))
    assert dead.raw == odd
    assert dead.delete()


def test_a_job_whose_queue_is_no_name_is_not_retried(raw: Raw, access: Access):
    raw.zadd("retry", {a_failed_job(queue=5): 5})
    entry = the_only(RetrySet(access=access))

    with pytest.raises(CannotAct, match="its queue is 5, not a name"):
        entry.retry()
    assert entry.kill()


def test_a_job_stays_where_its_queue_is_no_list(raw: Raw, access: Access):
    raw.set("queue:low", "text")
    raw.zadd("retry", {a_failed_job(queue="low", jid="abc"): 5})
    entry = the_only(RetrySet(access=access))

    with pytest.raises(CannotAct, match="stays in retry: WRONGTYPE"):
        entry.retry()
    assert raw.get("queue:low") == b"text"
    assert raw.zscore("retry", entry.raw) == 5.0


def test_a_job_stays_where_the_dead_are_no_set(raw: Raw, access: Access):
    raw.set("dead", "text")
    raw.zadd("retry", {a_failed_job(): 5})
    entry = the_only(RetrySet(access=access))

    with pytest.raises(RedisRejected, match="WRONGTYPE"):
        entry.kill()
    assert raw.zscore("retry", entry.raw) == 5.0


def test_a_full_server_still_lets_jobs_be_retried_killed_rescheduled_and_deleted(
    raw: Raw, access: Access
):
    fill(raw, "retry", 4)
    raw.rpush("queue:default", a_job(jid="waits"), a_job(jid="waits too"))
    raw.config_set("maxmemory", "1mb")
    retries = RetrySet(access=access)

    assert retries.page(1, 1)[0].retry()
    assert retries.page(1, 1)[0].kill()
    assert retries.page(1, 1)[0].reschedule(60)
    assert retries.page(1, 1)[0].delete()
    Audit(access=access).record("ada", "delete")
    raw.config_set("maxmemory", "0")
    assert [entry.who for entry in Audit(access=access).entries()] == ["ada"]
    assert [len(raw.zrange(name, 0, -1)) for name in ("retry", "dead")] == [1, 1]
    assert raw.llen("queue:default") == 3


# Two at once

ACTS: dict[str, Callable[[SortedEntry], bool]] = {
    "retry": lambda entry: entry.retry(),
    "add_to_queue": lambda entry: entry.add_to_queue(),
    "kill": lambda entry: entry.kill(),
    "delete": lambda entry: entry.delete(),
}


@pytest.mark.parametrize(
    ("first", "second"),
    [("retry", "retry"), ("retry", "kill"), ("retry", "delete"), ("kill", "add_to_queue")],
)
def test_of_two_who_act_on_one_entry_at_once_one_wins(
    raw: Raw, access: Access, first: str, second: str
):
    jids = fill(raw, "retry", 100)
    told: dict[str, list[bool]] = {"first": [], "second": []}

    def act(name: str, what: Callable[[SortedEntry], bool]) -> None:
        for entry in RetrySet(access=access).page(1, 100):
            start.wait()
            told[name].append(what(entry))
            start.wait()

    pages = [
        threading.Thread(target=act, args=("first", ACTS[first])),
        threading.Thread(target=act, args=("second", ACTS[second])),
    ]
    start = threading.Barrier(2)
    for thread in pages:
        thread.start()
    for thread in pages:
        thread.join()

    outcome = {"retry": ["queue:default"], "add_to_queue": ["queue:default"], "kill": ["dead"]}
    for jid, one, other in zip(jids, told["first"], told["second"], strict=True):
        assert one != other
        assert places(raw, jid) == outcome.get(first if one else second, [])


# While others write


def test_every_entry_can_be_deleted_while_the_set_is_gone_through(raw: Raw, access: Access):
    for name in ("retry", "dead"):
        fill(raw, name, 350)
        jobs = set_of(name, access=access)
        assert [entry.delete() for entry in jobs] == [True] * 350
        assert jobs.size == 0


@pytest.mark.parametrize("is_reverse", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("seed", range(8))
def test_what_is_there_throughout_is_given(raw: Raw, access: Access, seed: int, is_reverse: bool):
    rng = random.Random(seed)
    stays = {b"stays %d" % number: rng.randrange(30) for number in range(150)}
    noise = {b"noise %d" % number: rng.randrange(30) for number in range(300)}
    raw.zadd("retry", {**stays, **noise})
    seen: list[bytes] = []
    for number, page in enumerate(
        through_set(access.redis, "retry", is_reverse=is_reverse, size=10)
    ):
        seen += [member.raw for member in page]
        raw.zadd("retry", {b"new %d" % number: rng.randrange(30)})
        for _ in range(rng.randrange(20)):
            raw.zrem("retry", b"noise %d" % rng.randrange(300))
        if rng.random() < 0.3:
            raw.zrem("retry", *(each.raw for each in page if not each.raw.startswith(b"stays")), "")

    assert set(stays) <= set(seen)


def test_whole_pages_of_one_score_may_vanish_meanwhile(raw: Raw, access: Access):
    raw.zadd("retry", {b"%04d" % number: 5 for number in range(1000)})
    seen: list[bytes] = []
    for page in through_set(access.redis, "retry", is_reverse=False, size=50):
        seen += [each.raw for each in page]
        if 100 <= len(seen) < 800:
            raw.zrem("retry", *(each.raw for each in page))

    assert set(seen) == {b"%04d" % number for number in range(1000)}


def test_entries_that_are_put_back_behind_do_not_keep_it_going(raw: Raw, access: Access):
    fill(raw, "retry", 150)
    seen = 0
    for entry in RetrySet(access=access):
        seen += 1
        assert entry.reschedule(entry.score + 1_000_000_000)

    assert 150 <= seen <= 500


def test_a_retry_that_fails_again_at_once_is_not_seen_again(raw: Raw, access: Access):
    jids = fill(raw, "retry", 150)
    seen: list[str] = []
    for entry in RetrySet(access=access):
        assert entry.retry()
        seen.append(entry.jid)
        again = json.loads(raw.rpop("queue:default"))
        raw.zadd("retry", {wire.encode(again): wire.now_ms() / 1000 + 15})

    assert seen == jids
