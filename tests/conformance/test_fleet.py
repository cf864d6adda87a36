"""What instances say of themselves."""

import itertools
from typing import Literal

import pytest

from jobd.fleet import HEARTBEAT_LIFE_S, Fleet
from jobd.metrics import Counts
from jobd.pulse import Counted, Pulse
from jobd.scoreboard import SlotState, State, fingerprint
from jobd.store import Store
from tests.conformance.parts import IDENTITY, KEYS, a_holder, a_payload, claim, payloads
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

WORK = KEYS.work(IDENTITY)
SIGNALS = KEYS.signals(IDENTITY)
INSTANCE = KEYS.instance(IDENTITY)
AT_S = 1_795_293_395.0  # 2026-11-21 20:36:35 UTC


_numbers = itertools.count(1)


def a_pulse(
    *,
    processed: int = 0,
    failed: int = 0,
    work: dict[str, bytes] | None = None,
    tallies: dict[str, Counts] | None = None,
    wire: Literal[7, 8] = 8,
) -> Pulse:
    return Pulse(
        work=work or {},
        process={"info": b'{"pid":1}', "busy": 1, "beat": 1.5, "quiet": "false"},
        instance={"state": "running", "pid": 1},
        counted=Counted(processed=processed, failed=failed, tallies=tallies or {}, wire=wire),
        number=f"1.{next(_numbers)}",
        at_s=AT_S,
    )


def metric_keys(raw: Raw) -> set[bytes]:
    return set(raw.keys("[hj]|*"))


def a_state(
    running: bytes = b"", queue: str = "default", done: tuple[bytes, ...] = ()
) -> SlotState:
    return SlotState(
        state=State.IDLE,
        pid=1,
        incarnation=1,
        beat=0.0,
        started=1.0,
        running=fingerprint(running),
        processed=0,
        failed=0,
        queue=queue,
        name="Echo",
        jid="",
        finished=tuple(map(fingerprint, done)),
    )


# Beating


def test_a_beat_registers_the_instance_for_a_minute(fleet: Fleet, store_raw: Raw):
    fleet.beat(IDENTITY, a_pulse(work={"1.0.1": b'{"queue":"default"}'}))

    assert store_raw.smembers("processes") == {IDENTITY.encode()}
    assert store_raw.hgetall(IDENTITY)[b"info"] == b'{"pid":1}'
    assert store_raw.hgetall(IDENTITY)[b"beat"] == b"1.5"
    assert store_raw.hgetall(WORK) == {b"1.0.1": b'{"queue":"default"}'}
    assert fleet.instance(IDENTITY).items() >= {"state": "running", "pid": "1"}.items()
    for name in (IDENTITY, WORK, INSTANCE):
        assert 0 < store_raw.ttl(name) <= HEARTBEAT_LIFE_S


def test_the_first_beat_says_that_nobody_knew_the_instance(fleet: Fleet):
    assert [fleet.beat(IDENTITY, a_pulse()).known for _ in range(3)] == [False, True, True]


def test_a_beat_replaces_the_work_of_the_last(fleet: Fleet, store_raw: Raw):
    fleet.beat(IDENTITY, a_pulse(work={"1.0.1": b"a", "2.0.1": b"b"}))
    fleet.beat(IDENTITY, a_pulse(work={"2.0.1": b"c"}))
    assert store_raw.hgetall(WORK) == {b"2.0.1": b"c"}

    fleet.beat(IDENTITY, a_pulse())
    assert not store_raw.exists(WORK)


def test_a_beat_adds_to_the_counters_in_all_and_of_the_day(fleet: Fleet, store_raw: Raw):
    fleet.beat(IDENTITY, a_pulse(processed=3, failed=1))
    fleet.beat(IDENTITY, a_pulse(processed=2))

    names = ["stat:processed", "stat:processed:2026-11-21", "stat:failed", "stat:failed:2026-11-21"]
    assert store_raw.mget(names) == [b"5", b"5", b"1", b"1"]
    assert store_raw.ttl("stat:processed") == -1
    assert store_raw.ttl("stat:processed:2026-11-21") > 150_000_000


TALLIES = {
    "Fail": Counts(executions=2, failures=2),
    "Mail::Send-1": Counts(3, 1, 345, (1, *[0] * 7, 1, *[0] * 17)),
}


def test_a_beat_adds_to_the_metrics_byte_for_byte_as_sidekiq_8(fleet: Fleet, store_raw: Raw):
    fleet.beat(IDENTITY, a_pulse(tallies=TALLIES))

    fields = {
        b"Fail|p": b"2",
        b"Fail|f": b"2",
        b"Mail::Send-1|p": b"3",
        b"Mail::Send-1|f": b"1",
        b"Mail::Send-1|ms": b"345",
    }
    assert store_raw.hgetall("j|261121|20:36") == fields
    assert store_raw.hgetall("j|261121|20:3") == fields
    histogram = store_raw.get("h|Mail::Send-1-21-20:36")
    assert histogram == b"\0\1" + b"\0\0" * 7 + b"\0\1"
    assert metric_keys(store_raw) == {
        b"j|261121|20:36",
        b"j|261121|20:3",
        b"h|Mail::Send-1-21-20:36",
    }
    assert 28_790 < store_raw.ttl("j|261121|20:36") <= 28_800
    assert 259_190 < store_raw.ttl("j|261121|20:3") <= 259_200
    assert 28_790 < store_raw.ttl("h|Mail::Send-1-21-20:36") <= 28_800


def test_with_wire_7_the_metrics_are_those_of_sidekiq_7(fleet: Fleet, store_raw: Raw):
    fleet.beat(IDENTITY, a_pulse(tallies=TALLIES, wire=7))

    assert metric_keys(store_raw) == {b"j|20261121|20:36", b"h|Mail::Send-1-21-20:36"}
    assert store_raw.hget("j|20261121|20:36", "Mail::Send-1|p") == b"3"
    assert 28_790 < store_raw.ttl("j|20261121|20:36") <= 28_800


def test_with_wire_7_running_jobs_are_also_where_sidekiq_6_looks(fleet: Fleet, store_raw: Raw):
    fleet.beat(IDENTITY, a_pulse(work={"1.0.1": b"a", "2.0.1": b"b"}, wire=7))
    fleet.beat(IDENTITY, a_pulse(work={"1.0.1": b"c"}, wire=7))

    assert store_raw.hgetall(f"{IDENTITY}:workers") == {b"1.0.1": b"c"}
    assert 0 < store_raw.ttl(f"{IDENTITY}:workers") <= 60
    fleet.beat(IDENTITY, a_pulse(wire=7))
    assert not store_raw.exists(f"{IDENTITY}:workers")


def test_metrics_add_up_and_histograms_stop_at_16_bits(fleet: Fleet, store_raw: Raw):
    many = Counts(40_000, 0, 40_000, (40_000, *[0] * 25))
    for _ in range(2):
        fleet.beat(IDENTITY, a_pulse(tallies={"Echo": many}))
    fleet.beat(IDENTITY, a_pulse(tallies={"Burst": many + many}))

    assert store_raw.hget("j|261121|20:36", "Echo|p") == b"80000"
    assert store_raw.get("h|Echo-21-20:36") == b"\xff\xff"
    assert store_raw.get("h|Burst-21-20:36") == b"\xff\xff"


def test_a_beat_that_is_sent_again_counts_once_and_brings_the_same_command(
    fleet: Fleet, store_raw: Raw
):
    store_raw.lpush(SIGNALS, "TSTP", "TERM")
    pulse = a_pulse(processed=3, failed=1, tallies=TALLIES)

    commands = [fleet.beat(IDENTITY, pulse).command for _ in range(3)]

    assert commands == ["TSTP"] * 3
    assert store_raw.mget("stat:processed", "stat:failed") == [b"3", b"1"]
    assert store_raw.hget("j|261121|20:36", "Mail::Send-1|p") == b"3"
    assert fleet.beat(IDENTITY, a_pulse()).command == "TERM"
    assert fleet.beat(IDENTITY, a_pulse()).command is None


def test_a_key_of_another_type_keeps_no_heart_from_beating(fleet: Fleet, store_raw: Raw):
    store_raw.lpush("j|261121|20:36", "not a hash")

    beat = fleet.beat(IDENTITY, a_pulse(processed=3, tallies=TALLIES))

    assert "WRONGTYPE" in beat.refused
    assert store_raw.get("stat:processed") == b"3"
    assert store_raw.hget("j|261121|20:3", "Fail|p") == b"2"
    assert fleet.beat(IDENTITY, a_pulse()).refused == ""


def test_a_beat_takes_one_command_the_oldest(fleet: Fleet, store_raw: Raw):
    store_raw.lpush(SIGNALS, "TSTP")
    store_raw.lpush(SIGNALS, "TERM")

    commands = [fleet.beat(IDENTITY, a_pulse()).command for _ in range(3)]

    assert commands == ["TSTP", "TERM", None]


def test_a_beat_tells_the_servers_time(fleet: Fleet, store_raw: Raw):
    before, after = store_raw.time(), (fleet.beat(IDENTITY, a_pulse()).now_s, store_raw.time())

    assert before[0] <= after[0] <= after[1][0] + 1


def test_an_instance_lives_as_long_as_its_heartbeat(fleet: Fleet, store_raw: Raw):
    fleet.beat(IDENTITY, a_pulse())
    assert fleet.live([IDENTITY, "other:2:x"]) == {IDENTITY: True, "other:2:x": False}

    store_raw.delete(INSTANCE)
    assert fleet.live([IDENTITY]) == {IDENTITY: False}
    assert fleet.instance(IDENTITY) == {}


@pytest.mark.parametrize("there", list(itertools.product([False, True], repeat=3)))
def test_one_command_tells_what_has_come_for_an_instance(
    fleet: Fleet, store_raw: Raw, there: tuple[bool, bool, bool]
):
    for key, is_there in zip((INSTANCE, KEYS.asks(IDENTITY), KEYS.cancelled), there, strict=True):
        if is_there:
            store_raw.set(key, "something")

    assert fleet.heard_of(IDENTITY) == there


def test_a_heartbeat_is_renewed_without_being_changed(fleet: Fleet, store_raw: Raw):
    fleet.beat(IDENTITY, a_pulse())
    store_raw.expire(IDENTITY, 5)
    store_raw.expire(INSTANCE, 5)

    fleet.renew(IDENTITY)

    assert store_raw.ttl(IDENTITY) > 5
    assert store_raw.ttl(INSTANCE) > 5
    assert fleet.instance(IDENTITY)["state"] == "running"


def test_a_heartbeat_that_ran_out_can_be_renewed(fleet: Fleet, store_raw: Raw):
    fleet.renew(IDENTITY)

    assert fleet.live([IDENTITY]) == {IDENTITY: True}
    assert store_raw.smembers("processes") == {IDENTITY.encode()}
    assert 0 < store_raw.ttl(INSTANCE) <= HEARTBEAT_LIFE_S


def test_an_instance_that_leaves_is_no_longer_registered(fleet: Fleet, store_raw: Raw):
    fleet.beat(IDENTITY, a_pulse(work={"1.0.1": b"a"}, wire=7))
    store_raw.lpush(SIGNALS, "TERM")

    fleet.leave(IDENTITY)

    assert set(store_raw.keys()) == {IDENTITY.encode()}  # runs out by itself, as Sidekiq's does
    assert store_raw.ttl(IDENTITY) > 0


def test_a_sweep_strikes_those_without_a_heartbeat_at_most_once_a_minute(
    fleet: Fleet, store_raw: Raw
):
    fleet.beat(IDENTITY, a_pulse())
    store_raw.sadd("processes", "dead:2:x")
    assert fleet.count() == 2

    fleet.sweep()
    store_raw.sadd("processes", "dead:3:x")
    fleet.sweep()

    assert store_raw.smembers("processes") == {IDENTITY.encode(), b"dead:3:x"}
    assert 0 < store_raw.ttl("process_cleanup") <= 60


def test_sweeping_an_empty_fleet_does_nothing(fleet: Fleet):
    fleet.sweep()

    assert fleet.count() == 0


def test_running_jobs_are_read_from_their_private_lists(store: Store, fleet: Fleet):
    store.push({"default": payloads(4), "low": [b"\xff"]})
    claim(store, a_holder("default"), limit=4)
    claim(store, a_holder("low", processor="2.0.7"))

    busy = {
        "1.0.1": a_state(a_payload(1), done=(a_payload(0),)),
        "2.0.7": a_state(b"\xff", "low"),
        "3.0.9": a_state(a_payload(1)),
    }

    assert fleet.running(IDENTITY, busy) == {"1.0.1": a_payload(1).decode(), "2.0.7": "\udcff"}
    assert fleet.running(IDENTITY, {}) == {}


def test_names_that_are_not_utf8_hurt_nobody(store: Store, fleet: Fleet, store_raw: Raw):
    for name in ("processes", "paused", "jobd:privates"):
        store_raw.sadd(name, b"\xff")
    store_raw.lpush(SIGNALS, b"\xff")

    assert fleet.beat(IDENTITY, a_pulse()).command == "\ufffd"
    assert store.paused_queues() == {"\ufffd"}
    assert [KEYS.parse_private(name) for name in store.private_lists()] == [None]
    fleet.sweep()
    assert store_raw.smembers("processes") == {IDENTITY.encode(), b"\xff"}
