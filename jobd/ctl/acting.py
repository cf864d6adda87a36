"""The commands that act on jobs: on those with these jids, or on all that some filters mean.

A job that runs is left alone by all of them but ``cancel``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import click

from jobd import api
from jobd.api import JobSet, ProcessSet, Queue, Tally, Work, WorkSet
from jobd.ctl.acts import DELETE, KILL, RETRY, Act, When, rescheduling
from jobd.ctl.filters import filter_of, filter_words, filtered
from jobd.ctl.finding import Found, Search, run_of
from jobd.ctl.operator import (
    EX_FAILED,
    Operator,
    agree,
    end,
    everywhere,
    mind_terminal,
    target_of,
)
from jobd.ctl.progress import Progress
from jobd.ctl.typed import moment
from jobd.ctl.words import count_of, cut, safe
from jobd.errors import CannotAct, RedisError

Command = TypeVar("Command", bound=Callable[..., Any])


def _chosen(places: str, default: str | None, command: Command) -> Command:
    """The options that say which jobs: jids, or all of a place that the filters mean."""
    preset = f" ({default})" if default else ""
    for option in (
        filtered,
        click.option("--from", "place", metavar=places, help=f"With --all: where{preset}."),
        click.option(
            "--all",
            "everything",
            is_flag=True,
            help="All of one place, or all that the filters mean.",
        ),
        click.argument("jids", metavar="[JID]...", nargs=-1),
        everywhere,
    ):
        command = option(command)
    return command


_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command()
@partial(_chosen, "schedule|retry|dead", "retry")
@click.pass_obj
def retry(operator: Operator, /, **chosen: Any) -> None:
    """Have jobs run now. Those of schedule before their time, all others as a further try."""
    _act(operator, RETRY, _Chosen(**chosen))


@click.command()
@partial(_chosen, "QUEUE|schedule|retry|dead", None)
@_yes
@click.pass_obj
def delete(operator: Operator, /, **chosen: Any) -> None:
    """Forget jobs that wait or are dead."""
    _act(operator, DELETE, _Chosen(**chosen))


@click.command()
@partial(_chosen, "schedule|retry", "retry")
@_yes
@click.pass_obj
def kill(operator: Operator, /, **chosen: Any) -> None:
    """Move jobs to the dead set. They are not tried again."""
    _act(operator, KILL, _Chosen(**chosen))


@click.command()
@partial(_chosen, "schedule|retry", "schedule")
@click.option("--in", "delay_s", metavar="SECONDS", type=click.FloatRange(min=0), help="From now.")
@click.option("--at", metavar="TIME", help="2026-12-24T18:00Z, or seconds since the epoch.")
@click.pass_obj
def reschedule(
    operator: Operator, /, *, delay_s: float | None, at: str | None, **chosen: Any
) -> None:
    """Give jobs of schedule or retry another time."""
    if (delay_s is None) == (at is None):
        raise click.UsageError("give the new time, by --in or by --at")
    when: When = timedelta(seconds=delay_s or 0) if at is None else moment(at, "--at")
    _act(operator, rescheduling(when), _Chosen(**chosen))


@click.command()
@click.argument("jids", metavar="JID...", nargs=-1, required=True)
@click.option("--now", is_flag=True, help="Kill the worker of one that runs, without grace.")
@everywhere
@_yes
@click.pass_obj
def cancel(operator: Operator, /, *, jids: Sequence[str], now: bool, yes: bool) -> None:
    """End jobs that run, and forget those that wait."""
    if not yes:
        agree(f"cancel {count_of(len(jids), 'job')}{', killing their workers' if now else ''}?")
    outcomes: list[_Outcome] = []
    end_it = _killed if now else _cancelled
    try:
        outcomes.extend(end_it(operator, jid) for jid in dict.fromkeys(jids))
    finally:
        _report(operator, outcomes)
        _note(
            operator, "kill_running" if now else "cancel", [each for each in outcomes if each.done]
        )
    if failed := [safe(f"{each.jid}: {each.text}") for each in outcomes if not each.done]:
        end(EX_FAILED, *failed)


def _killed(operator: Operator, jid: str) -> "_Outcome":
    work = run_of(operator.access, jid)
    process = ProcessSet(access=operator.access).find(work.process) if work else None
    if work is None or process is None or not process.is_server:
        return _cancelled(operator, jid)
    api.kill_run(work, access=operator.access)
    text = f"cancelled, runs on {work.process} and its worker is killed"
    return _Outcome(jid, "running", done=True, text=text)


def _cancelled(operator: Operator, jid: str) -> "_Outcome":
    tell = partial(_Outcome, jid)
    place = api.cancel(jid, access=operator.access)
    if place is not None:
        return tell(place, done=True, text=f"cancelled, was in {place}")
    work = WorkSet(access=operator.access).find(jid)
    if work is not None:
        return tell("running", done=True, text=f"cancelled, runs on {work.process} and is ended")
    text = "found neither waiting nor running: should it turn up, it is not begun"
    return tell(None, done=False, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """Which jobs were meant on the command line."""

    jids: Sequence[str]
    everything: bool
    place: str | None
    yes: bool = False


def _act(operator: Operator, act: Act, chosen: _Chosen) -> None:
    if chosen.everything == bool(chosen.jids):
        raise click.UsageError(f"name the jids of the jobs to {act.verb}, or give --all")
    if not chosen.everything and (operator.wanted or chosen.place):
        raise click.UsageError("--from and filters say which of --all; with jids leave them out")
    is_agreed = chosen.yes or not act.is_destructive
    if chosen.everything:
        place = chosen.place or act.place
        if place is None:
            raise click.UsageError(f"--from: name the queue or set of which to {act.verb} all")
        _act_on_all(operator, act, operator.place(place), is_agreed=is_agreed)
    else:
        _act_on_each(operator, act, chosen.jids, is_agreed=is_agreed)


# All


def _act_on_all(operator: Operator, act: Act, place: JobSet | Queue, *, is_agreed: bool) -> None:
    wanted, words = filter_of(operator), filter_words(operator)
    size = place.size
    name = safe(place.name)
    if not is_agreed:
        agree(f"{act.verb} all jobs of {name}{words}? It holds {count_of(size, 'job')}.")
    with Progress(act.doing, act.done, size, is_silent=operator.as_json) as progress:
        try:
            tally = act.on_all(place, wanted, progress)
        except CannotAct as error:
            raise click.UsageError(f"--from {name}: {error}") from error
        except (RedisError, KeyboardInterrupt):
            done = count_of(progress.changed, "job")
            click.echo(f"jobctl: {act.done} at least {done}; run it again to go on", err=True)
            raise
        finally:
            detail = {"filters": words.removeprefix(" with ")} if words else {}
            operator.note(f"{act.verb}_all", target_of(place), progress.changed, **detail)
    operator.show(
        {"act": act.verb, "place": place.name, **asdict(tally)}, _told(act, name, tally, words)
    )
    if tally.refused:
        raise SystemExit(EX_FAILED)


def _told(act: Act, place: str, tally: Tally, words: str) -> str:
    if not tally.total:
        return f"{place} is empty"
    if not tally.matched:
        return f"no job of {place}{words}: nothing {act.done}"
    text = f"{act.done} {count_of(tally.done, 'job')} of {place}{words}"
    if tally.refused:
        text += f"\n{count_of(tally.refused, 'job')} could not be {act.done}: {safe(tally.reason)}"
    return text


# Each


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one job.

    Attributes:
        where: it lay; None if it was not found.
    """

    jid: str
    where: str | None
    done: bool
    text: str


def _act_on_each(operator: Operator, act: Act, jids: Sequence[str], *, is_agreed: bool) -> None:
    question = f"{act.verb} {count_of(len(jids), 'job')}"
    if not is_agreed:
        mind_terminal(f"{question}?")
    search = Search(operator.access, jids, is_silent=operator.as_json).look()
    found = [each for jobs in search.found.values() for each in jobs]
    if found and not is_agreed:
        names = ", ".join(f"{each.record.display_class} of {each.place}" for each in found)
        agree(f"{act.verb} {count_of(len(found), 'job')} ({cut(names, 200)})?")
    outcomes: list[_Outcome] = []
    try:
        outcomes.extend(_outcomes(act, search))
    finally:
        # Also where Redis fails in the middle: what was done before is not to be guessed.
        _report(operator, outcomes)
        _note(operator, act.verb, [each for each in outcomes if each.done])
    if failed := [safe(f"{each.jid}: {each.text}") for each in outcomes if not each.done]:
        end(EX_FAILED, *failed)


def _outcomes(act: Act, search: Search) -> Iterator[_Outcome]:
    for jid, jobs in search.found.items():
        yield from (_outcome(act, jid, each) for each in jobs)
        if not jobs:
            yield _Outcome(jid, None, done=False, text=f"not found: {search.looked}")


def _outcome(act: Act, jid: str, found: Found) -> _Outcome:
    tell = partial(_Outcome, jid, found.where)
    if isinstance(found.job, Work):
        return tell(done=False, text=f"not {act.done}: it runs on {found.job.process}")
    try:
        done = act.on_one(found.job)
    except CannotAct as error:
        return tell(done=False, text=f"not {act.done}: {error}")
    if not done:
        return tell(done=False, text=f"not {act.done}: it left {found.place} meanwhile")
    return tell(done=True, text=f"{act.done}, was in {found.place}")


def _report(operator: Operator, outcomes: Sequence[_Outcome]) -> None:
    done = [safe(f"{each.jid}: {each.text}") for each in outcomes if each.done]
    if done or operator.as_json:
        operator.show([asdict(each) for each in outcomes], "\n".join(done))


def _note(operator: Operator, verb: str, done: Sequence[_Outcome]) -> None:
    target = done[0].jid if len(done) == 1 else count_of(len(done), "job")
    places = sorted({each.where for each in done if each.where})
    jobs = [each.jid for each in done[:20]] if len(done) > 1 else []
    operator.note(verb, target, len(done), places=places, **({"jobs": jobs} if jobs else {}))
