"""What a processor is given: the rules, the application, and where it shows and hands over."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from jobd.hooks import Hooks
from jobd.jobs import Job, Registry
from jobd.payload import Wire
from jobd.scoreboard import SlotWriter
from jobd.worker.fetch import UnitOfWork
from jobd.worker.title import Title


class Rules(msgspec.Struct, frozen=True):
    """What the configuration says of failed jobs."""

    max_retries: int
    dead_max_jobs: int
    dead_timeout_s: float
    wire: Wire


class Application(msgspec.Struct, frozen=True):
    """The user's side: which jobs there are, and what runs around them.

    Attributes:
        call: the server's middleware around ``perform``: takes the job and its payload.
        keep_result: writes what became of a job with ``result_ttl``: takes its payload and that.
    """

    registry: Registry
    call: Callable[[Job, dict[str, Any]], object]
    hooks: Hooks
    keep_result: Callable[[dict[str, Any], dict[str, Any]], bool]


class Tally(Protocol):
    """Where jobs are counted; a ``TallyWriter``, or one that threads share."""

    def count(self, name: str, elapsed_ms: int) -> None:
        """A job of this class is done."""
        ...

    def count_failure(self, name: str) -> None:
        """A job of this class failed."""
        ...


class HandsOver(Protocol):
    """The way to the loop of this worker; see ``jobd.worker.handing_over``."""

    def wants(self, name: str) -> bool:
        """Whether jobs of this class run there."""
        ...

    def hand_over(self, unit: UnitOfWork, *, is_suspect: bool) -> bool:
        """Have a job run there, or give it back; whether it leaves the company by itself."""
        ...


class Display(msgspec.Struct, frozen=True):
    """Where others see what a processor does: ``jobctl`` and recovery, ``ps``, and the metrics.

    Of the metrics it is as in Sidekiq's lib/sidekiq/metrics/tracking.rb: a name that nobody
    defines is not counted, nor is a run that a stop interrupts, since it runs again.
    """

    slot: SlotWriter
    title: Title
    tally: Tally
