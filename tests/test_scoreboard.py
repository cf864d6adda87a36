"""The shared memory: both halves of a slot, and readers while a writer writes."""

import os
import signal

import pytest

from jobd.scoreboard import (
    RING_SIZE,
    InstanceState,
    Limit,
    Scoreboard,
    SlotWriter,
    State,
    fingerprint,
    shown_jid,
)
from jobd.server_clock import ServerClock
from jobd.slot_state import MOST_PLACES, MOST_THREADS
from tests.support.clock import FakeClock
from tests.support.running import show_job


@pytest.fixture
def board(clock: FakeClock) -> Scoreboard:
    return Scoreboard(clock, slots=4)


def test_an_untouched_slot_is_empty(board: Scoreboard) -> None:
    seen = board.read(4)
    assert (seen.state, seen.pid, seen.incarnation, seen.is_busy) == (State.EMPTY, 0, 0, False)
    assert (seen.jid, seen.finished) == ("", ())
    assert board.read_assignment(4).state is State.EMPTY
    assert board.instance_state is InstanceState.RUNNING


def test_a_running_job_shows_with_its_beginning(board: Scoreboard, clock: FakeClock) -> None:
    writer = board.writer(1)
    writer.open(42, 7)
    show_job(writer, "default", "MoodSenderJob", "a1b2", 1_800_000_000.5)
    seen = board.read(1)
    assert (seen.state, seen.pid, seen.incarnation) == (State.RUNNING, 42, 7)
    assert (seen.queue, seen.name, seen.jid) == ("default", "MoodSenderJob", "a1b2")
    assert (seen.is_busy, seen.started, seen.beat) == (True, 1_800_000_000.5, clock.monotonic())


def test_a_job_that_ended_is_counted_and_waits_in_the_ring(board: Scoreboard) -> None:
    writer = board.writer(1)
    writer.open(42, 1)
    writer.set_state(State.IDLE)
    for jid, failed in (("one", False), ("two", True)):
        writer.hold(jid.encode(), 1.0)
        writer.start("q", "J", jid)
        writer.finish(jid.encode(), failed=failed)
    seen = board.read(1)
    assert (seen.state, seen.is_busy) == (State.IDLE, False)
    assert (seen.processed, seen.failed, seen.finished) == (
        2,
        1,
        (fingerprint(b"one"), fingerprint(b"two")),
    )
    writer.acknowledged()
    assert board.read(1).finished == ()


def test_a_job_that_is_given_back_is_not_counted(board: Scoreboard) -> None:
    writer = board.writer(1)
    show_job(writer, "q", "J", "one", 1.0)
    writer.give_up()
    seen = board.read(1)
    assert (seen.processed, seen.is_busy, seen.finished) == (0, False, ())


def test_a_full_ring_and_endless_names_do_no_harm(board: Scoreboard) -> None:
    writer = board.writer(1)
    writer.finish(b"x" * 5000, failed=False)
    for number in range(RING_SIZE + 5):
        writer.finish(f"{number:024d}".encode(), failed=False)
    show_job(writer, "q" * 5000, "n" * 5000, "j" * 5000, 1.0)
    seen = board.read(1)
    assert len(seen.finished) == RING_SIZE
    assert seen.finished[-1] == fingerprint(f"{RING_SIZE - 2:024d}".encode())
    assert (len(seen.queue), len(seen.name), len(seen.jid)) == (128, 192, 64)
    assert board.read(2).state is State.EMPTY
    assert board.read_assignment(1).state is State.EMPTY


def test_the_counters_are_the_slot_s_and_go_on_in_the_next_life(board: Scoreboard) -> None:
    first = board.writer(1)
    first.open(42, 1)
    show_job(first, "q", "J", "one", 1.0)
    first.finish(b"one", failed=True)
    second = board.writer(1)
    second.open(43, 2)
    seen = board.read(1)
    assert (seen.pid, seen.incarnation, seen.state) == (43, 2, State.BOOTING)
    assert (seen.processed, seen.failed, seen.finished, seen.jid) == (1, 1, (), "")


def test_a_beat_is_written_without_a_change_of_state(board: Scoreboard, clock: FakeClock) -> None:
    writer = board.writer(1)
    writer.set_state(State.QUIET)
    clock.advance(5)
    writer.beat()
    seen = board.read(1)
    assert (seen.state, seen.beat) == (State.QUIET, clock.monotonic())


def test_the_poller_keeps_in_its_counters_what_redis_knows(board: Scoreboard) -> None:
    board.writer(0).set_counts(7, 2)
    assert (board.read(0).processed, board.read(0).failed) == (7, 2)
    board.writer(0).finish(None, failed=False)
    assert board.read(0).processed == 8


def test_workers_read_the_server_s_time_as_the_poller_measured_it(
    board: Scoreboard, clock: FakeClock
) -> None:
    server = ServerClock(clock, board)
    assert server.server_s(clock.now_ms()) == clock.now_ms() / 1000
    board.set_clock_offset(-2.5)
    assert server.server_s(clock.now_ms()) == clock.now_ms() / 1000 - 2.5
    assert server.monotonic() == clock.monotonic()


def test_the_master_s_half_is_apart_from_the_child_s(board: Scoreboard) -> None:
    board.writer(1).open(42, 7)
    board.assign(
        1,
        state=State.WAITING,
        pid=41,
        incarnation=6,
        spawned=1.5,
        restarts=3,
        last_exit="SIGKILL " + "x" * 100,
    )
    assignment = board.read_assignment(1)
    assert (assignment.state, assignment.pid, assignment.incarnation) == (State.WAITING, 41, 6)
    assert (assignment.spawned, assignment.restarts) == (1.5, 3)
    assert len(assignment.last_exit) == 63
    assert (board.read(1).pid, board.read(1).incarnation) == (42, 7)


def test_the_state_of_the_instance_is_for_all(board: Scoreboard) -> None:
    board.writer(0).open(1, 1)
    for state in InstanceState:
        board.set_instance_state(state)
        assert board.instance_state is state
    assert board.read(0).pid == 1


def test_names_that_are_cut_inside_a_character_can_be_read(board: Scoreboard) -> None:
    writer = board.writer(1)
    show_job(writer, "a" + "é" * 100, "é" * 100, "jid", 1.0)
    assert board.read(1).queue.endswith("é\ufffd")
    assert board.read(1).name.startswith("ééé")


@pytest.mark.parametrize("jid", ["b4a5", "j" * 64, "j" * 65, "é" * 33, "j" * 46 + "é" * 20])
def test_a_jid_of_any_length_is_told_from_those_that_begin_alike(
    board: Scoreboard, jid: str
) -> None:
    writer = board.writer(1)
    show_job(writer, "q", "J", jid, 1.0)
    shown = board.read(1).jid
    board.cancel(1, jid + "x")
    assert (shown, shown_jid(shown), writer.is_cancelled) == (shown_jid(jid), shown, False)
    board.cancel(1, shown)
    assert writer.is_cancelled


def test_a_job_in_hand_is_charged_before_its_name_is_known(board: Scoreboard) -> None:
    writer = board.writer(1)
    show_job(writer, "q", "Before", "one", 1.0)
    writer.finish(b"before", failed=False)
    writer.hold(b"not parsed yet", 2.0)
    seen = board.read(1)
    assert (seen.is_busy, seen.running) == (True, fingerprint(b"not parsed yet"))
    assert (seen.name, seen.jid) == ("", "")
    writer.give_up()
    assert not board.read(1).is_busy


@pytest.mark.process
def test_a_writer_that_is_killed_in_the_middle_leaves_a_slot_that_can_be_read_and_reused(
    board: Scoreboard,
) -> None:
    writer = board.writer(1)
    writer.open(42, 1)
    show_job(writer, "q", "J", "one", 1.0)
    writer._begin()  # pyright: ignore[reportPrivateUsage]  # SIGKILL comes before _end()
    assert board.read(1).jid == "one"
    successor = board.writer(1)
    successor.open(43, 2)
    assert (board.read(1).pid, board.read(1).jid) == (43, "")


@pytest.mark.process
def test_readers_never_see_half_a_write_of_another_process(board: Scoreboard) -> None:
    writer = board.writer(1)
    reader, ready = os.pipe()
    pid = os.fork()  # noqa: TID251 - the map is shared by fork alone
    if pid == 0:
        os.write(ready, b"1")
        while True:
            for letter in "ab":
                show_job(writer, letter, letter * 100, letter * 24, 1.0)
                sum(range(200))  # a job: no reader gets in between writes that never pause
    try:
        os.read(reader, 1)
        for _ in range(20_000):
            seen = board.read(1)
            assert len(set(seen.queue + seen.name + seen.jid)) <= 1
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(ready)


# Threads


def a_crew(board: Scoreboard, incarnation: int, threads: int) -> list[SlotWriter]:
    """The pens of a worker with threads, the main thread's first."""
    pens = [board.writer(1, thread) for thread in range(threads + 1)]
    for pen in pens:
        pen.open(40 + incarnation, incarnation, threads if pen is pens[0] else 0)
    pens[0].set_state(State.IDLE)
    return pens


def test_a_worker_without_threads_runs_jobs_in_its_main_thread(board: Scoreboard) -> None:
    board.writer(1).open(42, 7)
    assert list(board.threads(1)) == [0]


def test_a_worker_with_threads_shows_what_each_runs_and_as_one_the_oldest(
    board: Scoreboard,
) -> None:
    main, first, second, _ = a_crew(board, 7, 3)
    assert board.read(1).state is State.IDLE
    show_job(second, "low", "Slow", "aa", 100.0)
    show_job(first, "default", "Quick", "bb", 200.0)

    assert list(board.threads(1)) == [1, 2, 3]
    assert [board.read_thread(1, n).jid for n in board.threads(1)] == ["bb", "aa", ""]
    seen = board.read(1)
    assert (seen.state, seen.jid, seen.name, seen.started) == (State.RUNNING, "aa", "Slow", 100.0)
    assert (seen.pid, seen.incarnation) == (47, 7)
    main.set_state(State.STOPPING)
    assert board.read(1).state is State.STOPPING


def test_what_all_threads_counted_is_the_slots_also_when_the_next_worker_has_fewer(
    board: Scoreboard,
) -> None:
    for number, pen in enumerate(a_crew(board, 7, 3)[1:]):
        show_job(pen, "default", "Job", str(number), 1.0)
        pen.finish(str(number).encode(), failed=number == 1)
    seen = board.read(1)
    assert (seen.processed, seen.failed, len(seen.finished)) == (3, 1, 3)

    show_job(a_crew(board, 8, 1)[1], "default", "Job", "cc", 2.0)
    seen = board.read(1)
    assert (seen.processed, seen.failed, seen.finished, seen.jid) == (3, 1, (), "cc")
    board.writer(1).open(49, 9)
    assert (board.read(1).processed, list(board.threads(1))) == (3, [0])


def test_a_main_thread_that_runs_jobs_beside_a_loop_is_seen_with_its_places(
    board: Scoreboard,
) -> None:
    main, place = board.writer(1), board.writer(1, 1)
    main.open(47, 7)
    main.set_state(State.IDLE)
    place.open(47, 7)
    main.show_pages(1, main_too=True)
    assert list(board.threads(1)) == [0, 1]

    show_job(place, "low", "Slow", "aa", 100.0)
    assert (board.read(1).state, board.read(1).jid) == (State.RUNNING, "aa")
    show_job(main, "default", "Quick", "bb", 50.0)
    assert (board.read(1).state, board.read(1).jid) == (State.RUNNING, "bb")
    for pen, raw in ((main, b"bb"), (place, b"aa")):
        pen.finish(raw, failed=False)
    seen = board.read(1)
    assert (seen.state, seen.processed, len(seen.finished)) == (State.IDLE, 2, 2)

    main.open(48, 8)
    assert (list(board.threads(1)), board.read(1).processed) == ([0], 2)


def test_a_worker_has_room_for_all_threads_and_places(board: Scoreboard) -> None:
    last = board.writer(1, MOST_THREADS + MOST_PLACES)
    last.open(47, 7)
    show_job(last, "low", "Slow", "aa", 100.0)
    assert board.read_thread(1, MOST_THREADS + MOST_PLACES).jid == "aa"
    assert board.read_thread(2, 0).jid == board.read_thread(2, 1).jid == ""


def test_what_the_threads_of_a_dead_worker_ran_is_not_what_its_successor_runs(
    board: Scoreboard,
) -> None:
    show_job(a_crew(board, 7, 2)[2], "default", "Job", "aa", 1.0)
    board.writer(1).open(48, 8, 2)  # and its threads have not begun yet
    assert not board.read(1).is_busy


def test_each_thread_has_its_own_deadline_and_its_own_cancelled_job(board: Scoreboard) -> None:
    _, first, second = a_crew(board, 7, 2)
    for pen in (first, second):
        show_job(pen, "default", "Job", "aa", 1.0)
    second.limit(Limit(5.0, 4.0, 3.0))
    board.cancel(1, "aa", 2)
    assert [board.limit(1, n) for n in board.threads(1)] == [None, Limit(5.0, 4.0, 3.0)]
    assert (first.is_cancelled, second.is_cancelled) == (False, True)
