"""Running a job to an outcome: what happened, and nothing about what to do about it.

Every way in which a job can end becomes a value. It assumes nothing of the thread it runs in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from jobd.errors import Stop

# The interpreter's own fields: a class may put properties of that name over them, which may raise.
_CAUSE: Final = BaseException.__dict__["__cause__"]
_CONTEXT: Final = BaseException.__dict__["__context__"]
_MEMBERS: Final = BaseExceptionGroup.__dict__["exceptions"]


@dataclass(frozen=True, slots=True)
class Done:
    """It returned."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It raised, whatever it raised: ``SystemExit`` in a job is a failure of that job only."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Interrupted:
    """It was ended from outside and has not failed."""

    reason: Stop


Outcome: TypeAlias = Done | Failed | Interrupted

DONE = Done()


def execute(run: Callable[[], object]) -> Outcome:
    """Call ``run`` and tell how it ended."""
    try:
        run()
    except BaseException as error:  # noqa: BLE001 - a job may raise anything and end only itself
        reason = _interruption(error)
        return Failed(error) if reason is None else Interrupted(reason)
    return DONE


def _interruption(error: BaseException) -> Stop | None:
    """The interruption that an error is, holds, or was raised from or after."""
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        kind = type(link)  # not isinstance(), which asks the object for its __class__
        if issubclass(kind, Stop):
            return cast("Stop", link)
        seen.add(id(link))
        links += (_CAUSE.__get__(link), _CONTEXT.__get__(link))
        if issubclass(kind, BaseExceptionGroup):
            links += _MEMBERS.__get__(link)
    return None
