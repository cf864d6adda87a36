"""The commands that only look: the whole at a glance, the queues, the jobs, one job."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import click

from jobd.api import JobRecord, JobSet, ProcessSet, Queue, Stats
from jobd.ctl.completion import place_names
from jobd.ctl.filters import filter_of, filter_words, filtered
from jobd.ctl.finding import Search
from jobd.ctl.job_tables import job_answer, job_table, sheet
from jobd.ctl.operator import EX_FAILED, Operator, end, everywhere
from jobd.ctl.progress import Progress
from jobd.ctl.summaries import process_table, queue_table
from jobd.ctl.words import count_of, safe

_EMPTY: Final = {
    "schedule": "no jobs are scheduled",
    "retry": "no jobs wait to be retried",
    "dead": "no jobs are dead",
}


@click.command()
@everywhere
@click.pass_obj
def status(operator: Operator) -> None:
    """Show the server, the queues, the processes."""
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
    """List the queues with size and latency. That is the age of the job that runs next."""
    found = Stats(access=operator.access).queues()
    operator.show([asdict(queue) for queue in found], queue_table(found))


@click.command()
@everywhere
@click.argument("place", metavar="QUEUE|schedule|retry|dead", shell_complete=place_names)
@click.option("--page", metavar="N", type=click.IntRange(min=1), default=1, help="From 1.")
@click.option("--size", metavar="N", type=click.IntRange(1, 1000), default=25, help="Jobs a page.")
@filtered
@click.pass_obj
def jobs(operator: Operator, *, place: str, page: int, size: int) -> None:
    """List jobs of a queue or a set. What runs next comes first, what died last, too."""
    where = operator.place(place)
    found: Sequence[JobRecord]
    if operator.wanted:
        found = list(islice(_matching(operator, where), (page - 1) * size, page * size))
    else:
        found = where.page(page, size)
    text = job_table(found) if found else _nothing(operator, where, page)
    if found and not operator.wanted:
        text += _part(where.size, (page - 1) * size, len(found))
    elif len(found) == size:
        text += f"\n\nthere may be more: --page {page + 1}"
    operator.show([job.as_dict() for job in found], text)


def _matching(operator: Operator, where: JobSet | Queue) -> Iterator[JobRecord]:
    wanted = filter_of(operator)
    progress = Progress("looking", "found", where.size, is_silent=operator.as_json)
    found = 0
    with progress:
        for seen, job in enumerate(where, 1):
            progress(seen, found)
            if wanted.matches(job):
                found += 1
                yield job


def _nothing(operator: Operator, where: JobSet | Queue, page: int) -> str:
    name = safe(where.name)
    if not where.size:
        return (
            _EMPTY.get(where.name, "") if isinstance(where, JobSet) else f"no jobs wait in {name}"
        )
    if operator.wanted:
        return f"no {'more ' if page > 1 else ''}jobs of {name}{filter_words(operator)}"
    return f"{name} has {count_of(where.size, 'job')}: nothing is on page {page:,}"


def _part(count: int, before: int, shown: int) -> str:
    if count <= shown:
        return ""
    return f"\n\n{before + 1:,} to {before + shown:,} of {count:,}; see --page"


@click.command()
@everywhere
@click.argument("jids", metavar="JID...", nargs=-1, required=True)
@click.pass_obj
def show(operator: Operator, *, jids: Sequence[str]) -> None:
    """Show all that is known of jobs. They may be anywhere."""
    search = Search(operator.access, jids, is_silent=operator.as_json).look()
    now = datetime.fromtimestamp(operator.access.now_ms() / 1000, UTC)
    most_tries = operator.settings.max_retries
    found = [each for jobs in search.found.values() for each in jobs]
    if found or operator.as_json:
        text = "\n\n".join(sheet(each, now, most_tries) for each in found)
        operator.show([job_answer(each) for each in found], text)
    if search.missing:
        end(EX_FAILED, *(f"no job {safe(jid)}: {search.looked}" for jid in search.missing))
