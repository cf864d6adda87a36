"""Lets plain code wait as a coroutine does, without holding up the loop.

A job's life, its middleware and callbacks are plain code that calls what is inside of it and sees
it end. For a job in a loop all that runs in a greenlet, which rests wherever that code has to wait,
while a task of the loop awaits in its place. So there is one way to run a job, and not two.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from greenlet import getcurrent, greenlet

T = TypeVar("T")


async def hosted(function: Callable[[], T]) -> T:
    """Call a function that may `wait`; it sees the context variables of this task, and sets them.

    Raises:
        BaseException: what the function raised.
    """
    guest = greenlet(function)
    guest.gr_context = getcurrent().gr_context
    awaited: Any = guest.switch()
    while not guest.dead:
        try:
            result = await awaited
        except BaseException as error:  # noqa: BLE001 - it is the guest's, whatever it is
            # With its stack, which throw() would take from it.
            awaited = guest.throw(type(error), error, error.__traceback__)
        else:
            awaited = guest.switch(result)
    return cast("T", awaited)


def wait(awaitable: Awaitable[T]) -> T:
    """The result of an awaitable, in a function that is `hosted`; meanwhile the loop goes on.

    Raises:
        BaseException: what awaiting it raised.
    """
    host: Any = getcurrent().parent
    return cast("T", host.switch(awaitable))
