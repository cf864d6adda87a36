"""Fake mode: the kept jobs, by class and by queue, and running them."""

from datetime import timedelta

import pytest

import jobd
from jobd import Job, JobdError, UnknownJob, testing
from jobd.app import App
from tests.testing.conftest import NOW_S
from tests.testing.jobs import (
    RAN,
    ChainLetterJob,
    DailyLetterJob,
    LetterJob,
    LostLetterJob,
    PostcardJob,
    PostJob,
    weigh,
)


@pytest.fixture(autouse=True)
def _fake(jobd_fake: testing.Queues) -> None:
    """Every test of this file is in fake mode."""


def args_of(payloads: list[jobd.Payload]) -> list[object]:
    return [payload["args"] for payload in payloads]


# Looking


def test_a_push_is_kept_as_redis_would_have_it(frozen: list[int]) -> None:
    jid = LetterJob.perform_async("Ada", [1, {"deep": None}])
    assert LetterJob.jobs == [
        {
            "class": "LetterJob",
            "args": ["Ada", [1, {"deep": None}]],
            "jid": jid,
            "queue": "post",
            "retry": True,
            "created_at": NOW_S * 1000,
            "enqueued_at": NOW_S * 1000,
        }
    ]


def test_a_scheduled_job_has_its_time_and_is_not_enqueued_yet(frozen: list[int]) -> None:
    LetterJob.perform_in(60, "Ada")
    LetterJob.perform_at(NOW_S - 5, "Bob")
    scheduled, due = LetterJob.jobs
    assert scheduled["at"] == NOW_S + 60
    assert "enqueued_at" not in scheduled
    assert "at" not in due


def test_what_a_test_does_to_a_payload_is_not_kept() -> None:
    PostcardJob.perform_async("Ada")
    PostcardJob.jobs[0]["args"].append("spoilt")
    PostcardJob.jobs.clear()
    assert args_of(PostcardJob.jobs) == [["Ada"]]


def test_each_class_and_function_has_its_own_jobs() -> None:
    LetterJob.perform_async("Ada")
    weigh.perform_async(20)
    PostcardJob.perform_async("Bob")
    assert args_of(LetterJob.jobs) == [["Ada"]]
    assert args_of(LetterJob().jobs) == [["Ada"]]
    assert args_of(weigh.jobs) == [[20]]
    assert args_of(weigh.job_class.jobs) == [[20]]
    assert args_of(PostJob.jobs) == [["Ada"], ["Bob"]]
    assert args_of(Job.jobs) == [["Ada"], [20], ["Bob"]]


def test_queues_are_looked_up_by_name(jobd_fake: testing.Queues) -> None:
    assert dict(testing.queues) == {}
    LetterJob.perform_async("Ada")
    LetterJob.set(queue="express").perform_in(60, "Bob")
    assert args_of(testing.queues["post"]) == [["Ada"]]
    assert args_of(jobd_fake["express"]) == [["Bob"]]
    assert testing.queues["empty"] == []
    assert list(testing.queues) == ["post", "express"]
    assert len(testing.queues) == 2
    assert "post" in testing.queues
    assert "empty" not in testing.queues
    assert "Ada" in repr(testing.queues)


def test_jobs_of_other_programs_are_kept_too() -> None:
    jobd.push({"class": "HardJob", "args": [1], "queue": "ruby"})
    assert args_of(testing.queues["ruby"]) == [[1]]
    assert PostJob.jobs == []
    with pytest.raises(UnknownJob, match="HardJob"):
        testing.drain()


def test_default_options_count(app: App) -> None:
    app.default_job_options["backtrace"] = 3
    PostcardJob.perform_async("Ada")
    assert PostcardJob.jobs[0]["backtrace"] == 3


# Running


def test_drain_runs_the_jobs_of_a_class_and_no_others() -> None:
    jid = LetterJob.perform_async("Ada", [1])
    PostcardJob.perform_async("Bob")
    assert LetterJob.drain() == 1
    (ran,) = RAN
    assert ran == ("Ada", [1], jid, "post")
    assert LetterJob.jobs == []
    assert len(PostcardJob.jobs) == 1
    assert LetterJob.drain() == 0


def test_drain_runs_what_is_pushed_meanwhile() -> None:
    ChainLetterJob.perform_async(3)
    assert ChainLetterJob.drain() == 4
    assert RAN == [3, 2, 1, 0]


def test_drain_of_all_runs_every_class_in_the_order_of_a_server() -> None:
    PostcardJob.perform_in(120, "late")
    PostcardJob.perform_in(60, "soon")
    weigh.perform_async(1)
    ChainLetterJob.perform_async(1)
    assert testing.drain() == 5
    assert RAN == [(1, "g"), 1, 0, "soon", "late"]


def test_functions_are_drained_too() -> None:
    weigh.perform_async(grams=5, unit="kg")
    weigh.perform_async(6)
    weigh.perform_one()
    assert RAN == [(5, "kg")]
    assert weigh.drain() == 1


def test_drain_until_a_time_leaves_what_is_later(frozen: list[int]) -> None:
    DailyLetterJob.perform_async()
    assert DailyLetterJob.drain(until=0) == 1
    assert DailyLetterJob.drain(until=86_399) == 0
    frozen[0] += 86_400
    assert testing.drain(until=0) == 1
    assert [payload["at"] for payload in DailyLetterJob.jobs] == [NOW_S + 2 * 86_400]
    PostcardJob.perform_in(60, "Ada")
    assert testing.drain(until=timedelta(minutes=1)) == 1


def test_a_drain_without_end_is_ended() -> None:
    DailyLetterJob.perform_async()
    with pytest.raises(JobdError, match=r"still DailyLetterJob: .* needs drain\(until=0\)"):
        testing.drain()


def test_a_scheduled_job_runs_with_the_payload_that_a_server_sees(
    app: App, frozen: list[int]
) -> None:
    seen: list[jobd.Payload] = []
    app.server_middleware.add(lambda job, payload, proceed: seen.append(payload))
    PostcardJob.perform_in(60, "Ada")
    frozen[0] += 60
    PostcardJob.drain()
    assert "at" not in seen[0]
    assert seen[0]["enqueued_at"] == (NOW_S + 60) * 1000
    assert RAN == []


def test_an_error_reaches_the_test_and_the_jobs_after_it_are_still_there() -> None:
    LostLetterJob.perform_bulk([["Ada"], ["Bob"]])
    with pytest.raises(LookupError, match="Ada"):
        testing.drain()
    assert args_of(LostLetterJob.jobs) == [["Bob"]]
    assert RAN == ["Ada"]


def test_perform_one_runs_the_first() -> None:
    PostcardJob.perform_async("Ada")
    PostcardJob.perform_async("Bob")
    PostcardJob.perform_one()
    assert RAN == ["Ada"]
    assert args_of(PostcardJob.jobs) == [["Bob"]]


def test_perform_one_of_none_raises() -> None:
    PostcardJob.perform_async("Ada")
    with pytest.raises(testing.EmptyQueueError, match="no weigh is enqueued"):
        weigh.perform_one()


def test_a_kept_job_can_be_cancelled() -> None:
    jids = [PostcardJob.perform_async("Ada"), weigh.perform_async(5)]
    PostcardJob.perform_in(60, "Bob")
    assert [Job.cancel(jid) for jid in jids if jid] == [True, True]
    assert not Job.cancel("nowhere")
    assert args_of(PostcardJob.jobs) == [["Bob"]]
    assert weigh.jobs == []


def test_clear_forgets_the_jobs_of_a_class_or_all() -> None:
    PostcardJob.perform_async("Ada")
    weigh.perform_async(1)
    PostcardJob.clear()
    assert [payload["class"] for payload in Job.jobs] == ["weigh"]
    weigh.perform_async(2)
    testing.clear()
    assert Job.jobs == []
    assert testing.drain() == 0


def test_what_is_no_job_is_refused() -> None:
    with pytest.raises(TypeError, match="<class 'int'> is no job"):
        testing.assert_enqueued(int)  # type: ignore[arg-type]
