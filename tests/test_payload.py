"""The wire format: what is built, refused, written and read."""

import datetime as dt
import math
import re
from pathlib import Path
from typing import Any

import pytest

from jobd.errors import InvalidJob, MalformedPayload
from jobd.payload import (
    build,
    check_options,
    decode,
    encode,
    new_jid,
    resolve_at,
    timestamp,
    to_ms,
)

NOW_MS = 1_800_000_000_123
WIRE = Path(__file__).parent / "wire"


class Plain:
    pass


def an_item(**fields: Any) -> dict[str, Any]:
    return {"class": "Echo", "args": [1], **fields}


def built(wire: Any = 8, **fields: Any) -> dict[str, Any]:
    return build(an_item(**fields), now_ms=NOW_MS, wire=wire)


# Golden payloads: bytes of Sidekiq's own, and ours beside them


@pytest.mark.parametrize("path", sorted(WIRE.glob("*.json")), ids=lambda path: path.stem)
def test_a_golden_payload_is_read_and_written_byte_for_byte(path: Path) -> None:
    raw = path.read_bytes().rstrip(b"\n")
    assert encode(decode(raw)) == raw


def test_a_push_in_wire_8_is_the_golden_one() -> None:
    payload = build(
        {
            "retry": 5,
            "queue": "mailers",
            "tags": ["mood"],
            "class": "MoodSenderJob",
            "args": ["a@b.c", "glücklich"],
            "jid": "b4a577edbccf1d805744efa9",
        },
        now_ms=NOW_MS,
        wire=8,
    )
    payload["enqueued_at"] = timestamp(NOW_MS, 8)
    assert encode(payload) == (WIRE / "push_wire_8.json").read_bytes().rstrip(b"\n")


def test_a_push_in_wire_7_has_float_seconds() -> None:
    payload = built(wire=7, jid="b4a577edbccf1d805744efa9")
    payload["enqueued_at"] = timestamp(1_800_000_000_000, 7)
    assert encode(payload) == (WIRE / "push_wire_7.json").read_bytes().rstrip(b"\n")


# build


def test_retry_and_queue_are_always_written() -> None:
    assert built(jid="x") == {
        "retry": True,
        "queue": "default",
        "class": "Echo",
        "args": [1],
        "jid": "x",
        "created_at": NOW_MS,
    }


def test_a_jid_is_24_hex_digits_and_new_each_time() -> None:
    jids = {new_jid() for _ in range(100)}
    assert len(jids) == 100
    assert all(re.fullmatch(r"[0-9a-f]{24}", jid) for jid in jids)


def test_a_given_jid_and_a_given_created_at_are_kept() -> None:
    payload = built(jid="mine", created_at=17)
    assert (payload["jid"], payload["created_at"]) == ("mine", 17)


def test_at_and_enqueued_at_never_stay_in_a_payload() -> None:
    assert not {"at", "enqueued_at"} & built(at=5, enqueued_at=5).keys()


def test_unknown_keys_are_kept_as_they_are() -> None:
    assert built(locale="de", cattr={"user": 7})["cattr"] == {"user": 7}


def test_what_is_built_does_not_change_the_item() -> None:
    item = an_item(at=60, tags=("a",))
    build(item, now_ms=NOW_MS, wire=8)
    assert item == an_item(at=60, tags=("a",))


@pytest.mark.parametrize(
    ("field", "given", "written"),
    [
        ("retry_for", dt.timedelta(minutes=2), 120),
        ("retry_for", 90.5, 91),
        ("tags", ("a", "b"), ["a", "b"]),
        ("retry", 0, 0),
        ("retry", False, False),
        ("backtrace", 10, 10),
        ("dead", False, False),
        ("time_limit", dt.timedelta(seconds=30), 30.0),
        ("queue", "a:b-c_d.E9", "a:b-c_d.E9"),
    ],
)
def test_a_field_is_brought_into_the_form_of_the_wire(field: str, given: Any, written: Any) -> None:
    value = built(**{field: given})[field]
    assert (value, type(value)) == (written, type(written))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("class", None, "the name of a job"),
        ("class", "", "the name of a job"),
        ("class", Plain, '"Plain"; or call its perform_async'),
        ("args", (1,), "a list of the positional arguments, not (1,) (tuple)"),
        ("args", "ab", "a list of the positional arguments"),
        ("args", None, "a list"),
        ("jid", "", "a string that is not empty"),
        ("jid", 5, "not 5 (int)"),
        ("queue", "", "at least one"),
        ("queue", None, "a queue name"),
        ("queue", "mail box", "'mail box'"),
        ("queue", "mail\n", "a queue name"),
        ("retry_queue", "a/b", "retry_queue: a queue name"),
        ("retry", -1, "a number of retries"),
        ("retry", None, "not None"),
        ("retry", "5", "not '5' (str)"),
        ("retry", 2.0, "not 2.0 (float)"),
        ("retry_for", 1_000_000_001, "at most 1,000,000,000"),
        ("retry_for", math.inf, "at most"),
        ("retry_for", math.nan, "above 0"),
        ("retry_for", 0, "above 0"),
        ("retry_for", True, "above 0"),
        ("backtrace", "yes", "a number of lines"),
        ("dead", 0, "True or False"),
        ("tags", "mood", "a list of strings"),
        ("tags", [1], "a list of strings"),
        ("time_limit", 0, "above 0"),
        ("time_limit", math.nan, "above 0"),
        ("created_at", "2026-01-01", "integer milliseconds"),
    ],
)
def test_a_wrong_field_is_refused_with_its_name_and_the_way_out(
    field: str, value: Any, says: str
) -> None:
    with pytest.raises(InvalidJob) as caught:
        built(**{field: value})
    assert says in str(caught.value)
    assert field in str(caught.value)


@pytest.mark.parametrize("missing", ["class", "args"])
def test_an_item_without_class_or_args_is_refused(missing: str) -> None:
    item = an_item()
    del item[missing]
    with pytest.raises(InvalidJob, match=f'a job needs "{missing}"'):
        build(item, now_ms=NOW_MS, wire=8)


def test_an_item_that_is_no_dict_is_refused() -> None:
    with pytest.raises(InvalidJob, match="a job is a dict"):
        build("Echo", now_ms=NOW_MS, wire=8)  # type: ignore[arg-type]


def test_keys_of_an_item_are_strings() -> None:
    with pytest.raises(InvalidJob, match="the keys of a job are strings, not 7"):
        build({"class": "Echo", "args": [], 7: 1}, now_ms=NOW_MS, wire=8)  # type: ignore[dict-item]


# options


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("queues", "did you mean queue"),
        ("que", "did you mean queue"),
        ("tag", "did you mean tags"),
        ("retry_que", "did you mean retry_queue"),
        ("waits", "did you mean wait"),
        ("class", "name a job with name="),
        ("args", "perform_async"),
        ("at", "wait_until"),
        ("created_at", "written at the push"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(key: str, says: str) -> None:
    with pytest.raises(InvalidJob, match=says):
        check_options({key: 1})


@pytest.mark.parametrize(
    "key",
    [
        *("bid", "cattr", "display_class", "encrypt", "expires_in", "locale", "log_level"),
        *("profile", "retry_count", "unique_for", "unique_until", "wrapped"),
    ],
)
def test_a_key_of_the_wild_is_carried(key: str) -> None:
    assert check_options({key: 1}) == {key: 1}


# encode and decode


def test_json_is_compact_and_not_escaped() -> None:
    assert encode({"class": "Ü", "args": [1, {"a": None}]}) == (
        '{"class":"Ü","args":[1,{"a":null}]}'.encode()
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{bad json",
        b"null",
        b"[1]",
        b'"class"',
        b"{}",
        b'{"class":"A"}',
        b'{"class":"","args":[]}',
        b'{"class":7,"args":[]}',
        b'{"class":"A","args":{}}',
        b'{"class":"A","args":null}',
        b'{"class":"A","args":[NaN]}',
        b'{"class":"A","args":[Infinity]}',
        b'{"class":"A","args":[1e400]}',
        b'{"class":"A","args":["\xff"]}',
        b'{"class":"A","args":["\\ud800"]}',
        b'{"class":"A","args":[]}}',
        b'\xef\xbb\xbf{"class":"A","args":[]}',
        b'{"class":"A","args":[' + b"1" * 5000 + b"]}",
        b'{"class":"A","args":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"class":"A","args":' + b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"class":"A","args":[' + b'{"a":' * 99 + b"1" + b"}" * 99 + b"]}",
    ],
    ids=lambda raw: raw[:30],
)
def test_what_is_no_job_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedPayload):
        decode(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"class":"A","args":[]}',
        b' {"args":[],"class":"A","jid":null}\n',
        b'{"class":"A","args":' + b"[" * 99 + b"]" * 99 + b"}",
        b'{"class":"A","args":["' + b"[" * 5000 + b'"]}',
        b'{"class":"A","args":[' + b"[]," * 5000 + b"[]]}",
    ],
    ids=lambda raw: raw[:30],
)
def test_every_object_with_class_and_args_is_a_job(raw: bytes) -> None:
    assert decode(raw)["class"] == "A"


# time


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (1_800_000_000_123, 1_800_000_000_123),
        (1_800_000_000.123, 1_800_000_000_123),
        (0, 0),
        (None, None),
        (True, None),
        ("2026-01-01", None),
        (math.nan, None),
        (math.inf, None),
        (1e306, None),
    ],
)
def test_the_type_of_a_number_tells_seconds_from_milliseconds(value: Any, ms: int | None) -> None:
    assert to_ms(value) == ms


def test_whole_seconds_are_still_a_float_in_wire_7() -> None:
    assert encode({"t": timestamp(1_800_000_000_000, 7)}) == b'{"t":1800000000.0}'


@pytest.mark.parametrize(
    ("when", "at_s"),
    [
        (60, NOW_MS / 1000 + 60),
        (0.5, NOW_MS / 1000 + 0.5),
        (999_999_999, NOW_MS / 1000 + 999_999_999),
        (0, None),
        (1_000_000_000, None),
        (1_900_000_000, 1_900_000_000),
        (1_900_000_000.25, 1_900_000_000.25),
        (dt.timedelta(minutes=1), NOW_MS / 1000 + 60),
        (dt.timedelta(0), None),
        (dt.timedelta(days=20_000), NOW_MS / 1000 + 20_000 * 86_400),
        (dt.datetime(2030, 1, 1, tzinfo=dt.UTC), 1_893_456_000),
        (dt.datetime(2030, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), 1_893_452_400),
        (dt.datetime(1999, 1, 1, tzinfo=dt.UTC), None),
        (NOW_MS / 1000, None),
        (-1, None),
        (dt.timedelta(seconds=-1), None),
    ],
)
def test_a_time_is_a_delay_or_a_moment_and_none_once_it_is_due(
    when: Any, at_s: float | None
) -> None:
    assert resolve_at(when, NOW_MS) == at_s


@pytest.mark.parametrize(
    ("when", "says"),
    [
        (dt.datetime(2030, 1, 1), "no time zone"),  # noqa: DTZ001 - the point of the test
        (math.nan, "delayed by nan"),
        (math.inf, "delayed by inf"),
        (NOW_MS, "seconds, not milliseconds"),
        (10**400, "seconds, not milliseconds"),
        (1e300, "seconds, not milliseconds"),
        (True, "True .bool. is no time"),
        (None, "None .NoneType. is no time"),
        ("60", "pass seconds, a timedelta or an aware datetime"),
        (dt.date(2030, 1, 1), "is no time"),
    ],
)
def test_what_is_no_usable_time_is_refused(when: Any, says: str) -> None:
    with pytest.raises(InvalidJob, match=says):
        resolve_at(when, NOW_MS)
