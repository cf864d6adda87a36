"""What a record says of a payload, of any Sidekiq, and of what is no payload."""

import base64
import json
import re
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest

from jobd.api import JobRecord, SortedEntry
from jobd.api.wrapping import MASK
from tests.api.parts import ODD, STRANGE, a_job

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOON_S = NOON.timestamp()


def a_record(name: str = "Echo", *args: Any, **fields: Any) -> JobRecord:
    return JobRecord(a_job(name, *args, **fields))


def active_job(job_class: str, *arguments: Any, **fields: Any) -> JobRecord:
    inner = {"job_class": job_class, "arguments": list(arguments)}
    return a_record("Sidekiq::ActiveJob::Wrapper", inner, **fields)


def packed(frames: Any) -> str:
    return base64.b64encode(zlib.compress(json.dumps(frames).encode())).decode()


def test_a_record_tells_the_fields_of_a_payload():
    record = a_record("Echo", 1, "a", jid="abc", bid="B1", tags=["x", "y"], retry_count=0)

    assert (record.class_name, record.args, record.jid) == ("Echo", [1, "a"], "abc")
    assert (record.bid, record.queue, record.tags) == ("B1", "default", ("x", "y"))
    assert (record.retry_count, record.key, record["retry"]) == (0, "abc", True)
    assert record.get("nothing", 5) == 5
    assert record["nothing"] is None


@pytest.mark.parametrize("value", [int(NOON_S * 1000), NOON_S], ids=["Sidekiq 8", "Sidekiq 7"])
def test_times_are_read_by_their_type_whoever_wrote_them(value: float):
    names = ("created_at", "enqueued_at", "failed_at", "retried_at")
    record = a_record(**dict.fromkeys(names, value))

    assert [getattr(record, name) for name in names] == [NOON] * 4
    assert record.latency_s(int(NOON_S * 1000) + 1500) == 1.5


def test_the_latency_of_a_job_that_was_never_queued_counts_from_when_it_was_made():
    record = a_record(created_at=int(NOON_S * 1000))

    assert record.latency_s(int(NOON_S * 1000) + 2000) == 2.0


@pytest.mark.parametrize(
    "stored",
    [
        packed(["a.py:1", "b.py:2"]),
        re.sub("(.{10})", r"\1\n", packed(["a.py:1", "b.py:2"])),
        ["a.py:1", "b.py:2"],
    ],
    ids=["packed", "in lines, as Sidekiq 6 has it", "a list"],
)
def test_a_backtrace_is_unpacked(stored: Any):
    assert a_record(error_backtrace=stored).error_backtrace == ["a.py:1", "b.py:2"]


@pytest.mark.parametrize(
    "stored",
    ["!!!", "eJw=", packed("text"), packed(["x" * 2_000_000]), 17, None],
    ids=["no Base64", "half of a stream", "no list", "a bomb", "a number", "nothing"],
)
def test_what_is_no_backtrace_has_no_frames(stored: Any):
    assert a_record(error_backtrace=stored).error_backtrace == []


def test_the_class_and_arguments_of_active_job_are_those_inside():
    record = active_job("MyJob", 1, {"a": 2, "_aj_symbol_keys": ["a"]}, wrapped="MyJob")

    assert (record.class_name, record.display_class) == ("Sidekiq::ActiveJob::Wrapper", "MyJob")
    assert record.display_args == [1, {"a": 2}]


def test_objects_inside_active_job_are_shown_by_what_they_stand_for():
    user = {"_aj_globalid": "gid://app/User/1"}
    moment = {"_aj_serialized": "ActiveJob::Serializers::TimeSerializer", "value": "2026-11-21"}

    assert active_job("MyJob", [user], moment).display_args == [["gid://app/User/1"], "2026-11-21"]


@pytest.mark.parametrize(
    ("job_class", "arguments", "shown"),
    [
        ("ActionMailer::DeliveryJob", [7], [7]),
        ("ActionMailer::MailDeliveryJob", [{"args": [7], "params": {"a": 1}}], [{"a": 1}, [7]]),
    ],
)
def test_mails_of_rails_are_named_by_mailer_and_method(
    job_class: str, arguments: list[Any], shown: list[Any]
):
    record = active_job(job_class, "UserMailer", "welcome", "deliver_now", *arguments)

    assert record.display_class == "UserMailer#welcome"
    assert record.display_args == shown


def test_a_display_class_wins_and_an_encrypted_argument_is_masked():
    record = a_record("Echo", 1, "c2VjcmV0", display_class="Shown", encrypt=True)

    assert (record.display_class, record.display_args) == ("Shown", [1, MASK])
    assert record.args == [1, "c2VjcmV0"]


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD)
def test_what_is_no_job_says_nothing_and_raises_nothing(raw: bytes):
    entry = SortedEntry(raw, 1.5, "dead")

    assert entry.is_malformed
    assert entry.fields == {}
    assert (entry.class_name, entry.display_class, entry.args, entry.jid) == ("", "", [], "")
    assert entry.key.startswith("sha1:")
    assert entry.id == f"1.5|{entry.key}"
    assert json.loads(json.dumps(entry.as_dict()))["raw"] == entry.text
    assert "not a job" in repr(entry)


@pytest.mark.parametrize("fields", STRANGE.values(), ids=STRANGE)
def test_strange_fields_are_shown_as_far_as_they_go(fields: dict[str, Any]):
    record = JobRecord(json.dumps({"class": "Echo", "args": [1]} | fields).encode())
    names = [name for name, value in vars(JobRecord).items() if isinstance(value, property)]

    shown = [getattr(record, name) for name in names if name not in {"access", "_holder"}]

    assert len(shown) > 15
    assert not record.is_malformed
    assert record.latency_s(10**15) >= 0
    assert json.dumps(record.as_dict())


def test_a_score_beyond_every_calendar_has_no_time():
    assert SortedEntry(b"x", float("inf"), "retry").at is None
