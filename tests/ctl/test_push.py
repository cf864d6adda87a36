"""A job pushed by hand."""

import pytest

from tests.ctl.conftest import Captured, Say
from tests.support import wire
from tests.support.servers import Raw


def test_push_queues_a_job_by_name_and_prints_its_jid(say: Say, raw: Raw, capsys: Captured) -> None:
    assert say("push", "MoodSenderJob", '["a@b.c", {"mood": "happy"}]', "--queue", "mailers") == 0
    jid = capsys.readouterr().out.strip()
    (job,) = wire.queued(raw, "mailers")
    assert (job["jid"], job["class"]) == (jid, "MoodSenderJob")
    assert job["args"] == ["a@b.c", {"mood": "happy"}]
    assert raw.smembers("queues") == {b"mailers"}


def test_push_without_arguments_pushes_none_to_default(say: Say, raw: Raw) -> None:
    assert say("push", "Sweep") == 0
    assert [job["args"] for job in wire.queued(raw)] == [[]]


def test_push_in_and_at_schedule(say: Say, raw: Raw) -> None:
    before = wire.now_ms() / 1000
    assert say("push", "Sweep", "--in", "90") == 0
    assert say("push", "Sweep", "--at", "2099-12-24T18:00+02:00") == 0
    assert say("push", "Sweep", "--at", "4102444800.5") == 0
    scores = [score for _, score in raw.zrange("schedule", 0, -1, withscores=True)]
    assert before + 90 <= scores[0] <= wire.now_ms() / 1000 + 90
    assert scores[1:] == [4101811200.0, 4102444800.5]


def test_push_keeps_big_integers(say: Say, raw: Raw) -> None:
    assert say("push", "Count", "[123456789012345678]") == 0
    assert wire.queued(raw)[0]["args"] == [123456789012345678]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (['["a", ]'], "at character"),
        (['{"a": 1}'], "must be an array, one element for each argument: '[{\"a\": 1}]'"),
        (["[NaN]"], "NaN, which is not JSON"),
        (["--at", "tomorrow"], "--at tomorrow: no time"),
        (["--at", "2099-12-24T18:00"], "has no time zone"),
        (["--at", "5", "--in", "5"], "give one of them"),
        (["--in", "-5"], "-5"),
        (["--queue", "mail box"], "mail box"),
        (["--quue", "low"], "--queue"),
    ],
)
def test_a_wrong_push_ends_with_64_and_pushes_nothing(
    say: Say, raw: Raw, capsys: Captured, words: list[str], complaint: str
) -> None:
    assert say("push", "Sweep", *words) == 64
    assert complaint in capsys.readouterr().err
    assert raw.keys("*") == []
