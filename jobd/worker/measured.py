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
from jobd.tallies import TallyWriter, row_of
from jobd.worker.attention import Attention


class Measured:
    """The server's middleware, and a count of what passes through it.

    Args:
        call: takes the job and its payload.
        tally: where it is counted.
        by_queue: keep the queues of a class apart, which costs a tenth of a microsecond.
        attention: knows whether a job was interrupted, or has made that up.
        clock: for how long it takes.
    """

    def __init__(
        self,
        call: Callable[[Job, dict[str, Any]], object],
        tally: TallyWriter,
        *,
        by_queue: bool = False,
        attention: Attention,
        clock: Clock,
    ) -> None:
        self._call = call
        self._tally = tally
        self._by_queue = by_queue
        self._attention = attention
        self._monotonic = clock.monotonic
        self._is_ours = True
        os.register_at_fork(after_in_child=self._disown)

    def __call__(self, job: Job, payload: dict[str, Any]) -> None:
        """Run the job."""
        name = str(payload.get("wrapped") or payload["class"])
        if self._by_queue:
            name = row_of(name, str(payload.get("queue", "")))
        began = self._monotonic()
        try:
            self._call(job, payload)
        except BaseException as error:
            is_interrupted = self._attention.was_interrupted and Stop.behind(error)
            if self._is_ours and not is_interrupted:
                self._tally.count_failure(name)
            raise
        if self._is_ours:
            self._tally.count(name, int((self._monotonic() - began) * 1000))

    def _disown(self) -> None:
        # A job forked: should its child come back to here, the parent counts it.
        self._is_ours = False
