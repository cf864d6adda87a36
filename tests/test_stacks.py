"""What a child leaves of its stacks, and what the master makes of it."""

import contextlib
import ctypes
import faulthandler
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from jobd.supervisor.stacks import Stacks
from tests.support.eventually import eventually


@pytest.fixture
def stacks() -> Iterator[Stacks]:
    made = Stacks()
    yield made
    made.close()
    made.close()


@contextlib.contextmanager
def a_child(stacks: Stacks, act: Callable[[], object]) -> Iterator[int]:
    reader, writer = os.pipe()
    pid = os.fork()  # noqa: TID251 - what a crash leaves can only be seen from outside
    if pid == 0:
        stacks.offer()
        os.write(writer, b".")
        act()
        os._exit(0)
    # Before the child has offered, TTIN would stop it for good.
    assert os.read(reader, 1) == b"."
    try:
        yield pid
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)


def crash() -> None:
    ctypes.string_at(0)


def keep_the_gil() -> None:
    ctypes.PyDLL(None).sleep(60)


def test_nothing_was_written(stacks: Stacks) -> None:
    assert stacks.take() == stacks.take(is_complete=True) == ""


def test_a_crash_leaves_the_stack_of_its_last_moment(stacks: Stacks) -> None:
    with a_child(stacks, crash):
        pass
    text = stacks.take(is_complete=True)
    assert text.startswith("Fatal Python error: Segmentation fault")
    assert "in crash" in text
    assert stacks.take(is_complete=True) == ""


def test_ttin_shows_also_a_job_that_keeps_the_gil_and_does_not_end_it(stacks: Stacks) -> None:
    with a_child(stacks, keep_the_gil) as pid:

        def is_shown() -> bool:
            os.kill(pid, signal.SIGTTIN)
            return "in keep_the_gil" in stacks.take(is_complete=True)

        eventually(is_shown)
        os.kill(pid, signal.SIGKILL)


def test_what_still_grows_is_taken_the_next_time(stacks: Stacks) -> None:
    faulthandler.dump_traceback(file=stacks._fd)
    assert stacks.take() == ""
    faulthandler.dump_traceback(file=stacks._fd)
    assert stacks.take() == ""
    text = stacks.take()
    assert text.count("most recent call first") >= 2
    faulthandler.dump_traceback(file=stacks._fd)
    assert not stacks.take(is_complete=True).startswith("\0"), "the offset began anew"
