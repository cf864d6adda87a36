"""What takes part: a job system with all its settings, as data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

Ability: TypeAlias = Literal["run", "wait", "push", "bulk", "later"]
Kind: TypeAlias = Literal["jobd", "peer", "sidekiq", "floor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """How a side is started for one measurement.

    Attributes:
        workers: processes that run jobs, in each instance.
        queues: they are called q0, q1 and so on, and are served without preference.
        instances: how many times the side's command is started.
        job: that will be run; only a side without a queue has to know.
    """

    workers: int = 2
    queues: int = 1
    instances: int = 1
    job: str = "Noop"

    def queue_names(self) -> list[str]:
        """Of all queues."""
        return [f"q{number}" for number in range(self.queues)]


Command: TypeAlias = Callable[[Path, Deployment], list[list[str]]]


def _no_files(_: Deployment) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One contestant.

    Attributes:
        name: as in tables and for ``--only``.
        section: of ``peers.txt``, whose environment it runs in; None is jobd's own.
        settings: what differs from its defaults, in one line of the report.
        is_safe: a job is not lost by a kill -9 of the process that runs it.
        pace: jobs a second that it may reach; says how many jobs a measurement needs, no more.
        command: what to start, from the folder of the environment's programs; a list for each
            process.
        app: module in ``apps/`` that pushes.
        filler: module that fills queues, if another one writes the same bytes more quickly.
        files: written into the working directory before the start.
        env: further environment variables.
        can: what it is able to do at all; "wait" is to be idle without asking all the time.
        most_queues: that one worker serves; None for any number.
        is_variant: another side in another setting; takes part where the setting matters.
        is_quick: part of ``--quick``.
        is_scaled: part of the cases that look at growth: of each system at most one.
    """

    name: str
    kind: Kind
    settings: str
    is_safe: bool
    pace: int
    command: Command
    app: str
    filler: str | None = None
    section: str | None = None
    files: Callable[[Deployment], Mapping[str, str]] = _no_files
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    can: frozenset[Ability] = frozenset({"run", "wait", "push", "bulk", "later"})
    most_queues: int | None = None
    is_variant: bool = False
    is_quick: bool = True
    is_scaled: bool = False
