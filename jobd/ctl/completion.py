"""What Tab offers where a command wants the name of a queue, a set or a process.

It asks Redis, as the command would; where that does not answer, nothing is offered or said.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import click

from jobd.api import SET_NAMES, ProcessSet, Queue
from jobd.ctl.operator import Operator
from jobd.errors import JobdError

Offer: TypeAlias = Callable[[click.Context, click.Parameter, str], list[str]]


def _offering(names: Callable[[Operator], Iterable[str]]) -> Offer:
    def offer(context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        try:
            return sorted(
                name for name in names(context.ensure_object(Operator)) if _fits(name, typed)
            )
        except JobdError:
            return []

    return offer


def _fits(name: str, typed: str) -> bool:
    # A name may hold anything, and what a shell is offered it may take for its own.
    return name.startswith(typed) and name.isprintable()


def _queues(operator: Operator) -> list[str]:
    return [queue.name for queue in Queue.all(access=operator.access)]


queue_names: Final = _offering(_queues)
place_names: Final = _offering(lambda operator: [*_queues(operator), *SET_NAMES])
process_names: Final = _offering(
    lambda operator: ["all", *(each.identity for each in ProcessSet(access=operator.access))]
)
