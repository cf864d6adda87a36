"""The commands that change what is in Redis: push and clear."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click

from jobd.api import SET_NAMES, JobSet, Queue, Stats
from jobd.client import Client
from jobd.ctl.operator import EX_FAILED, Operator, ask, end, everywhere
from jobd.ctl.typed import arguments, moment
from jobd.store import Store


@click.command()
@everywhere
@click.argument("name")
@click.argument("args", metavar="[ARGS-JSON]", default="[]")
@click.option("--queue", metavar="QUEUE", default="default", help="Where it waits (default).")
@click.option("--in", "delay_s", metavar="SECONDS", type=click.FloatRange(min=0), help="Later.")
@click.option("--at", metavar="TIME", help="2026-12-24T18:00Z, or seconds since the epoch.")
@click.pass_obj
def push(
    operator: Operator, *, name: str, args: str, queue: str, delay_s: float | None, at: str | None
) -> None:
    """Push a job by its NAME, with arguments as a JSON array: push Echo '["hello", 1]'."""
    if delay_s is not None and at is not None:
        raise click.UsageError("--in and --at: give one of them")
    item: dict[str, Any] = {"class": name, "args": arguments(args), "queue": queue}
    if at is not None:
        item["at"] = moment(at)
    elif delay_s is not None:
        item["at"] = timedelta(seconds=delay_s)
    store = Store(operator.redis, operator.keys)
    jid = Client(lambda: store, wire=operator.settings.wire).push(item)
    operator.show({"jid": jid}, str(jid))


@click.command()
@everywhere
@click.argument("place", metavar="[QUEUE|schedule|retry|dead]", required=False)
@click.option("--all", "everything", is_flag=True, help="All queues and all three sets.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def clear(operator: Operator, *, place: str | None, everything: bool, yes: bool) -> None:
    """Delete all jobs of a queue or a set; running jobs are not touched."""
    if everything == bool(place):
        raise click.UsageError("name one queue or set to clear, or give --all")
    places: Sequence[Queue | JobSet] = (
        _all_places(operator) if everything else [operator.jobs(str(place))]
    )
    for each in places:
        if isinstance(each, Queue) and not everything and not each.is_known:
            end(EX_FAILED, f"there is no queue {each.name}; jobctl queues lists them")
    what = "everything" if everything else str(place)
    if not yes:
        ask(f"delete {sum(each.size for each in places):,} jobs of {what}?")
    cleared = {each.name: each.clear() for each in places}
    operator.show({"cleared": cleared}, f"{sum(cleared.values()):,} jobs deleted from {what}")


def _all_places(operator: Operator) -> list[Queue | JobSet]:
    found = Stats(access=operator.access).queues()
    return [operator.jobs(name) for name in (*(queue.name for queue in found), *SET_NAMES)]
