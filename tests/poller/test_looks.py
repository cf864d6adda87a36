"""What a poller makes of what operators want of running jobs."""

import json
from typing import Any

import pytest

from tests.poller.conftest import IDENTITY, Station
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

ASKS = f"jobd:asks:{IDENTITY}"


def ask(raw: Raw, what: str, processor: str = "1.0.7", jid: str = "b4a5") -> None:
    raw.rpush(ASKS, json.dumps({"ask": what, "processor": processor, "jid": jid}))


def heard(station: Station) -> list[dict[str, Any]]:
    """What the master is told next."""
    del station.master.heard[:]
    station.poller._looking.due = 0.0
    station.poller._step()
    return [dict(each) for each in station.master.heard]


def shown(raw: Raw, processor: str = "1.0.7") -> Any:
    found = raw.get(f"jobd:look:{IDENTITY}:{processor}")
    return found and json.loads(found)


def stacks(station: Station, text: str) -> None:
    station.poller._services.looks.take({"slot": 1, "incarnation": 7, "text": text})


def test_a_kill_is_the_masters_to_carry_out(station: Station, raw: Raw) -> None:
    station.seat(1, 7)
    ask(raw, "kill")
    where = {"slot": 1, "incarnation": 7, "thread": 0}
    assert heard(station) == [{"type": "kill", "jid": "b4a5", **where}]
    assert not raw.exists(ASKS)


def test_a_worker_is_asked_once_for_all_who_look(station: Station, raw: Raw) -> None:
    station.seat(1, 7)
    ask(raw, "look", "1.1.7", "one")
    ask(raw, "look", "1.2.7", "two")
    assert heard(station) == [{"type": "show", "slot": 1, "incarnation": 7}]
    assert shown(raw, "1.1.7") is None
    station.lines.leave(1, 7, [b"told\n"])
    stacks(station, "in perform")
    assert heard(station) == []
    answers = [shown(raw, processor) for processor in ("1.1.7", "1.2.7")]
    assert [answer["jid"] for answer in answers] == ["one", "two"]
    assert {(answer["stacks"], answer["lines"]) for answer in answers} == {("in perform", "told\n")}
    assert 0 < raw.ttl(f"jobd:look:{IDENTITY}:1.1.7") <= 60


@pytest.mark.parametrize("text", ["in perform", ""])
def test_who_does_not_answer_whole_is_shown_as_far_as_he_does(
    station: Station, raw: Raw, text: str
) -> None:
    station.seat(1, 7)
    ask(raw, "look")
    heard(station)
    if text:
        stacks(station, text)
    heard(station)
    assert shown(raw) is None
    station.clock.advance(3.1)
    heard(station)
    assert (shown(raw)["stacks"], shown(raw)["lines"]) == (text, None)
    stacks(station, "late")
    assert heard(station) == []


def test_what_makes_no_sense_is_dropped(station: Station, raw: Raw) -> None:
    station.seat(1, 7)
    raw.rpush(ASKS, "no JSON", "[]", '{"ask": "look"}')
    ask(raw, "look", "one.two")
    ask(raw, "kill", "9.0.1")
    ask(raw, "kill", "0.0.1")
    assert heard(station) == []
    assert not raw.exists(ASKS)
