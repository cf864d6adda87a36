"""What each class of jobs costs, noted around all of the application's middleware.

Source: Sidekiq's lib/sidekiq/metrics/tracking.rb, which is the outermost middleware too. So a name
that nobody defines is not measured; nor is a run that a stop interrupts, since it runs again.
"""

import os
from collections.abc import Callable
from typing import Any

from jobd.clock import Clock
from jobd.errors import Stop
from jobd.jobs import Job
from jobd.tallies import TallyWriter
from jobd.worker.attention import Attention


class Measured:
    """The server's middleware, and a count of what passes through it.

    Args:
        call: takes the job and its payload.
        tally: where it is counted.
        attention: knows whether a job was interrupted, or has made that up.
        clock: for how long it takes.
    """

    def __init__(
        self,
        call: Callable[[Job, dict[str, Any]], object],
        tally: TallyWriter,
        *,
        attention: Attention,
        clock: Clock,
    ) -> None:
        self._call = call
        self._tally = tally
        self._attention = attention
        self._monotonic = clock.monotonic
        self._is_ours = True
        os.register_at_fork(after_in_child=self._disown)

    def __call__(self, job: Job, payload: dict[str, Any]) -> None:
        """Run the job."""
        name = payload.get("wrapped") or payload["class"]
        began = self._monotonic()
        try:
            self._call(job, payload)
        except BaseException as error:
            is_interrupted = self._attention.was_interrupted and Stop.behind(error)
            if self._is_ours and not is_interrupted:
                self._tally.count_failure(str(name))
            raise
        if self._is_ours:
            self._tally.count(str(name), int((self._monotonic() - began) * 1000))

    def _disown(self) -> None:
        # A job forked: should its child come back to here, the parent counts it.
        self._is_ours = False
