"""The commands that only look: the whole at a glance, the queues, the jobs."""

from dataclasses import asdict

import click

from jobd.api import ProcessSet, Stats
from jobd.ctl.operator import Operator, everywhere
from jobd.ctl.tables import job_answer, job_table, process_table, queue_table


@click.command()
@everywhere
@click.pass_obj
def status(operator: Operator) -> None:
    """The server, the queues, and the processes that work on them."""
    stats = Stats(access=operator.access)
    server, totals, queues = stats.server(), stats.totals(), stats.queues()
    processes = ProcessSet(access=operator.access).all()
    url = operator.settings.redis.masked_url
    answer = {
        "redis": {"url": url, **asdict(server)},
        "totals": asdict(totals),
        "queues": [asdict(queue) for queue in queues],
        "processes": [process.as_dict() for process in processes],
    }
    counts = "  ".join(f"{name} {count:,}" for name, count in asdict(totals).items())
    text = (
        f"{url}  ({server.kind} {server.version}, database {server.database})\n{counts}\n\n"
        f"{queue_table(queues)}\n\n{process_table(processes)}"
    )
    operator.show(answer, text)


@click.command()
@everywhere
@click.pass_obj
def queues(operator: Operator) -> None:
    """Every queue with its size and the age of the job that runs next."""
    found = Stats(access=operator.access).queues()
    operator.show([asdict(queue) for queue in found], queue_table(found))


@click.command()
@everywhere
@click.argument("place", metavar="QUEUE|schedule|retry|dead")
@click.option("--page", metavar="N", type=click.IntRange(min=1), default=1, help="From 1.")
@click.option("--size", metavar="N", type=click.IntRange(1, 1000), default=25, help="Jobs a page.")
@click.pass_obj
def jobs(operator: Operator, *, place: str, page: int, size: int) -> None:
    """Jobs of a queue or a set, those that run next first."""
    found = operator.jobs(place)
    entries = found.page(page, size)
    first = (page - 1) * size + 1
    count = found.size
    text = job_table(entries) if entries else "no jobs here"
    if entries and count > len(entries):
        text += f"\n\n{first:,} to {first + len(entries) - 1:,} of {count:,}; see --page"
    operator.show([job_answer(entry) for entry in entries], text)
