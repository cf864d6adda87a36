"""Django's TestCase never commits: under jobd.testing, what the code has committed counts as that.

That is what it pushed in no transaction of its own, and what it pushed in one that it has left by
now. In production both are in Redis. Without a test mode nothing here has an effect.

Source: Django's ``Atomic.__enter__``, which knows TestCase's own blocks for ``durable=True``.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from django.db import connections, transaction

from jobd.app import current_app  # noqa: TID251 - the test mode is the app's


@runtime_checkable
class _KeepsLate(Protocol):
    """The writer of fake mode; a web process that is no test never imports jobd.testing."""

    def expect(self, late: Callable[[], bool]) -> None:
        """Ask for a late push before anybody looks."""
        ...


def is_in_transaction(connection: Any) -> bool:
    """Whether a push has to wait: for a commit, or for the code under test to leave its block."""
    return connection.in_atomic_block and not (_writer() and _is_of_test_case(connection))


def on_commit(function: Callable[[], object], alias: str) -> None:
    """As ``transaction.on_commit``; kept jobs are also there as soon as a test looks at them."""
    writer = _writer()
    once = _Once(function, connections[alias])
    transaction.on_commit(once, using=alias)
    if isinstance(writer, _KeepsLate):
        writer.expect(once.arrive)


class _Once:
    """A function for ``on_commit``, which captureOnCommitCallbacks may call too."""

    def __init__(self, function: Callable[[], object], connection: Any) -> None:
        self._function = function
        self._connection = connection
        self._is_called = False

    def __call__(self) -> None:
        if not self._is_called:
            self._is_called = True
            self._function()

    def arrive(self) -> bool:
        """Call it, if its block was left and not rolled back; False if it was not left yet."""
        connection = self._connection
        if connection.in_atomic_block and not _is_of_test_case(connection):
            return False
        if any(function is self for _, function, *_ in connection.run_on_commit):
            self()
        return True


def _writer() -> object:
    stand_in = current_app().stand_in
    return None if stand_in is None else stand_in.writer()


def _is_of_test_case(connection: Any) -> bool:
    innermost = connection.atomic_blocks[-1]
    return bool(innermost._from_testcase)  # noqa: SLF001 - Django has no public name for it
