"""Jobs that tests of a processor run."""

import os
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from jobd.jobs import Job, RetryIn

NOW_S = 1_800_000_000


class BenchEcho(Job):
    """Keeps what it was called with."""

    ran: ClassVar[list[tuple[Any, ...]]] = []

    def perform(self, *args: Any) -> None:
        self.ran.append((self.jid, self.queue, *args))


class BenchFail(Job):
    """Raises what its class variable says."""

    error: ClassVar[Callable[[], BaseException]] = lambda: ValueError("as told")

    def perform(self, *_args: Any) -> NoReturn:
        raise BenchFail.error()


class BenchAdvised(BenchFail):
    """Has hooks, which do what the test says."""

    on_retry: ClassVar[Callable[..., Any]] = lambda count, error, payload: None
    on_exhausted: ClassVar[Callable[..., Any]] = lambda payload, error: None

    @classmethod
    def retry_in(cls, count: int, error: BaseException, payload: dict[str, Any]) -> RetryIn:
        advice: RetryIn = BenchAdvised.on_retry(count, error, payload)
        return advice

    @classmethod
    def retries_exhausted(cls, payload: dict[str, Any], error: BaseException) -> Any:
        return BenchAdvised.on_exhausted(payload, error)


class BenchModest(BenchFail):
    """Has an option of its own."""

    retry = 0


class BenchBroken(Job):
    """Cannot even be made."""

    def __init__(self) -> None:
        raise RuntimeError("in __init__")

    def perform(self) -> None:
        pass


class BenchFork(Job):
    """Forks, and lets its child return."""

    statuses: ClassVar[list[int]] = []

    def perform(self) -> None:
        pid = os.fork()  # noqa: TID251 - what this job is for
        if pid:
            self.statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


class OddAttributes(Exception):
    @property
    def __cause__(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no cause")

    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")
