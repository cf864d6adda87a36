"""All jobs of a queue or a set deleted: asked for, or told yes."""

import os
import sys
from pathlib import Path

import pytest

from tests.ctl.conftest import Captured, Say, answer, failed, on_a_terminal
from tests.support import wire
from tests.support.servers import Raw


def test_clear_deletes_a_queue_when_told_yes(say: Say, raw: Raw, capsys: Captured) -> None:
    wire.push(raw, "Echo")
    wire.push(raw, "Echo", queue="low")
    assert say("clear", "default", "--yes") == 0
    assert capsys.readouterr().out == "1 job deleted from default\n"
    assert raw.smembers("queues") == {b"low"}
    assert (raw.llen("queue:default"), raw.llen("queue:low")) == (0, 1)


def test_clear_all_deletes_queues_and_sets_and_nothing_else(say: Say, raw: Raw) -> None:
    wire.push(raw, "Echo")
    wire.schedule(raw, 100, "Echo")
    raw.zadd("dead", {"x": 1})
    raw.set("stat:processed", 5)
    raw.lpush("jobd:private:app:1:abc:0.0.1:default", "running")
    assert say("clear", "--all", "--yes", "--json") == 0
    left = {b"jobd:private:app:1:abc:0.0.1:default", b"stat:processed", b"jobd:audit"}
    assert set(raw.keys("*")) == left


def test_what_is_cleared_and_kept_can_be_put_back(say: Say, raw: Raw, capsys: Captured) -> None:
    jids = [wire.push(raw, "Echo", number) for number in range(3)]
    failed(raw)
    assert say("clear", "default", "--keep", "--yes") == 0
    assert "3 jobs deleted from default; jobctl trash has them" in capsys.readouterr().out
    assert say("clear", "retry", "--keep", "--yes") == 0
    capsys.readouterr()
    assert (raw.llen("queue:default"), raw.zcard("retry")) == (0, 0)

    assert say("trash", "--json") == 0
    kept = {each["place"]: each for each in answer(capsys)}
    assert {place: (each["queue"], each["size"]) for place, each in kept.items()} == {
        "queue": ("default", 3),
        "retry": ("", 1),
    }
    assert say("trash") == 0
    assert "queue default  3" in capsys.readouterr().out

    later = wire.push(raw, "Echo", "later")
    assert say("trash", "--put-back", kept["queue"]["id"]) == 0
    assert capsys.readouterr().out == "3 jobs put back into default\n"
    assert [job["jid"] for job in wire.queued(raw)] == [*jids, later]
    assert say("trash", "--put-back", kept["retry"]["id"], "--json") == 0
    assert answer(capsys) == {"put_back": 1, "to": "retry"}
    assert raw.zcard("retry") == 1


def test_what_the_trash_does_not_have_is_not_put_back(say: Say, raw: Raw, capsys: Captured) -> None:
    assert say("trash") == 0
    assert capsys.readouterr().out == "nothing was cleared and kept within the last day\n"
    assert say("trash", "--put-back", "0123") == 1
    assert "the trash has no 0123" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["nope", "--yes"], 1, "there is no queue nope"),
        ([], 64, "name one queue or set"),
        (["dead", "--all"], 64, "name one queue or set"),
        (["default"], 64, "give --yes"),
    ],
)
def test_clear_in_doubt_deletes_nothing(
    say: Say,
    raw: Raw,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    status: int,
    complaint: str,
) -> None:
    wire.push(raw, "Echo")
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        assert say("clear", *words) == status
    assert complaint in capsys.readouterr().err
    assert raw.llen("queue:default") == 1


@pytest.mark.parametrize(("said", "status", "left"), [("y\n", 0, 0), ("n\n", 1, 1)])
def test_clear_asks_on_a_terminal(
    redis_url: str, raw: Raw, tmp_path: Path, said: str, status: int, left: int
) -> None:
    wire.push(raw, "Echo")
    assert on_a_terminal(redis_url, tmp_path, "clear", "default", said=said)[0] == status
    assert raw.llen("queue:default") == left
