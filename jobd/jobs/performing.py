"""Performing a job: what a run is given, and the innermost call of the server's middleware."""

from collections.abc import Coroutine
from typing import Any, Protocol

from jobd.jobs.callbacks import Callbacks
from jobd.jobs.completing import complete_each, refuse_coroutine
from jobd.jobs.iterating import Progress
from jobd.jobs.returning import remember
from jobd.payload import Payload


class Run(Protocol):
    """What a worker gives to a job that it runs."""

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled since it began."""
        ...

    @property
    def progress(self) -> Progress | None:
        """Where an iterable job keeps how far it has come; None: nowhere."""
        ...

    def complete(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Have what an ``async def perform`` returned run to its end; its result."""
        ...


def perform(job_instance: Any, payload: Payload) -> None:
    """Call ``perform`` with the arguments of a payload: the innermost of the server's chain."""
    if job_instance.__is_async__:
        complete_each(job_instance)  # the innermost: all that is around it sees it end
    if "result_ttl" in payload:
        remember(job_instance)
    callbacks: Callbacks | None = job_instance.__callbacks__
    if callbacks is None:
        returned = job_instance.perform(*payload["args"])
        if returned is not None:
            refuse_coroutine(returned)
    else:
        callbacks.run(job_instance, payload["args"])
