"""Keeps the embedded store running, where there is one; it is a child that is not forked here.

Not for what is in the store: the master reaches it by no path.
"""

import random

from jobd import log, signals
from jobd.clock import Clock
from jobd.errors import JobdError
from jobd.supervisor.brake import Brake
from jobd.supervisor.plan import StoreProcess


class StoreKeeper:
    """Starts the store, starts it again when it dies, with the brake, and stops it."""

    def __init__(self, store: StoreProcess | None, *, clock: Clock, rng: random.Random) -> None:
        self._store = store
        self._clock = clock
        self._brake = Brake(rng)
        self._started_at = 0.0
        self.due = 0.0

    def start(self) -> None:
        """Start it, if it does not run yet."""
        if self._store is not None and self._store.pid is None:
            self._store.start()
        self._started_at = self._clock.monotonic()

    def restart_if_due(self, now: float) -> None:
        """Start it again when its time has come, also while the instance stops.

        Workers need it to give back their jobs.
        """
        if self._store is None or self._store.pid is not None or self.due > now:
            return
        try:
            self.start()
        except (OSError, JobdError) as error:
            self.due = now + self._brake.delay_s(health_s=None, held_job=False)
            log.event("the embedded store does not start", level="error", reason=str(error))

    def is_it(self, pid: int) -> bool:
        """Whether this is the store's pid."""
        return self._store is not None and self._store.pid == pid

    def died(self, status: int, now: float) -> None:
        """It was reaped."""
        if self._store is not None:
            self._store.mark_dead(status)
        reason = signals.describe_exit(status)
        log.event("the embedded store died", level="error", status=reason)
        self.due = now + self._brake.delay_s(health_s=now - self._started_at, held_job=False)

    def stop(self) -> None:
        """Have it leave, if it runs."""
        if self._store is not None and self._store.pid is not None:
            self._store.stop()
