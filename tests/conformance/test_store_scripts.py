"""A server that does not know a script is given its text."""

from collections.abc import Callable

import pytest

from jobd import results
from jobd.api.access import Access
from jobd.api.audit import Audit
from jobd.api.moves import Moves, Purge
from jobd.cancelling import cancel
from jobd.fleet import Fleet
from jobd.jobs.iterating import Reached
from jobd.pulse import Counted, Pulse
from jobd.reliable_push import ReliablePush
from jobd.store import Held, Promotion, Store
from tests.conformance.parts import (
    IDENTITY,
    KEYS,
    a_holder,
    calls,
    calls_since,
    claim,
    progress,
    scripts,
)
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

HOLDER = a_holder()
PULSE = Pulse(
    work={},
    process={"a": 1},
    instance={"a": 1},
    counted=Counted(),
    number="1",
    at_s=1_795_293_395.0,
)


def fleet(store: Store) -> Fleet:
    return Fleet(store.redis, KEYS)


def moves(store: Store) -> Moves:
    return Moves(Access(redis=store.redis, keys=KEYS))


def look_through_a_queue(store: Store) -> None:
    store.push({"default": [b"another"]})
    cancel(store, "b4a5")


RUN: dict[str, Callable[[Store], object]] = {
    "beat": lambda store: fleet(store).beat(IDENTITY, PULSE),
    "bury": lambda store: store.bury("p", b"", b"", now_s=1.0, max_jobs=1, timeout_s=1.0),
    "bury_due": lambda store: store.bury_due(KEYS.retry, b"", 1.0),
    "cancel": lambda store: cancel(store, "b4a5"),
    "claim": lambda store: claim(store, HOLDER, limit=2),
    "claim_one": lambda store: claim(store, HOLDER),
    "confirm": lambda store: store.confirm(HOLDER, Held(0, b"job")),
    "due": lambda store: store.due(KEYS.retry, limit=1),
    "find": look_through_a_queue,
    "forget": lambda store: store.forget("p"),
    "give_back": lambda store: store.give_back("p", "default", [(b"", b"")]),
    "hand_over": lambda store: store.hand_over("p", "q", b"job"),
    "note": lambda store: Audit(access=Access(redis=store.redis, keys=KEYS)).record(
        "ada", "delete"
    ),
    "promote": lambda store: store.promote(KEYS.retry, [Promotion(b"", "default", b"")]),
    "iteration_begin": lambda store: progress(store).begin({"jid": "j"}),
    "iteration_save": lambda store: progress(store).save({"jid": "j"}, Reached(1, 5, 0.5, 5)),
    "keep_result": lambda store: results.keep(store, {"jid": "a", "result_ttl": 1}, {}),
    "kill": lambda store: moves(store).kill("retry", [b"job"], notify=False),
    "move": lambda store: moves(store).move("default", b"job", "low", b"job"),
    "move_all": lambda store: moves(store).move_all("default", range(2), "low", [(b"a", b"b")]),
    "purge": lambda store: moves(store).purge("queue", "default"),
    "put_back": lambda store: moves(store).put_back(Purge("a", "queue", "default")),
    "push_once": lambda store: ReliablePush(store, 1).push({"default": [b"job"]}),
    "renew": lambda store: fleet(store).renew(IDENTITY),
    "reschedule": lambda store: moves(store).reschedule("retry", [b"job"], 5),
    "retry": lambda store: store.retry("p", b"", b"", 1.0),
    "strike": lambda store: moves(store).strike("default", range(2), [b"job"]),
}


def test_every_script_is_tried_here():
    assert set(RUN) == set(scripts())


@pytest.mark.parametrize("name", RUN)
def test_a_script_is_sent_whole_once_and_then_by_its_name(store: Store, store_raw: Raw, name: str):
    store_raw.script_flush()
    before = calls(store_raw)

    answers = [RUN[name](store) for _ in range(3)]

    sent = calls_since(store_raw, before)
    whole = 2 if name == "find" else 1  # cancel runs before it
    assert (sent.pop("eval"), sent.pop("evalsha")) == (whole, 3 * whole)
    assert len(answers) == 3
