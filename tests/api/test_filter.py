"""Which jobs a filter means, and that the server's glance never passes over one of them."""

import fnmatch
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobd.api import Access, Filter, JobRecord, RetrySet, SortedEntry
from tests.api.parts import STRANGE, a_failed_job, a_job
from tests.support.servers import Raw

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MAIL = {
    "class": "Sidekiq::ActiveJob::Wrapper",
    "wrapped": "ActionMailer::MailDeliveryJob",
    "args": [{"arguments": ["UserMailer", "welcome", "deliver_now", {"args": [7]}]}],
}


def an_entry(**fields: Any) -> SortedEntry:
    return SortedEntry(a_failed_job("Billing::Charge", **fields), NOON.timestamp(), "retry")


@pytest.mark.parametrize(
    ("conditions", "is_meant"),
    [
        ({}, True),
        ({"class_name": "Billing::Charge"}, True),
        ({"class_name": "Charge"}, False),
        ({"class_name": "Billing::*"}, True),
        ({"class_name": "*Charg?"}, True),
        ({"class_name": "billing::*"}, False),
        ({"jid": "j1"}, True),
        ({"jid": "j"}, False),
        ({"queue": "default"}, True),
        ({"queue": "low"}, False),
        ({"tag": "urgent"}, True),
        ({"tag": "urg"}, False),
        ({"error": "ValueError"}, True),
        ({"error": "ValueError: no such"}, True),
        ({"error": "KeyError"}, False),
        ({"text": "né 7"}, True),
        ({"text": "such user"}, True),
        ({"text": "nowhere"}, False),
        ({"before": NOON + timedelta(seconds=1)}, True),
        ({"before": NOON}, False),
        ({"after": NOON}, True),
        ({"after": NOON + timedelta(seconds=1)}, False),
        ({"class_name": "Billing::Charge", "queue": "low"}, False),
        ({"class_name": "Billing::Charge", "error": "no such user"}, True),
    ],
)
def test_a_filter_means_what_fits_all_its_conditions(conditions: dict[str, Any], is_meant: bool):
    wanted = Filter(**conditions)
    entry = an_entry(jid="j1", tags=["urgent"], queue="default", args=["né 7"])

    assert wanted.matches(entry) is is_meant


@pytest.mark.parametrize("ensure_ascii", [True, False], ids=["escaped", "UTF-8"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["compact", "spaced"])
@pytest.mark.parametrize(
    ("payload", "conditions"),
    [
        ({"class": "Größe::Job"}, {"class_name": "Größe::Job"}),
        ({"class": "A::B/C"}, {"class_name": "A::B/C"}),
        ({"class": "Echo", "args": ['a/b \\ "c"']}, {"text": 'a/b \\ "c"'}),
        ({"class": "Echo", "args": ["é", [1.0]]}, {"text": "é"}),
        ({"class": "Echo", "args": [[1, 2], {"key": "value"}]}, {"text": '{"key": "value"}'}),
        ({"class": "Echo", "error_class": "E", "error_message": "m: n"}, {"error": "E: m: n"}),
        ({"class": "Echo", "tags": ["<b>"]}, {"tag": "<b>"}),
        ({"class": "Echo", "jid": "0123456789"}, {"jid": "0123456789"}),
        ({"class": "Echo", "display_class": "Shown"}, {"class_name": "Shown"}),
        (MAIL, {"class_name": "UserMailer#welcome"}),
        (MAIL, {"class_name": "UserMailer#*"}),
        ({"class": "Echo"}, {"class_name": "*"}),
    ],
)
def test_the_pattern_never_passes_over_a_job_that_is_meant(
    payload: dict[str, Any], conditions: dict[str, Any], separators: Any, ensure_ascii: bool
):
    text = json.dumps(
        {"args": [], **payload}, ensure_ascii=ensure_ascii, separators=separators
    ).replace("/", "\\/")
    wanted = Filter(**conditions)

    assert wanted.matches(JobRecord(text.encode()))
    assert wanted.pattern is None or fnmatch.fnmatchcase(text, wanted.pattern)


def test_the_pattern_is_the_longest_word_that_must_stand_there():
    assert Filter(class_name="Echo", error="ValueError").pattern == "*ValueError*"
    assert Filter(class_name="Billing::*").pattern == "*Billing::*"
    assert Filter(text="12", queue="low").pattern is None
    assert Filter().pattern is None


def test_letters_that_a_glob_knows_are_meant_as_they_are():
    entry = JobRecord(a_job("Echo", "[a-z]*?", error_class="E[1]"))

    assert Filter(text="[a-z]*?").matches(entry)
    assert not Filter(text="[a-z]**").matches(entry)
    assert not Filter(class_name="[E]cho*").matches(entry)


@pytest.mark.parametrize("fields", STRANGE.values(), ids=STRANGE)
def test_strange_fields_match_or_do_not_but_never_raise(fields: dict[str, Any]):
    record = JobRecord(json.dumps({"class": "Echo", "args": [1]} | fields).encode())
    conditions = ("class_name", "jid", "queue", "tag", "error", "text")

    assert not any(Filter(**{name: "zzz"}).matches(record) for name in conditions)
    assert not Filter(before=datetime.min.replace(tzinfo=UTC)).matches(record)


def test_a_naive_time_is_refused():
    with pytest.raises(ValueError, match="has no time zone"):
        Filter(before=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


@pytest.mark.redis
def test_the_server_sorts_out_what_is_not_meant(raw: Raw, access: Access):
    for number in range(50):
        raw.zadd("retry", {a_failed_job("Echo", number): 1, a_failed_job("Sweep", number): 1})
    raw.zadd("retry", {a_job("Sidekiq::ActiveJob::Wrapper", {}, wrapped="Echo"): 1})
    raw.zadd("retry", {a_job("Other", "Echo"): 1})

    found = list(RetrySet(access=access).scan(Filter(class_name="Echo")))

    assert len(found) == 51
    assert {entry.display_class for entry in found} == {"Echo"}
