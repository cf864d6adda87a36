"""Waiting for other processes, in the one place that may wait.

Not for order inside one process: there a pipe or an event says when something has happened.
"""

import time
from collections.abc import Callable
from typing import TypeAlias, TypeVar

Value = TypeVar("Value")
Message: TypeAlias = str | Callable[[], str]

PATIENCE_S = 45.0
"""Of a machine with far more to do than the tests; only a failure takes so long."""

_FIRST_WAIT_S = 0.002
_LONGEST_WAIT_S = 0.05


def eventually(
    predicate: Callable[[], Value | None],
    timeout: float = PATIENCE_S,
    message: Message = "",
) -> Value:
    """Ask again and again until the answer is true, and return that answer.

    An exception of the predicate counts as "not yet".

    Args:
        predicate: asked at least once, and once more after the time is up.
        timeout: seconds.
        message: put into the failure; a callable is asked for it then.

    Raises:
        AssertionError: with the last answer, or from the last exception.
    """
    deadline = time.monotonic() + timeout
    wait_s = _FIRST_WAIT_S
    while True:
        is_last = time.monotonic() >= deadline
        failure: Exception | None = None
        answer: Value | None = None
        try:
            answer = predicate()
        except Exception as err:  # noqa: BLE001 - the predicate is a test's own code
            failure = err
        if answer:
            return answer
        if is_last:
            raise AssertionError(_complaint(timeout, message, answer, failure)) from failure
        time.sleep(wait_s)
        wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S)


def _complaint(timeout: float, message: Message, answer: object, failure: Exception | None) -> str:
    last = f"last error: {failure!r}" if failure else f"last answer: {answer!r}"
    text = message() if callable(message) else message
    return f"not within {timeout:g} s{': ' if text else ''}{text} ({last})"
