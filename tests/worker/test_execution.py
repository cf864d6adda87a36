"""Every way in which a job can end becomes a value."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from jobd.errors import JobCancelled, JobInterrupted, Stop
from jobd.worker.execution import DONE, Done, Failed, Interrupted, Outcome, execute


def outcome(run: Callable[[], object]) -> Outcome:
    return execute(lambda call, _: call(_), lambda _: run(), None)


def outcome_of(error: BaseException) -> Done | Failed | Interrupted:
    def run() -> NoReturn:
        raise error

    return outcome(run)


class RaisingCause(Exception):
    @property
    def __cause__(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no cause")

    @property
    def __context__(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no context")

    @property
    def __class__(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no class")


class Falsy(Exception):
    def __bool__(self) -> bool:
        return False


class Untrue(Exception):
    def __bool__(self) -> NoReturn:
        raise RuntimeError("neither")


class Unequal(Exception):
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> NoReturn:
        raise RuntimeError("not comparable")


def several() -> BaseException:
    return BaseExceptionGroup("several", [SystemExit(), KeyboardInterrupt()])


def interrupt() -> NoReturn:
    raise JobInterrupted


def recurse() -> None:
    recurse()


def test_a_job_that_returns_is_done_whatever_it_returns() -> None:
    assert outcome(lambda: None) == DONE
    assert outcome(lambda: ValueError("returned, not raised")) == DONE


@pytest.mark.parametrize(
    "make",
    [
        ValueError,
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        MemoryError,
        StopIteration,
        several,
        RaisingCause,
        Falsy,
        Untrue,
        Unequal,
    ],
)
def test_whatever_a_job_raises_is_its_failure_only(make: Callable[[], BaseException]) -> None:
    error = make()
    ended = outcome_of(error)
    assert isinstance(ended, Failed)
    assert ended.error is error


def test_sys_exit_is_a_failure() -> None:
    ended = outcome(lambda: sys.exit(0))
    assert isinstance(ended, Failed)
    assert type(ended.error) is SystemExit


def test_an_endless_recursion_is_a_failure() -> None:
    ended = outcome(recurse)
    assert isinstance(ended, Failed)
    assert type(ended.error) is RecursionError


def test_memory_that_cannot_be_had_is_a_failure() -> None:
    ended = outcome(lambda: bytearray(sys.maxsize))
    assert isinstance(ended, Failed)
    assert type(ended.error) is MemoryError


@pytest.mark.parametrize("kind", [JobInterrupted, JobCancelled, Stop])
def test_a_stop_is_an_interruption(kind: type[Stop]) -> None:
    assert isinstance(outcome_of(kind()), Interrupted)


def raise_from_it() -> None:
    try:
        interrupt()
    except JobInterrupted as stop:
        raise ValueError("wrapped") from stop


def raise_while_handling_it() -> None:
    try:
        interrupt()
    except JobInterrupted:
        raise ValueError("in a clean-up")  # noqa: B904 - as apps do


def raise_from_none() -> None:
    try:
        interrupt()
    except JobInterrupted:
        raise ValueError("hidden") from None


def raise_from_another_while_handling_it() -> None:
    try:
        interrupt()
    except JobInterrupted:
        raise ValueError("wrapped") from KeyError("unrelated")


def raise_three_levels_up() -> None:
    try:
        raise_from_it()
    except ValueError as first:
        second = KeyError()
        second.__cause__ = first
        raise Falsy from second


def raise_in_a_finally() -> None:
    try:
        interrupt()
    finally:
        {}["absent"]


def raise_it_in_a_group() -> None:
    raise BaseExceptionGroup("tasks", [ValueError("one"), JobInterrupted()])


@pytest.mark.parametrize(
    "run",
    [
        raise_from_it,
        raise_while_handling_it,
        raise_from_none,
        raise_from_another_while_handling_it,
        raise_three_levels_up,
        raise_in_a_finally,
        raise_it_in_a_group,
    ],
    ids=lambda run: run.__name__,
)
def test_a_stop_anywhere_behind_an_error_is_an_interruption(run: Any) -> None:
    ended = outcome(run)
    assert isinstance(ended, Interrupted)
    assert type(ended.reason) is JobInterrupted


def test_a_chain_that_bites_its_own_tail_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert isinstance(outcome_of(one), Failed)


def test_a_job_that_swallows_a_stop_and_returns_is_done() -> None:
    def run() -> None:
        with contextlib.suppress(BaseException):
            interrupt()

    assert outcome(run) == DONE
