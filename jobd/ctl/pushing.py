"""The command that pushes a job by its name, without the application that defines it."""

from datetime import timedelta
from typing import Any

import click

from jobd.client import Client
from jobd.ctl.operator import Operator, everywhere
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
    """Push a job by its NAME. The arguments are a JSON array: push Echo '["hello", 1]'."""
    if delay_s is not None and at is not None:
        raise click.UsageError("--in and --at: give one of them")
    item: dict[str, Any] = {"class": name, "args": arguments(args), "queue": queue}
    if at is not None:
        item["at"] = moment(at, "--at")
    elif delay_s is not None:
        item["at"] = timedelta(seconds=delay_s)
    store = Store(operator.redis, operator.keys)
    jid = Client(lambda: store, wire=operator.settings.wire).push(item)
    operator.show({"jid": jid}, str(jid))
