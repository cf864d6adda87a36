"""What becomes of a job that raised, as tables: nothing here touches Redis or a clock."""

import base64
import itertools
import json
import random
import subprocess
import zlib
from typing import Any

import pytest

from jobd.payload import Wire, decode, encode
from jobd.worker.retry import (
    LONGEST_DELAY_S,
    LONGEST_MESSAGE,
    MOST_RECOVERIES,
    Again,
    Bury,
    Decision,
    Discard,
    backoff_s,
    decide,
    message_of,
    name_of,
    pack_backtrace,
    record_failure,
    recoveries,
)
from tests.support import leash

NOW_MS = 1_800_000_000_000
UNPACK = """
require "base64"; require "json"; require "zlib"
puts JSON.parse(Zlib::Inflate.inflate(Base64.strict_decode64(ARGV[0])))
"""


class Least(random.Random):
    """No jitter."""

    def randrange(self, *_args: Any, **_kwargs: Any) -> int:
        return 0


def a_payload(**fields: Any) -> dict[str, Any]:
    return {"class": "Echo", "args": [], "jid": "b4a5", "queue": "default", "retry": True} | fields


def fail(error: BaseException | None = None, *, wire: Wire = 8, **fields: Any) -> dict[str, Any]:
    """A payload after a failure."""
    return record_failure(
        a_payload(**fields), error or ValueError("no"), queue="low", now_ms=NOW_MS, wire=wire
    )


def decided(advice: object = None, *, max_retries: int = 25, **fields: Any) -> Decision:
    """What is decided of a payload as ``record_failure`` left it."""
    failed = a_payload(**{"retry_count": 0, "failed_at": NOW_MS} | fields)
    return decide(
        failed,
        now_ms=NOW_MS,
        max_retries=max_retries,
        advise=lambda count: advice,  # type: ignore[arg-type,return-value]  # whatever an app says
        rng=Least(),
    )


def raised(error: BaseException, depth: int = 1) -> BaseException:
    """The error with a traceback so many frames deep."""

    def dig(levels: int) -> None:
        if levels == 1:
            raise error
        dig(levels - 1)

    try:
        dig(depth)
    except BaseException as caught:  # noqa: BLE001 - any of them
        return caught
    raise AssertionError


# When


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [
        (0, 15), (1, 16), (2, 31), (3, 96), (4, 271), (5, 640), (6, 1311), (7, 2416), (8, 4111),
        (9, 6576), (24, 331_791),
    ],
)  # fmt: skip
def test_the_curve_is_sidekiqs(attempt: int, seconds: int) -> None:
    assert backoff_s(attempt, Least()) == seconds


def test_twenty_five_retries_take_twenty_days() -> None:
    assert sum(backoff_s(attempt, Least()) for attempt in range(25)) == 1_763_395


@pytest.mark.parametrize("attempt", [0, 1, 9])
def test_the_jitter_is_whole_seconds_below_ten_for_each_try(attempt: int) -> None:
    rng = random.Random(1)
    seen = {backoff_s(attempt, rng) - attempt**4 - 15 for _ in range(2_000)}
    assert seen == set(range(10 * (attempt + 1)))


# Whether


@pytest.mark.parametrize(
    ("retry", "count", "expected"),
    [
        (True, 24, Again(24**4 + 15)),
        (True, 25, Bury()),
        (3, 2, Again(31)),
        (3, 3, Bury()),
        (0, 0, Bury()),
        (-1, 0, Bury()),
        (False, 0, Discard()),
        (None, 0, Again(15)),
        ("yes", 25, Bury()),
        ("yes", 24, Again(24**4 + 15)),
        ([], 25, Bury()),
        (1.5, 1, Again(16)),
        (10**30, 10**29, Again(LONGEST_DELAY_S)),
    ],
)
def test_retry_says_how_often(retry: object, count: int, expected: Decision) -> None:
    assert decided(retry=retry, retry_count=count) == expected


def test_without_retry_it_is_true() -> None:
    failed = a_payload(retry_count=25, failed_at=NOW_MS)
    del failed["retry"]
    decision = decide(failed, now_ms=NOW_MS, max_retries=25, advise=lambda count: None, rng=Least())
    assert decision == Bury()


def test_max_retries_is_for_jobs_that_name_no_number() -> None:
    assert decided(retry_count=2, max_retries=2) == Bury()
    assert decided(retry_count=2, max_retries=2, retry=3) == Again(31)


@pytest.mark.parametrize(
    ("count", "failed_at", "expected"),
    [
        (1, NOW_MS - 60_000, Again(16)),
        (1, NOW_MS - 60_001, Bury()),
        (1, NOW_MS / 1000 - 60, Again(16)),
        (1, NOW_MS / 1000 - 60.002, Bury()),
        (0, NOW_MS - 999_999, Again(15)),
        (30, NOW_MS, Again(30**4 + 15)),
    ],
    ids=["within", "over", "wire 7 within", "wire 7 over", "never the first", "not counted"],
)
def test_retry_for_replaces_the_count(count: int, failed_at: float, expected: Decision) -> None:
    assert decided(retry=3, retry_for=60, retry_count=count, failed_at=failed_at) == expected


@pytest.mark.parametrize("window", ["soon", [], {}, 0, -5, None])
def test_a_retry_for_that_is_no_duration_leaves_the_count(window: object) -> None:
    assert decided(retry=3, retry_for=window, retry_count=3) == Bury()
    assert decided(retry=3, retry_for=window, retry_count=2) == Again(31)


def test_a_retry_for_without_a_first_failure_leaves_the_count() -> None:
    assert decided(retry=3, retry_for=60, retry_count=3, failed_at="?") == Bury()


# What the job itself says


@pytest.mark.parametrize(
    ("advice", "expected"),
    [
        (90, Again(90)),
        (0.5, Again(0.5)),
        ("discard", Discard()),
        ("kill", Bury()),
        (None, Again(15)),
        (0, Again(15)),
        (-3, Again(15)),
        ("soon", Again(15)),
        ([], Again(15)),
        (float("nan"), Again(15)),
        (float("inf"), Again(LONGEST_DELAY_S)),
        (10**400, Again(LONGEST_DELAY_S)),
    ],
)
def test_retry_in_may_give_seconds_or_an_end(advice: object, expected: Decision) -> None:
    assert decided(advice) == expected


def test_jitter_is_added_to_the_seconds_of_retry_in() -> None:
    rng = random.Random(1)
    failed = a_payload(retry_count=1)
    decisions = [
        decide(failed, now_ms=NOW_MS, max_retries=25, advise=lambda count: 100, rng=rng)
        for _ in range(500)
    ]
    assert {decision.delay_s for decision in decisions if isinstance(decision, Again)} == set(
        range(100, 120)
    )


@pytest.mark.parametrize("fields", [{"retry": False}, {"retry": 0}, {"retry_count": 25}])
def test_retry_in_is_not_asked_when_there_is_no_further_try(fields: dict[str, Any]) -> None:
    asked: list[int] = []
    failed = a_payload(**{"retry_count": 0} | fields)
    decide(failed, now_ms=NOW_MS, max_retries=25, advise=asked.append, rng=Least())
    assert asked == []


# What is written


@pytest.mark.parametrize(("wire", "expected"), [(8, NOW_MS), (7, NOW_MS / 1000)])
def test_the_first_failure_is_dated_and_counts_as_retry_zero(wire: Wire, expected: float) -> None:
    failed = fail(wire=wire)
    assert (failed["retry_count"], failed["failed_at"]) == (0, expected)
    assert type(failed["failed_at"]) is type(expected)
    assert "retried_at" not in failed


@pytest.mark.parametrize(("wire", "expected"), [(8, NOW_MS), (7, NOW_MS / 1000)])
def test_later_failures_count_on_and_keep_the_date_of_the_first(
    wire: Wire, expected: float
) -> None:
    failed = fail(wire=wire, retry_count=3, failed_at=5)
    assert (failed["retry_count"], failed["failed_at"]) == (4, 5)
    assert failed["retried_at"] == expected
    assert type(failed["retried_at"]) is type(expected)


def test_a_manual_retry_goes_on_from_minus_one() -> None:
    assert fail(retry_count=-1)["retry_count"] == 0


@pytest.mark.parametrize(("retry_queue", "queue"), [("slow", "slow"), (None, "low"), ("", "low")])
def test_the_retry_goes_to_the_retry_queue_or_to_where_it_ran(
    retry_queue: str | None, queue: str
) -> None:
    assert fail(retry_queue=retry_queue)["queue"] == queue


def test_further_keys_travel_on_and_the_payload_stays_as_it_was() -> None:
    payload = a_payload(cattr={"user": 7}, bid="b-1")
    failed = record_failure(payload, ValueError("no"), queue="low", now_ms=NOW_MS, wire=8)
    assert failed.items() >= {"cattr": {"user": 7}, "bid": "b-1"}.items()
    assert payload == a_payload(cattr={"user": 7}, bid="b-1")


@pytest.mark.parametrize(
    ("recovered", "expected"),
    [(None, False), (2, False), (3, True), (4, True), ("3", False), (3.0, False)],
)
def test_three_deaths_are_enough(recovered: object, expected: bool) -> None:
    assert (recoveries(a_payload(recovered=recovered)) >= MOST_RECOVERIES) is expected


# The error


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Leaving(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class NoText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value] # noqa: PLE0307 - that is the point


class Slippery(str):
    __slots__ = ()

    def __getitem__(self, index: object) -> str:
        raise RuntimeError("no item")

    def encode(self, *_args: Any, **_kwargs: Any) -> bytes:
        raise RuntimeError("no bytes")


class SlipperyText(Exception):
    def __str__(self) -> str:
        return Slippery("as told")


class OddNames(Exception):
    pass


OddNames.__module__ = ["no", "module"]  # type: ignore[assignment]
OddNames.__qualname__ = "Odd\ud800"


class Meta(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no module")


class NoModule(Exception, metaclass=Meta):
    pass


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no"), "no"),
        (ValueError(), ""),
        (KeyError("k"), "'k'"),
        (SlipperyText(), "as told"),
        (ValueError("a\ud800b"), "a?b"),
        (ValueError("é" * 20_000), "é" * LONGEST_MESSAGE),
    ],
    ids=["text", "empty", "quoted", "slippery", "lone surrogate", "long"],
)
def test_a_message_is_valid_text_of_limited_length(error: Exception, message: str) -> None:
    assert message_of(error) == message


@pytest.mark.parametrize("kind", [Silent, Leaving, NoText])
def test_a_message_that_cannot_be_made_is_told_as_such(kind: type[Exception]) -> None:
    assert "its message could not be made" in message_of(kind())


def test_fifty_megabytes_of_message_are_cut() -> None:
    message = message_of(ValueError("x" * 50_000_000))
    assert len(message) == LONGEST_MESSAGE


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ValueError, "ValueError"),
        (json.JSONDecodeError, "json.decoder.JSONDecodeError"),
        (Silent, f"{__name__}.Silent"),
        (OddNames, "Odd?"),
        (NoModule, f"{__name__}.NoModule"),
        (SystemExit, "SystemExit"),
    ],
)
def test_an_error_is_named_with_its_module(kind: type[BaseException], name: str) -> None:
    assert name_of(kind) == name


@pytest.mark.parametrize("kind", [Silent, Leaving, NoText, SlipperyText, OddNames, NoModule])
def test_whatever_was_raised_the_payload_can_be_stored(kind: type[Exception]) -> None:
    failed = fail(raised(kind()), backtrace=True)
    assert decode(encode(failed)) == failed


# The backtrace


def unpacked(packed: str) -> list[str]:
    lines: list[str] = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
    return lines


def test_a_backtrace_is_a_zipped_list_with_the_innermost_frame_first() -> None:
    packed = pack_backtrace(raised(ValueError("no"), depth=3), True)
    assert base64.b64decode(packed)[:2] == b"\x78\x9c"
    lines = unpacked(packed)
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["`dig'", "`dig'", "`dig'", "`raised'"]
    assert all(line.startswith(f"{__file__}:") for line in lines)


@pytest.mark.parametrize(
    ("backtrace", "frames"),
    [(True, 6), (2, 2), (99, 6), ("all", 6), (-1, 6), ([1], 6), (1.5, 6)],
)
def test_backtrace_says_how_many_frames_are_kept(backtrace: object, frames: int) -> None:
    failed = fail(raised(ValueError("no"), depth=5), backtrace=backtrace)
    assert len(unpacked(failed["error_backtrace"])) == frames


@pytest.mark.parametrize("backtrace", [False, 0, None, ""])
def test_without_backtrace_none_is_stored(backtrace: object) -> None:
    assert "error_backtrace" not in fail(raised(ValueError("no")), backtrace=backtrace)


def test_an_error_that_was_never_raised_has_an_empty_backtrace() -> None:
    assert unpacked(pack_backtrace(ValueError("no"), True)) == []


def test_a_deep_recursion_is_stored_and_small() -> None:
    packed = pack_backtrace(raised(RecursionError("deep"), depth=400), True)
    assert len(unpacked(packed)) == 401
    assert len(packed) < 2_000


def test_ruby_reads_a_backtrace() -> None:
    packed = pack_backtrace(raised(ValueError("no"), depth=2), True)
    ruby = leash.needs("ruby", "ruby")
    done = subprocess.run([ruby, "-e", UNPACK, packed], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines() == unpacked(packed)


def test_each_failure_replaces_what_the_last_one_wrote() -> None:
    payload = a_payload(backtrace=1)
    for count, text in zip(itertools.count(), ("one", "two"), strict=False):
        payload = record_failure(payload, ValueError(text), queue="low", now_ms=NOW_MS, wire=8)
        assert (payload["retry_count"], payload["error_message"]) == (count, text)
