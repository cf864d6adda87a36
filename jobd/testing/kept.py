"""The pushes that a test keeps instead of sending them to Redis, and the ways to look at them.

Source: Sidekiq's ``Sidekiq::Queues``, in lib/sidekiq/testing.rb.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from jobd.jobs import FunctionJob, Job, registry
from jobd.jobs.parameters import Parameters
from jobd.payload import Payload, decode

JobLike: TypeAlias = type[Job] | FunctionJob[..., Any]
Selects: TypeAlias = Callable[[Payload], bool]


class Kept(NamedTuple):
    """One push.

    Attributes:
        raw: the payload, as Redis would have it.
        at_s: epoch seconds, or None if it is not scheduled.
    """

    raw: bytes
    at_s: float | None

    def payload(self) -> Payload:
        """A new one at each call; ``at`` is in it if the job is scheduled."""
        payload = decode(self.raw)
        return payload if self.at_s is None else {**payload, "at": self.at_s}


class KeptJobs:
    """A ``jobd.client.Writer`` that keeps what is pushed, in that order. Threads may share it."""

    def __init__(self) -> None:
        self._jobs: list[Kept] = []  # guarded by _lock
        self._late: list[Callable[[], bool]] = []  # guarded by _lock
        self._lock = threading.Lock()

    def push(self, batches: Mapping[str, list[bytes]]) -> None:
        """Keep jobs for their queues."""
        self._keep([Kept(raw, None) for raws in batches.values() for raw in raws])

    def schedule(self, entries: list[tuple[float, bytes]]) -> None:
        """Keep jobs for their time."""
        self._keep([Kept(raw, at_s) for at_s, raw in entries])

    def expect(self, late: Callable[[], bool]) -> None:
        """Ask for a push that is late, such as one that waits for a commit, before each look.

        Args:
            late: pushes if it is time; False to be asked again.
        """
        with self._lock:
            self._late.append(late)

    def payloads(self) -> list[Payload]:
        """All of them, in the order of the pushes."""
        self._ask_who_is_late()
        with self._lock:
            return [kept.payload() for kept in self._jobs]

    def take(self, selects: Selects, until_s: float | None = None) -> Kept | None:
        """Take out the job that a server would run first; None if there is none.

        Args:
            selects: which to look at.
            until_s: epoch seconds; what is scheduled for later stays.
        """
        self._ask_who_is_late()
        with self._lock:
            ready = [
                (kept.at_s or 0.0, index)
                for index, kept in enumerate(self._jobs)
                if (until_s is None or (kept.at_s or 0.0) <= until_s) and selects(kept.payload())
            ]
            return self._jobs.pop(min(ready)[1]) if ready else None

    def clear(self, selects: Selects) -> None:
        """Forget those that are selected."""
        self._ask_who_is_late()
        with self._lock:
            self._jobs = [kept for kept in self._jobs if not selects(kept.payload())]

    def _keep(self, jobs: list[Kept]) -> None:
        self._ask_who_is_late()  # they were pushed before
        with self._lock:
            self._jobs += jobs

    def _ask_who_is_late(self) -> None:
        with self._lock:
            asked, self._late = self._late, []
        waiting = [late for late in asked if not late()]
        with self._lock:
            self._late = waiting + self._late


class Queues(Mapping[str, list[Payload]]):
    """The kept payloads by the name of their queue, scheduled ones with ``at``.

    A queue that has none is an empty list. Each look makes new lists.
    """

    def __init__(self, kept: Callable[[], KeptJobs]) -> None:
        self._kept = kept

    def __getitem__(self, name: str) -> list[Payload]:
        return [payload for payload in self._kept().payloads() if payload["queue"] == name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(payload["queue"] for payload in self._kept().payloads()))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def __repr__(self) -> str:
        return f"Queues({dict(self)!r})"


def selector(job: object) -> Selects:
    """Tells which payloads are of a job.

    Args:
        job: a class, a function that is a job, an instance, or a name. ``Job`` means all, and a
            class without ``perform`` those of the classes that derive from it.
    """
    if job is Job:
        return lambda _: True
    if isinstance(job, str):
        return lambda payload: payload["class"] == job
    kind = job_class(job)
    if Parameters.of(kind) is not None:
        return lambda payload: payload["class"] == kind.wire_name
    return lambda payload: issubclass(registry.find(payload["class"]) or object, kind)


def job_class(job: object) -> type[Job]:
    """The class of a job, however it is given.

    Raises:
        TypeError: it is none.
    """
    kind = job.job_class if isinstance(job, FunctionJob) else job
    kind = kind if isinstance(kind, type) else type(kind)
    if not issubclass(kind, Job):
        raise TypeError(f"{job!r} is no job: pass a Job class, a @job function, or a name")
    return kind
