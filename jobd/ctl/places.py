"""The commands to queues and sets as a whole: stop taking from them, go on, empty them."""

from collections.abc import Sequence

import click

from jobd.api import SET_NAMES, JobSet, ProcessSet, Queue, set_of
from jobd.ctl.completion import place_names, queue_names
from jobd.ctl.operator import EX_FAILED, Operator, agree, end, everywhere, target_of
from jobd.ctl.words import count_of, safe

_names = click.argument(
    "names", metavar="QUEUE...", nargs=-1, required=True, shell_complete=queue_names
)


@click.command()
@everywhere
@_names
@click.pass_obj
def pause(operator: Operator, *, names: Sequence[str]) -> None:
    """Have nobody take jobs from queues. Pushes go on."""
    _switch(operator, names, is_pause=True)


@click.command()
@everywhere
@_names
@click.pass_obj
def unpause(operator: Operator, *, names: Sequence[str]) -> None:
    """Have the jobs of paused queues run again."""
    _switch(operator, names, is_pause=False)


def _switch(operator: Operator, names: Sequence[str], *, is_pause: bool) -> None:
    queues = [Queue(name, access=operator.access) for name in names]
    unknown = [queue.name for queue in queues if not _is_known(operator, queue)]
    if unknown:
        # Before any of them: a name that is wrong may mean that all are.
        end(EX_FAILED, *(operator.no_queue(name) for name in unknown))
    changed = {queue.name: queue.pause() if is_pause else queue.unpause() for queue in queues}
    for name, is_new in changed.items():
        operator.note("pause" if is_pause else "unpause", f"queue {name}", int(is_new))
    state = "paused" if is_pause else "not paused"
    lines = [
        f"{safe(name)} is {state}{'' if is_new else ', as it was'}"
        for name, is_new in changed.items()
    ]
    operator.show({"paused": is_pause, "changed": changed}, "\n".join(lines))


def _is_known(operator: Operator, queue: Queue) -> bool:
    """A queue is there from its first push on; what serves it may be there before."""
    if queue.is_known or queue.is_paused:
        return True
    return any(queue.name in process.queues for process in ProcessSet(access=operator.access))


@click.command()
@everywhere
@click.argument(
    "place",
    metavar="[QUEUE|schedule|retry|dead]",
    required=False,
    shell_complete=place_names,
)
@click.option("--all", "everything", is_flag=True, help="All queues and all three sets.")
@click.option("--keep", is_flag=True, help="For a day, in which jobctl trash puts them back.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def clear(
    operator: Operator, *, place: str | None, everything: bool, keep: bool, yes: bool
) -> None:
    """Delete all jobs of a queue or a set. Those that run are not touched."""
    if everything == bool(place):
        raise click.UsageError("name one queue or set to clear, or give --all")
    places = _all_places(operator) if everything else [operator.place(str(place))]
    what = "everything" if everything else safe(str(place))
    if not yes:
        agree(f"delete {count_of(sum(each.size for each in places), 'job')} of {what}?")
    cleared: dict[str, int] = {}
    for each in places:
        cleared[each.name] = each.purge() if keep else each.clear()
        operator.note("clear", target_of(each), cleared[each.name])
    count = count_of(sum(cleared.values()), "job")
    kept = "; jobctl trash has them for a day" if keep and any(cleared.values()) else ""
    operator.show({"cleared": cleared}, f"{count} deleted from {what}{kept}")


def _all_places(operator: Operator) -> list[Queue | JobSet]:
    sets = [set_of(name, access=operator.access) for name in SET_NAMES]
    return [*Queue.all(access=operator.access), *sets]
