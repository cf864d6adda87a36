"""What a master is to do, as values and callables that `jobd.boot` puts together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jobd.supervisor.child import Child


class StoreProcess(Protocol):
    """A database server of our own that is started before all children and stopped after them."""

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        ...

    def start(self) -> None:
        """Start it; return when it answers, or soon: the master's loop stands still meanwhile.

        Raises:
            OSError: it cannot be started.
            JobdError: it cannot be started.
        """
        ...

    def stop(self) -> None:
        """Have it leave, and wait for that a few seconds at most."""
        ...

    def mark_dead(self, status: int) -> None:
        """It was reaped with that wait status; ``pid`` is None from now on."""
        ...


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the master needs to know.

    Attributes:
        identity: of the instance; each child is told.
        version: for the title, as is ``tag``.
        workers: their slots are 1 to this; the poller's is 0.
        run_worker: called in each worker after the fork; returns its exit status.
        run_poller: the same for the poller.
        preload: imports the application in a mold, which then forks the workers, and returns 0, or
            the mold's exit status; None if each worker imports it.
        timeout_s: that running jobs get when the instance stops.
        boot_timeout_s: after which a child that is not ready is killed.
        poller_silent_s: after which a poller that shows no sign of life is killed.
        hung_after_s: the same for a worker that runs no job; None: never.
        pidfile: locked, with the pid inside.
        lock: a second such file, e.g. in the state directory of an embedded store.
        reopen_logs: called on USR1.
        on_ready: called once, when the instance is ready.
    """

    identity: str
    version: str
    tag: str = ""
    workers: int
    run_worker: Callable[[Child], int]
    run_poller: Callable[[Child], int]
    preload: Callable[[Child], int] | None = None
    timeout_s: float = 25.0
    boot_timeout_s: float = 60.0
    poller_silent_s: float = 30.0
    hung_after_s: float | None = None
    store: StoreProcess | None = None
    pidfile: Path | None = None
    lock: Path | None = None
    reopen_logs: Callable[[], None] = _nothing
    on_ready: Callable[[], None] = _nothing
