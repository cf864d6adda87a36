"""Iterable jobs in a worker: what they leave in Redis, and where they go on."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from jobd import IterableJob
from jobd.worker.iterations import DONE_LIFE_S, STATE_LIFE_S
from tests.support.servers import Raw
from tests.worker.conftest import SLOT, Bench, Kind, MakeBench

pytestmark = pytest.mark.redis

JID = "0123456789abcdef01234567"


class Walk(IterableJob):
    """Goes through the numbers below the limit; the test says what happens at each."""

    log: ClassVar[list[Any]] = []
    at: ClassVar[dict[int, Callable[["Walk"], object]]] = {}

    def build_enumerator(self, cursor: int | None, limit: int = 5) -> Iterator[tuple[int, int]]:
        self.log.append(("from", cursor))
        return ((number, number) for number in range(cursor or 0, limit))

    def each_iteration(self, number: int) -> None:
        self.log.append(number)
        self.at.get(number, lambda _: None)(self)

    def on_start(self) -> None:
        self.log.append("start")

    def on_resume(self) -> None:
        self.log.append("resume")

    def on_stop(self) -> None:
        self.log.append("stop")

    def on_cancel(self) -> None:
        self.log.append("cancel")

    def on_complete(self) -> None:
        self.log.append("complete")


class Slice(Walk):
    max_iteration_runtime = 2


@pytest.fixture(autouse=True)
def nothing_logged() -> None:
    Walk.log.clear()
    Walk.at.clear()


@pytest.fixture
def walking(make_bench: MakeBench) -> Bench:
    return make_bench().knows(Walk, Slice)


def state(raw: Raw) -> dict[str, str]:
    return {name.decode(): text.decode() for name, text in raw.hgetall(f"it-{JID}").items()}


def test_a_job_goes_through_its_items_once(walking: Bench) -> None:
    walking.push("Walk", 3, jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", 0, 1, 2, "stop", "complete"]
    walking.fetcher.flush()
    assert walking.held() == 0
    assert walking.counts() == {"processed": 1, "failed": 0}


def stop(walking: Bench) -> Callable[[Walk], None]:
    """What a signal does to a worker."""

    def arrive(_: Walk) -> None:
        walking.attention.is_stopping = True

    return arrive


def resume(walking: Bench) -> list[Any]:
    """Run what is queued in a new worker, and return what happens."""
    Walk.log.clear()
    walking.attention.is_stopping = walking.attention.is_quiet = False
    walking.step()
    return Walk.log


def test_a_stop_ends_it_between_two_items_and_it_goes_on_at_the_next(walking: Bench) -> None:
    Walk.at[1] = stop(walking)
    payload = walking.push("Walk", 4, jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", 0, 1, "stop"]
    assert walking.queued() == [payload]
    assert {"ex": "1", "c": "2", "n": "2"}.items() <= state(walking.raw).items()
    assert walking.counts() == {"processed": 0, "failed": 0}

    assert resume(walking) == [("from", 2), "resume", 2, 3, "stop", "complete"]
    assert walking.queued() == []


def test_a_quiet_worker_ends_it_too(walking: Bench) -> None:
    def arrive(_: Walk) -> None:
        walking.attention.is_quiet = True

    Walk.at[0] = arrive
    walking.push("Walk", 2, jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", 0, "stop"]
    assert resume(walking) == [("from", 1), "resume", 1, "stop", "complete"]


def test_an_item_that_fails_is_tried_again_and_those_before_it_are_not(walking: Bench) -> None:
    def fail(_: Walk) -> None:
        raise RuntimeError("no")

    Walk.at[2] = fail
    walking.push("Walk", 4, jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", 0, 1, 2, "stop"]
    failed = walking.only("retry")
    assert (failed["error_message"], failed["retry_count"]) == ("no", 0)
    assert state(walking.raw)["c"] == "2"

    Walk.at.clear()
    walking.push("Walk", 4, jid=JID)
    assert resume(walking) == [("from", 2), "resume", 2, 3, "stop", "complete"]


def test_an_interruption_in_the_middle_of_an_item_has_it_done_again(walking: Bench) -> None:
    def time_is_up(_: Walk) -> None:
        walking.attention.is_stopping = True
        walking.attention._interrupt()

    Walk.at[1] = time_is_up
    walking.push("Walk", 3, jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", 0, 1, "stop"]
    Walk.at.clear()
    walking.attention._must_interrupt = False
    assert resume(walking) == [("from", 1), "resume", 1, 2, "stop", "complete"]


def test_the_cursor_is_saved_now_and_then(walking: Bench) -> None:
    seen: list[str | None] = []

    def look(_: Walk) -> None:
        seen.append(state(walking.raw).get("c"))
        walking.clock.advance(2)

    Walk.at.update(dict.fromkeys(range(8), look))
    walking.push("Walk", 8, jid=JID)
    walking.step()
    assert seen == [None, None, None, "3", "3", "3", "6", "6"]


def test_the_time_of_all_runs_is_told(walking: Bench) -> None:
    def take_a_second(_: Walk) -> None:
        walking.clock.advance(1)
        walking.attention.is_stopping = True

    Walk.at.update(dict.fromkeys(range(3), take_a_second))
    walking.push("Walk", 3, jid=JID)
    walking.step()
    resume(walking)
    assert state(walking.raw)["rt"] == "2.0"


def test_a_job_that_was_killed_goes_on_at_the_saved_cursor(walking: Bench) -> None:
    walking.raw.hset(f"it-{JID}", mapping={"ex": 1, "c": "3", "rt": "1.5", "n": 3})
    walking.push("Walk", 4, jid=JID)
    walking.step()
    assert Walk.log == [("from", 3), "resume", 3, "stop", "complete"]


def test_a_job_that_was_done_and_not_acknowledged_does_not_begin_again(walking: Bench) -> None:
    walking.push("Walk", 3, jid=JID)
    walking.step()
    assert 0 < walking.raw.ttl(f"it-{JID}") <= DONE_LIFE_S

    walking.push("Walk", 3, jid=JID)  # as if it had been recovered
    assert resume(walking) == []
    assert walking.queued() == []

    walking.raw.hset(f"it-{JID}", "done", 4)  # of another job, with the same jid
    walking.push("Walk", 2, jid=JID)
    assert resume(walking) == [("from", None), "start", 0, 1, "stop", "complete"]


def test_a_state_lives_for_thirty_days_from_each_save(walking: Bench) -> None:
    walking.raw.hset(f"it-{JID}", "ex", 1)
    walking.raw.expire(f"it-{JID}", 60)
    Walk.at[0] = stop(walking)
    walking.push("Walk", jid=JID)
    walking.step()
    assert STATE_LIFE_S - 60 < walking.raw.ttl(f"it-{JID}") <= STATE_LIFE_S


def test_a_run_that_was_replaced_saves_nothing_and_ends(walking: Bench) -> None:
    def be_replaced(_: Walk) -> None:
        walking.raw.hset(f"it-{JID}", mapping={"ex": 2, "c": "4"})
        walking.clock.advance(6)

    Walk.at[1] = be_replaced
    walking.push("Walk", jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", 0, 1, "stop"]
    assert {"ex": "2", "c": "4"}.items() <= state(walking.raw).items()
    assert "n" not in state(walking.raw)


def test_a_cancelled_job_ends_at_the_next_save_as_complete(walking: Bench) -> None:
    def cancel(walk: Walk) -> None:
        assert not walk.cancelled
        walking.raw.hsetnx(f"it-{JID}", "cancelled", 1_795_293_395)
        walking.clock.advance(6)

    Walk.at[1] = cancel
    walking.push("Walk", jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", 0, 1, "cancel", "stop", "complete"]
    assert walking.counts() == {"processed": 1, "failed": 0}
    assert walking.queued() == []


def test_a_job_may_be_cancelled_before_it_has_begun(walking: Bench) -> None:
    walking.raw.hsetnx(f"it-{JID}", "cancelled", 1_795_293_395)  # and no cursor: Sidekiq's fails
    walking.push("Walk", jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", "cancel", "stop", "complete"]
    assert not walking.raw.exists("retry")


def test_a_job_that_is_cancelled_where_it_runs_is_complete(walking: Bench) -> None:
    def cancel(_: Walk) -> None:
        walking.board.cancel(SLOT, JID)
        walking.attention._interrupt_for_its_reason()

    Walk.at[1] = cancel
    walking.push("Walk", jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", 0, 1, "cancel", "stop", "complete"]
    assert walking.counts() == {"processed": 1, "failed": 0}
    assert not walking.raw.exists("retry", "dead")


def test_a_job_that_kills_its_workers_but_comes_further_is_begun_again(walking: Bench) -> None:
    Walk.at[1] = stop(walking)
    walking.push("Walk", 5, jid=JID, recovered=2)
    walking.step()
    assert state(walking.raw)["forgiven"] == "2"
    walking.raw.delete("queue:default")

    Walk.at.clear()
    walking.push("Walk", 5, jid=JID, recovered=4)
    assert resume(walking)[:3] == [("from", 2), "resume", 2]


def test_a_job_that_kills_its_workers_without_coming_further_is_dead(walking: Bench) -> None:
    walking.raw.hset(f"it-{JID}", mapping={"ex": 2, "c": "1", "forgiven": 2})
    walking.push("Walk", jid=JID, recovered=5)
    walking.step()
    assert Walk.log == []
    assert walking.only("dead")["error_class"].endswith("WorkerKilled")


@pytest.mark.parametrize("kind", ["reliable", "basic"])
def test_after_its_longest_time_it_goes_behind_the_others(
    kind: Kind, make_bench: MakeBench
) -> None:
    walking = make_bench(kind).knows(Slice)

    def take_a_second(_: Walk) -> None:
        walking.clock.advance(1)

    Walk.at.update(dict.fromkeys(range(5), take_a_second))
    payload = walking.push("Slice", 3, jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", 0, 1, "stop"]
    assert walking.entries("schedule") == [payload]
    assert walking.held() == 0
    assert walking.counts() == {"processed": 0, "failed": 0}


def test_it_may_give_way_and_finish_by_itself(walking: Bench) -> None:
    Walk.at[0] = Walk.give_way
    Walk.at[1] = Walk.finish
    walking.push("Walk", jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", 0, "stop"]
    assert walking.raw.zcard("schedule") == 1
    walking.push("Walk", jid=JID)
    assert resume(walking) == [("from", 1), "resume", 1, "stop", "complete"]


def test_a_save_that_redis_refuses_does_not_end_the_job(
    walking: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def break_it(_: Walk) -> None:
        walking.raw.set(f"it-{JID}", "no hash")
        walking.clock.advance(6)

    Walk.at[1] = break_it
    walking.push("Walk", 4, jid=JID)
    walking.step()
    assert Walk.log == [("from", None), "start", 0, 1, 2, 3, "stop", "complete"]
    assert "the progress could not be saved, so some items run again" in caplog.text


def test_a_state_that_is_none_fails_the_job_and_is_left_as_it_is(walking: Bench) -> None:
    walking.raw.hset(f"it-{JID}", "c", "{no JSON")
    walking.push("Walk", jid=JID)
    walking.step()
    assert f"it-{JID} is no state of an iterable job" in walking.only("retry")["error_message"]
    assert Walk.log == []


def test_an_item_that_takes_longer_than_a_stop_waits_is_told(
    walking: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    Walk.at[1] = lambda _: walking.clock.advance(40)
    walking.push("Walk", jid=JID)
    walking.step()
    assert "and a stop waits for 25 s: make the items of Walk smaller" in caplog.text


def test_a_job_that_runs_another_inline_is_not_mistaken_for_it(walking: Bench) -> None:
    Walk.at[0] = lambda _: Slice.perform_inline(1) if not Walk.at.clear() else None
    walking.push("Walk", 1, jid=JID)
    walking.step()
    inline = [("from", None), "start", 0, "stop", "complete"]
    assert Walk.log == [("from", None), "start", 0, *inline, "stop", "complete"]
    assert len(walking.raw.keys("it-*")) == 1
