"""Running an ``async def perform`` to its end, for callers who are no coroutines themselves.

A worker with a loop gives the coroutine to that (``jobd.worker.loop``). Everybody else runs it
here: tests, ``perform_inline``, and a worker without one.
"""

import contextvars
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from jobd.app import current_app  # noqa: TID251 - jobs are the place that looks it up


def complete_each(job_instance: Any) -> None:
    """Have the ``perform`` of this instance of a job return when its coroutine has."""
    perform = job_instance.perform

    def completing(*args: Any) -> Any:
        returned, run = perform(*args), job_instance.__run__
        if not inspect.iscoroutine(returned):
            return returned  # a decorator has run it to its end
        if run is not None:
            return run.complete(returned)
        return complete(returned, current_app().run_coroutine)

    job_instance.perform = completing


def refuse_coroutine(returned: object) -> None:
    """Refuse what a plain ``perform`` returned if nobody would await it.

    Raises:
        TypeError: it is a coroutine; the job would count as done.
    """
    if inspect.iscoroutine(returned):
        returned.close()
        raise TypeError(
            f"perform returned a coroutine, {returned.__qualname__}(), which nobody awaits: "
            "write async def perform, and await it there"
        )


def complete(
    coroutine: Coroutine[Any, Any, Any],
    run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any] | None = None,
) -> Any:
    """Run a coroutine to its end in an event loop of its own; its result.

    Args:
        coroutine: of a job.
        run_coroutine: does so where no loop runs; ``asyncio.run``, if None.

    Raises:
        BaseException: what the coroutine raised.
    """
    # Slow to import, and most jobs are not async.
    import asyncio  # noqa: PLC0415
    from concurrent.futures import Future  # noqa: PLC0415

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return (run_coroutine or asyncio.run)(coroutine)
    # Called by a coroutine, an async test for one: its thread cannot run a second loop.
    ended: Future[Any] = Future()

    def run() -> None:
        try:
            ended.set_result(asyncio.run(coroutine))
        except BaseException as error:  # noqa: BLE001 - it is the caller's, whatever it is
            ended.set_exception(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="jobd-inline", daemon=True)
    thread.start()
    return ended.result()
