"""Keys that are neither jobd's nor Sidekiq's are told, and none of theirs is."""

import pytest

from jobd.api import Access, stray_keys
from jobd.keys import Keys
from tests.support import wire
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

IDENTITY = "app-1:71:0123456789ab"


def test_keys_of_others_are_told_by_how_they_begin(raw: Raw, access: Access):
    wire.push(raw, "Echo")
    for number in range(2_500):
        raw.set(f"celery-task-meta-{number:032x}", 1)
    raw.mset({"_kombu.binding.celery": 1, "user:12:cart": 1, "plain": 1, b"\xff\n": 1})

    found = stray_keys(budget_s=60, access=access)

    # SCAN may tell a key twice.
    assert found.count >= 2_504
    assert (found.seen, found.size, found.next_cursor) == (2_506, 2_506, "")
    assert found.groups[0].count >= 2_500
    assert {group.prefix for group in found.groups} == {
        *("celery-*", "_kombu.*", "user:*", "plain", "\\xff\n")
    }
    assert "user:12:cart" in {group.example for group in found.groups}


def test_what_jobd_and_sidekiq_write_is_no_stray(raw: Raw, access: Access):
    keys = Keys()
    every = (
        *(keys.queues, keys.queue("a:b"), keys.schedule, keys.retry, keys.dead),
        *(keys.paused, keys.processes, keys.process_cleanup, keys.leader, keys.audit),
        *(keys.process(IDENTITY), keys.work(IDENTITY), keys.workers(IDENTITY)),
        *(keys.signals(IDENTITY), keys.instance(IDENTITY), keys.privates),
        *(keys.stat("processed"), keys.stat("failed", "2026-11-22"), keys.marks("20261122")),
        *(keys.rollup("261122|10:1"), keys.histogram("Echo", "22-10:11")),
        *(keys.metrics_by("queue").rollup("261122|10:1"), keys.mark_lock("v1")),
        *(keys.iteration("b4a5"), keys.result("b4a5"), keys.task("b4a5"), keys.cancelled),
        *(keys.pushed("c"), keys.trash, keys.purged("p")),
        keys.private(IDENTITY, "1.0.1", "default"),
        *("profiles", "token-" + "0" * 24, "b-0123456789abcd", "lmtr-cfree-x"),
    )
    raw.mset(dict.fromkeys(every, 1))

    assert stray_keys(budget_s=60, access=access).groups == []


def test_with_a_prefix_all_that_lacks_it_is_somebody_elses():
    keys = Keys("{jobs}:")
    assert keys.is_known("{jobs}:queue:default")
    assert not keys.is_known("queue:default")
    assert not keys.is_known("{jobs}:something")


def test_a_look_stops_when_its_time_is_up_and_goes_on_from_there(raw: Raw, access: Access):
    raw.mset({f"other:{number}": 1 for number in range(5_000)})
    total, start, looks = 0, "0", 0
    while start:
        found = stray_keys(start=start, budget_s=0, access=access)
        assert 0 < found.seen < found.size == 5_000
        total, start, looks = total + found.count, found.next_cursor, looks + 1
    assert total >= 5_000
    assert looks > 1


def test_an_empty_database_has_none(access: Access):
    found = stray_keys(access=access)
    assert (found.groups, found.count, found.seen, found.size) == ([], 0, 0, 0)
