"""What workers count in shared memory, and what the poller makes of it."""

import multiprocessing
import os
import signal

import pytest

from jobd.metrics import Counts
from jobd.tallies import ROWS, Tallies, by_class, by_queue, row_of, wait_row, waits

ONE_FAST = Counts(1, 0, 3, (1, *[0] * 25))


@pytest.fixture
def tallies() -> Tallies:
    return Tallies(2)


def test_executions_failures_and_durations_are_counted_by_class(tallies: Tallies):
    writer = tallies.writer(1)
    writer.count("Echo", 3)
    writer.count("Echo", 22)
    writer.count_failure("Echo")
    writer.count_failure("Mail::Send")

    assert tallies.added() == {
        "Echo": Counts(3, 1, 25, (1, 1, *[0] * 24)),
        "Mail::Send": Counts(1, 1, 0),
    }


def test_workers_are_summed_up_and_what_was_published_is_not_added_again(tallies: Tallies):
    for slot in (1, 2):
        tallies.writer(slot).count("Echo", 3)

    added = tallies.added()
    assert added == {"Echo": ONE_FAST + ONE_FAST}
    tallies.publish(added)

    assert tallies.added() == {}
    tallies.writer(2).count("Echo", 3)
    assert tallies.added() == {"Echo": ONE_FAST}


def test_the_rows_of_a_class_in_several_queues_are_summed_up_either_way(tallies: Tallies):
    for name, queue in (("Echo", "low"), ("Echo", "high"), ("Mail", "low")):
        tallies.writer(1).count(row_of(name, queue), 3)

    added = tallies.added()
    assert by_class(added) == {"Echo": ONE_FAST + ONE_FAST, "Mail": ONE_FAST}
    assert by_queue(added) == {"low": ONE_FAST + ONE_FAST, "high": ONE_FAST}
    tallies.publish(added)
    assert tallies.added() == {}


def test_what_is_counted_while_it_is_published_follows(tallies: Tallies):
    writer = tallies.writer(1)
    writer.count("Echo", 3)
    added = tallies.added()
    writer.count("Echo", 3)
    tallies.publish(added)

    assert tallies.added() == {"Echo": ONE_FAST}


def test_the_next_worker_of_a_slot_goes_on_in_the_same_rows(tallies: Tallies):
    tallies.writer(1).count("Echo", 3)
    tallies.writer(1).count("Echo", 3)

    assert tallies.read(1) == {"Echo": ONE_FAST + ONE_FAST}


def test_what_a_killed_worker_counted_is_there(tallies: Tallies):
    def count_and_die() -> None:
        tallies.writer(1).count("Echo", 3)
        os.kill(os.getpid(), signal.SIGKILL)

    worker = multiprocessing.get_context("fork").Process(target=count_and_die)
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL

    assert tallies.added() == {"Echo": ONE_FAST}


@pytest.mark.parametrize("name", ["x" * 1_000, "é" * 300, "a\udcff", ""])
def test_any_name_is_counted_once_and_keeps_its_row(tallies: Tallies, name: str):
    for slot in (1, 1, 2):
        tallies.writer(slot).count(name, 3)

    added = tallies.added()
    assert list(added.values()) == [ONE_FAST + ONE_FAST + ONE_FAST]
    tallies.publish(added)
    assert tallies.added() == {}
    assert tallies.writer(1).has_room_for(name)


def test_more_classes_than_there_is_room_for_are_left_out_and_hurt_nobody(tallies: Tallies):
    first, second = tallies.writer(1), tallies.writer(2)
    for number in range(ROWS + 10):
        first.count(f"First{number}", 3)
    second.count("Second", 3)

    added = tallies.added()
    assert len(added) == ROWS
    tallies.publish(added)
    assert tallies.added() == {}
    first.count("First0", 3)
    assert tallies.added() == {"First0": ONE_FAST}


def test_how_long_jobs_waited_is_kept_apart_from_what_they_cost(tallies: Tallies):
    tallies.writer(1).count(row_of("Echo", "low"), 25)
    tallies.writer(1).count(wait_row("low"), 3)

    added = tallies.added()
    assert waits(added) == {"low": ONE_FAST}
    cost = Counts(1, 0, 25, (0, 1, *[0] * 24))
    assert (by_class(added), by_queue(added)) == ({"Echo": cost}, {"low": cost})
