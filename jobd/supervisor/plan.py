"""What a master is to do, as values and callables that `jobd.boot` puts together."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

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


class Wear(msgspec.Struct, frozen=True, kw_only=True):
    """When a worker is replaced though nothing is wrong with it; None: never."""

    max_jobs: int | None = None
    max_memory_bytes: int | None = None
    max_age_s: float | None = None


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """What the children of one configuration do, and how many workers there are.

    Attributes:
        number: counts configurations and rolls, from 1.
        groups: how many workers each group has, by its name.
        run_worker: called in each worker after the fork; returns its exit status.
        run_poller: the same for the poller.
        preload: imports the application in a mold, which then forks the workers, and returns 0, or
            the mold's exit status; None if each worker imports it.
        timeout_s: that running jobs get when the instance stops; infinite if they get all theirs.
        boot_timeout_s: after which a child that is not ready is killed.
        hung_after_s: after which a worker that runs no job and shows no sign of life is killed;
            None: never.
        wear: when a worker is replaced though nothing is wrong with it.
    """

    number: int = 1
    groups: Mapping[str, int]
    run_worker: Callable[[Child], int]
    run_poller: Callable[[Child], int]
    preload: Callable[[Child], int] | None = None
    timeout_s: float = 25.0
    boot_timeout_s: float = 60.0
    hung_after_s: float | None = None
    wear: Wear = Wear()

    @property
    def workers(self) -> int:
        """Of all groups."""
        return sum(self.groups.values())


class Renewed(msgspec.Struct, frozen=True):
    """A configuration that was read again and found good.

    Attributes:
        generation: what holds from now on.
        changed: what is different, in words; empty if nothing is.
        must_roll: whether workers have to be replaced.
        is_same: whether the poller may go on.
    """

    generation: Generation
    changed: str
    must_roll: bool
    is_same: bool = False


class Renewal(Protocol):
    """How a configuration is read again: tried in a child first, and then taken over."""

    def prepare(self) -> None:
        """In the master, before the child is forked."""
        ...

    def attempt(self, child: Child) -> int:
        """In the child: read, check and import everything; says READY, or why not."""
        ...

    def outcome(self, number: int) -> Renewed:
        """In the master, after READY: what was read, as the generation of that number."""
        ...


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the master needs to know.

    Attributes:
        identity: of the instance; each child is told.
        version: for the title, as is ``tag``.
        generation: to begin with.
        renewal: reads the configuration again; without one there is no reload.
        poller_silent_s: after which a poller that shows no sign of life is killed.
        min_uptime_s: that a new worker has to be ready before it takes the place of an old one.
        pidfile: locked, with the pid inside.
        lock: a second such file, e.g. in the state directory of an embedded store.
        reopen_logs: called on USR1.
        on_ready: called once, when the instance is ready.
    """

    identity: str
    version: str
    tag: str = ""
    generation: Generation
    renewal: Renewal | None = None
    poller_silent_s: float = 30.0
    min_uptime_s: float = 2.0
    store: StoreProcess | None = None
    pidfile: Path | None = None
    lock: Path | None = None
    reopen_logs: Callable[[], None] = _nothing
    on_ready: Callable[[], None] = _nothing
