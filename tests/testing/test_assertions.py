"""assert_enqueued and refute_enqueued: what they find, and how they say what they do not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobd import push, testing
from jobd.app import App
from jobd.testing import assert_enqueued, refute_enqueued
from tests.testing.conftest import NOW_S
from tests.testing.jobs import LetterJob, PostcardJob, PostJob, weigh

MOMENT = datetime.fromtimestamp(NOW_S + 3600, UTC)

pytestmark = pytest.mark.usefixtures("jobd_fake")


def refused(*wanted: Any, **properties: Any) -> list[str]:
    """The lines that assert_enqueued says."""
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(*wanted, **properties)
    return str(caught.value).splitlines()


# What is found


def test_a_job_is_found_by_class_function_name_or_base() -> None:
    jid = LetterJob.perform_async("Ada")
    weigh.perform_async(20)
    push({"class": "HardJob", "args": []})
    assert [payload["jid"] for payload in assert_enqueued(LetterJob)] == [jid]
    for wanted in (weigh, weigh.job_class, "weigh", "HardJob", PostJob):
        assert len(assert_enqueued(wanted)) == 1
    assert len(assert_enqueued()) == 3
    refute_enqueued(PostcardJob)
    refute_enqueued("SoftJob")


def test_only_what_is_given_is_compared() -> None:
    LetterJob.perform_async("Ada", [1])
    assert_enqueued(args=["Ada", [1]])
    assert_enqueued(LetterJob, args=("Ada", [1]), queue="post", count=1)
    assert_enqueued(queue="post")
    refute_enqueued(LetterJob, args=["Ada"])
    refute_enqueued(LetterJob, queue="default")


def test_arguments_may_be_compared_loosely() -> None:
    weigh.perform_async(20, "kg")
    assert_enqueued(weigh, args=[pytest.approx(20.0000001), "kg"])


def test_a_scheduled_job_is_found_by_its_time(frozen: list[int]) -> None:
    LetterJob.perform_at(MOMENT, "Ada")
    for at in (MOMENT, 3600, timedelta(hours=1), NOW_S + 3600, 3601):
        assert_enqueued(LetterJob, at=at)
    assert_enqueued(LetterJob, at=3000, within=600)
    assert_enqueued(LetterJob, at=3000, within=timedelta(minutes=10))
    assert_enqueued(LetterJob, within=3600)
    refute_enqueued(LetterJob, at=3000)
    refute_enqueued(LetterJob, at=0)
    refute_enqueued(LetterJob, within=3599)
    frozen[0] += 7200
    for past in (MOMENT, NOW_S + 3600):
        assert_enqueued(LetterJob, at=past)
    assert_enqueued(LetterJob, within=0)
    refute_enqueued(LetterJob, at=MOMENT - timedelta(seconds=2))


def test_a_job_in_its_queue_is_due_at_once(frozen: list[int]) -> None:
    LetterJob.perform_async("Ada")
    frozen[0] += 60
    for at in (0, timedelta(0), NOW_S):
        assert_enqueued(LetterJob, at=at)
    assert_enqueued(LetterJob, within=0)
    refute_enqueued(LetterJob, at=60)


def test_a_count_is_exact() -> None:
    PostcardJob.perform_bulk([["Ada"], ["Ada"], ["Bob"]])
    assert len(assert_enqueued(PostcardJob, args=["Ada"], count=2)) == 2
    assert assert_enqueued(weigh, count=0) == []


# What is said


def test_the_closest_job_is_shown_with_what_differs(frozen: list[int]) -> None:
    weigh.perform_async(1)
    LetterJob.perform_async("Bob", [1])
    LetterJob.set(queue="express").perform_async("Ada", [2])
    assert refused(LetterJob, args=["Ada", [1]], queue="express") == [
        "LetterJob with args ['Ada', [1]] in queue \"express\" is not enqueued",
        "the closest of 3 that are: LetterJob ['Ada', [2]] in queue \"express\"",
        "  differs in",
        "    args[1]: wanted [1], is [2]",
    ]


def test_every_difference_is_told(frozen: list[int]) -> None:
    in_queue = "is in its queue since 2030-03-17T17:46:40.000+00:00, not scheduled"
    LetterJob.perform_async("Bob", [1])
    assert refused(LetterJob, args=["Ada"], queue="express", at=3600)[3:] == [
        '    queue: wanted "express", is "post"',
        "    args[0]: wanted 'Ada', is 'Bob'",
        "    args[1]: wanted none, is [1]",
        f"    at: wanted 2030-03-17T18:46:40.000+00:00 ± 1 s, {in_queue}",
    ]


def test_where_no_such_job_is_enqueued_those_that_are_are_listed(frozen: list[int]) -> None:
    LetterJob.perform_async("Bob", [1])
    assert refused(PostcardJob, args=["Bob"]) == [
        "PostcardJob with args ['Bob'] is not enqueued; 1 other job is",
        "  LetterJob ['Bob', [1]] in queue \"post\"",
    ]
    LetterJob.perform_bulk([[name] for name in "abcdef"])
    assert refused("LeterJob")[0] == "LeterJob is not enqueued; 7 other jobs are"
    assert refused("LeterJob")[-1] == "  and 2 more"


def test_a_wrong_time_is_told(frozen: list[int]) -> None:
    shown = "PostcardJob ['Ada'] in queue \"post\" at 2030-03-17T17:47:40.000+00:00"
    PostcardJob.perform_in(60, "Ada")
    assert refused(PostcardJob, within=10) == [
        "PostcardJob due by 2030-03-17T17:46:50.000+00:00 is not enqueued",
        f"the closest of 1 that are: {shown}",
        "  differs in",
        "    at: wanted by 2030-03-17T17:46:50.000+00:00, is 2030-03-17T17:47:40.000+00:00",
    ]


def test_a_missing_argument_is_told() -> None:
    LetterJob.perform_async("Ada")
    assert refused(args=["Ada", (1,)])[-1] == "    args[1]: wanted (1,), is missing"


def test_nothing_enqueued_is_said_so() -> None:
    assert refused("HardJob") == ["HardJob is not enqueued; nothing is"]
    assert refused(queue="post") == ['any job in queue "post" is not enqueued; nothing is']


def test_a_wrong_count_lists_what_is_there() -> None:
    PostcardJob.perform_bulk([[name] for name in "abcdefg"])
    assert refused(PostcardJob, count=1) == [
        "PostcardJob: wanted 1, but 7 are enqueued",
        *(f"  PostcardJob ['{name}'] in queue \"post\"" for name in "abcde"),
        "  and 2 more",
    ]
    assert refused(args=["a"], count=2)[0] == "any job with args ['a']: wanted 2, but 1 is enqueued"


def test_a_refuted_job_is_shown() -> None:
    PostcardJob.perform_async("Ada")
    with pytest.raises(AssertionError) as caught:
        refute_enqueued(PostcardJob)
    assert str(caught.value).splitlines() == [
        "PostcardJob: wanted none, but 1 is enqueued",
        "  PostcardJob ['Ada'] in queue \"post\"",
    ]


# What cannot be asked


@pytest.mark.parametrize("ask", [assert_enqueued, refute_enqueued])
def test_in_inline_mode_both_say_that_nothing_is_ever_kept(ask: Any) -> None:
    with testing.inline():
        LetterJob.perform_async("Ada")
        with pytest.raises(testing.NotTesting, match="jobs ran as they were pushed"):
            ask(LetterJob)


def test_a_text_is_no_list_of_arguments() -> None:
    with pytest.raises(TypeError, match=r"args: a list of all arguments, \['Ada'\], not 'Ada'"):
        assert_enqueued(LetterJob, args="Ada")


def test_times_of_ruby_before_8_are_read_too(app: App, frozen: list[int]) -> None:
    app.wire = 7
    LetterJob.perform_async("Ada")
    assert "since 2030-03-17T17:46:40.000+00:00" in refused(LetterJob, at=60)[-1]
