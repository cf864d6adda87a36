"""What the dead left, and how it goes back."""

import pytest

from jobd.store import Store
from tests.conformance.parts import IDENTITY, KEYS, a_holder, a_payload, claim, payloads, raws_of

pytestmark = pytest.mark.redis


def test_what_is_held_is_shown_newest_first(store: Store):
    holder = a_holder()
    store.push({"default": payloads(4)})
    claim(store, holder, limit=4)

    assert store.held(holder.privates[0], 9) == payloads(4)[::-1]
    assert store.held(holder.privates[0], 2) == [a_payload(3), a_payload(2)]


def test_jobs_of_the_dead_go_back_in_their_order(store: Store):
    dead, living = a_holder(), a_holder(processor="1.0.2")
    store.push({"default": payloads(5)})
    claim(store, dead, limit=3)

    raws = store.held(dead.privates[0], 9)
    store.give_back(dead.privates[0], "default", [(raw, raw) for raw in raws])

    assert raws_of(claim(store, living, limit=9)) == payloads(5)


def test_an_empty_private_list_is_forgotten(store: Store):
    holder = a_holder("a", "b")
    claim(store, holder)

    assert store.forget(holder.privates[0])
    assert not store.forget(holder.privates[0])
    assert store.private_lists() == [holder.privates[1]]


def test_a_private_list_that_holds_something_is_not_forgotten(store: Store):
    holder = a_holder()
    store.push({"default": [b"one"]})
    claim(store, holder)

    assert not store.forget(holder.privates[0])
    assert store.private_lists() == [holder.privates[0]]


def test_the_name_of_a_private_list_says_where_its_jobs_belong(store: Store):
    holder = a_holder("a:b", processor="12.0.345")
    claim(store, holder)

    (name,) = store.private_lists()

    assert KEYS.parse_private(name) == (IDENTITY, 12, 0, 345, "a:b")
