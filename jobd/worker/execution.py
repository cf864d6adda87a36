"""Running a job to an outcome: what happened, and nothing about what to do about it.

Every way in which a job can end becomes a value. It assumes nothing of the thread it runs in.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import msgspec

from jobd.errors import Stop

T = TypeVar("T")


class Done(msgspec.Struct, frozen=True):
    """It returned."""


class Failed(msgspec.Struct, frozen=True):
    """It raised, whatever it raised: ``SystemExit`` in a job is a failure of that job only."""

    error: BaseException


class Interrupted(msgspec.Struct, frozen=True):
    """It was ended from outside and has not failed."""

    reason: Stop


Outcome: TypeAlias = Done | Failed | Interrupted

DONE = Done()


def execute(
    guard: Callable[[Callable[[T], object], T], object], run: Callable[[T], object], argument: T
) -> Outcome:
    """Call ``run`` with its argument under a guard, and tell how it ended."""
    try:
        guard(run, argument)
    except BaseException as error:  # noqa: BLE001 - a job may raise anything and end only itself
        reason = Stop.behind(error)
        return Failed(error) if reason is None else Interrupted(reason)
    return DONE
