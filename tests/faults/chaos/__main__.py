"""The command ``bin/chaos``."""

import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Sequence

import click

from tests.faults.chaos import load as loads
from tests.faults.chaos.books import CRASH, WITH_ANOTHER, Books, balance, read_runs, seconds
from tests.faults.chaos.field import Field
from tests.faults.chaos.plan import KINDS, WITH_SENTINELS, Act, plan
from tests.support import servers

_DRAIN_S = 120.0


@click.command()
@click.option("--minutes", default=20.0, show_default=True)
@click.option("--seed", type=int, help="Of the plan and of the load; drawn and printed if missing.")
@click.option("--instances", default=2, show_default=True)
@click.option("--workers", default=4, show_default=True, help="Of each instance.")
@click.option("--threads", default=2, show_default=True, help="Of every second instance's workers.")
@click.option("--every", default=2.0, show_default=True, help="Mean seconds between two faults.")
@click.option("--rate", default=100.0, show_default=True, help="Jobs pushed a second.")
@click.option("--only", multiple=True, type=click.Choice(list(KINDS)), help="Only such faults.")
@click.option("--fsync", default="always", type=click.Choice(["always", "everysec"]))
@click.option("--sentinels", is_flag=True, help="Two servers, which fail over; no bad lines then.")
@click.option("--plan", "is_plan", is_flag=True, help="Print the plan and do nothing.")
def main(  # noqa: PLR0913, PLR0917 - as many as options
    minutes: float,
    seed: int | None,
    instances: int,
    workers: int,
    threads: int,
    every: float,
    rate: float,
    only: tuple[str, ...],
    fsync: str,
    sentinels: bool,
    is_plan: bool,
) -> None:
    """Mix faults at random under load, and fail if a promise broke.

    The same seed, with the same options, replays the same plan.
    """
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    kinds = only or (WITH_SENTINELS if sentinels else ())
    acts = plan(seed, 60 * minutes, every_s=every, instances=instances, only=kinds)
    click.echo(f"seed {seed}: {len(acts)} faults in {minutes:g} minutes")
    if is_plan:
        for act in acts:
            click.echo(str(act))
        return
    field = Field(
        instances=instances,
        workers=workers,
        threads=threads,
        fsync=fsync,
        has_sentinels=sentinels,
    )
    load = loads.Load(
        lambda: servers.connect(field.server.url(), socket_timeout=5),
        seed=seed,
        rate=rate,
        make=loads.plain if only else loads.mixed,
        replicas=int(sentinels),
    )
    try:
        wrong = _run(field, load, acts)
    finally:
        field.close()
    click.echo(f"record and logs: {field.directory}")
    raise SystemExit(1 if wrong else 0)


def _run(field: Field, load: loads.Load, acts: Sequence[Act]) -> list[str]:
    load.start()
    done = _strike(field, acts)
    load.stop()
    began = time.monotonic()
    left = field.drain(_DRAIN_S)
    drained_s = time.monotonic() - began
    wrong = field.unexpected + field.stop()
    with contextlib.closing(field.raw()) as raw:
        dead = raw.zrange("dead", 0, -1)
        register = raw.smembers("jobd:privates")
        privates = list(raw.scan_iter("jobd:private:*"))
    books = balance(load.pushed, read_runs(field.record), field.blows, dead)
    wrong += _broken(books, load.pushed)
    wrong += [f"left in {name}: {count}" for name, count in left.items()]
    wrong += [f"a private list is left: {key!r}" for key in (*privates, *register)]
    _report(books, load.pushed, done, drained_s)
    click.echo(f"descriptors at the end: {field.descriptors}")
    for problem in wrong:
        click.echo(f"BROKEN: {problem}")
    return wrong


def _strike(field: Field, acts: Sequence[Act]) -> Counter[str]:
    began, done = time.monotonic(), Counter[str]()
    for act in acts:
        time.sleep(max(0.0, act.at_s - (time.monotonic() - began)))
        field.strike(act)
        done[act.kind] += 1
    return done


def _broken(books: Books, pushed: loads.Pushed) -> list[str]:
    checks = {
        "lost": books.lost,
        "run again for no reason": books.odd,
        "begun before its time": books.early,
        "begun more than 75 s late": books.late,
    }
    wrong = [f"{len(jids)} jobs {what}: {jids[:5]}" for what, jids in checks.items() if jids]
    most = max(books.starts_of_deadly, default=0)
    return wrong + ([f"a job that kills was started {most} times"] if most > 3 else [])


def _report(books: Books, pushed: loads.Pushed, done: Counter[str], drained_s: float) -> None:
    width = len(WITH_ANOTHER)
    click.echo(f"{'fault':{width}}  times  runs hit  started again after (s, median / worst)")
    done[CRASH] = books.starts_of_deadly.total()
    for name in (*KINDS, CRASH):
        if done[name]:
            again = seconds(books.again_s[name])
            click.echo(f"{name:{width}}  {done[name]:5}  {books.interrupted[name]:8}  {again}")
    click.echo(f"{WITH_ANOTHER:{width}}  {'':15}  {seconds(books.again_s[WITH_ANOTHER])}")
    click.echo(
        f"{books.accepted} jobs accepted, {books.unsure} pushes without an answer, "
        f"{books.runs} runs; {len(books.lost)} lost, {books.doubled.total()} ran to their end and "
        f"again {dict(books.doubled)}, {len(books.odd)} ran again for no reason, "
        f"{len(books.buried)} buried after three kills, "
        f"{len(books.early)} early, {len(books.late)} late"
    )
    if pushed.alone:
        click.echo(
            f"not known to be replicated: {len(pushed.alone)}, "
            f"of which {len(books.lost_alone)} are lost"
        )
    click.echo(f"from push to start (s, median / worst): {seconds(books.waits_s)}")
    click.echo(
        f"drained in {drained_s:.1f} s; load of the machine {os.getloadavg()[0]:.1f} "
        f"on {os.cpu_count()} processors"
    )


if __name__ == "__main__":
    main()
