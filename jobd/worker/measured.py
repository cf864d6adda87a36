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
        self._pid = os.getpid()

    def __call__(self, job: Job, payload: dict[str, Any]) -> None:
        """Run the job."""
        name = str(payload.get("wrapped") or payload["class"])
        began = self._monotonic()
        try:
            self._call(job, payload)
        except BaseException as error:
            if not (self._attention.was_interrupted and Stop.behind(error)):
                self._count_failure(name)
            raise
        if os.getpid() == self._pid:  # else the job forked, and its child came back to here
            self._tally.count(name, round((self._monotonic() - began) * 1000))

    def _count_failure(self, name: str) -> None:
        if os.getpid() == self._pid:
            self._tally.count_failure(name)
