"""The commands to processes, jobd's and Ruby's: take no more jobs, take some again, leave, dump.

They are done with the next heartbeat, within ten seconds; what a process then tells of itself is
what ``--wait`` waits for.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

import click

from jobd.api import Process, ProcessSet
from jobd.clock import SystemClock
from jobd.ctl.completion import process_names
from jobd.ctl.operator import EX_FAILED, Operator, agree, end, everywhere, seconds
from jobd.ctl.words import count_of, did_you_mean, duration, safe
from jobd.errors import CannotAct, RedisUnavailable

_ASK_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Order:
    """What a process can be told.

    Attributes:
        verb: as it is typed.
        effect: what the process then does, as a part of a sentence.
        send: tells it; raises `CannotAct`.
        is_seen: whether a process, or None if it has left, has done it.
        seen: what it then is.
    """

    verb: str
    effect: str
    send: Callable[[Process], None]
    is_seen: Callable[[Process | None], bool]
    seen: str


_QUIET: Final = _Order(
    "quiet",
    "takes no more jobs",
    Process.quiet,
    lambda process: process is None or process.is_quiet,
    "is quiet",
)
_RESUME: Final = _Order(
    "resume",
    "takes jobs again",
    Process.resume,
    lambda process: process is not None and not process.is_quiet,
    "takes jobs again",
)
_STOP: Final = _Order(
    "stop",
    "finishes its jobs and leaves",
    Process.stop,
    lambda process: process is None,
    "has left",
)
_DUMP: Final = _Order(
    "dump", "writes its stacks to its log", Process.dump, lambda _: True, "was told"
)

whom_argument: Final = click.argument(
    "whom", metavar="[IDENTITY|all]...", nargs=-1, shell_complete=process_names
)
_wait = click.option("--wait", is_flag=True, help="Wait until it is seen.")
_timeout = seconds("--timeout", "timeout_s", 60, help_="With --wait: how long")


@click.command()
@everywhere
@whom_argument
@_wait
@_timeout
@click.pass_obj
def quiet(operator: Operator, *, whom: Sequence[str], wait: bool, timeout_s: float) -> None:
    """Have processes take no more jobs. Those that run go on."""
    _tell(operator, _QUIET, whom, timeout_s if wait else None)


@click.command()
@everywhere
@whom_argument
@_wait
@_timeout
@click.pass_obj
def resume(operator: Operator, *, whom: Sequence[str], wait: bool, timeout_s: float) -> None:
    """Have quiet processes take jobs again."""
    _tell(operator, _RESUME, whom, timeout_s if wait else None)


@click.command()
@everywhere
@whom_argument
@_wait
@_timeout
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def stop(
    operator: Operator, *, whom: Sequence[str], wait: bool, timeout_s: float, yes: bool
) -> None:
    """Have processes finish their jobs and leave. What is not finished in time goes back."""
    _tell(operator, _STOP, whom, timeout_s if wait else None, is_agreed=yes)


@click.command()
@everywhere
@whom_argument
@click.pass_obj
def dump(operator: Operator, *, whom: Sequence[str]) -> None:
    """Have processes log the stacks of workers."""
    _tell(operator, _DUMP, whom, None)


def _tell(
    operator: Operator,
    order: _Order,
    whom: Sequence[str],
    timeout_s: float | None,
    *,
    is_agreed: bool = True,
) -> None:
    processes = meant(ProcessSet(access=operator.access).all(), whom)
    if not is_agreed:
        names = ", ".join(process.identity for process in processes)
        agree(f"{order.verb} {count_of(len(processes), 'process', 'processes')} ({safe(names)})?")
    answers = [_told(order, process) for process in processes]
    for answer in answers:
        operator.note(order.verb, answer.identity, int(answer.done))
    if timeout_s is not None:
        answers = _waited(operator, order, answers, timeout_s)
    if operator.as_json:
        operator.show([asdict(answer) for answer in answers], "")
    else:
        for answer in answers:
            if answer.done:
                click.echo(safe(f"{answer.identity}: {answer.text}"))
    failed = [safe(f"{each.identity}: {each.text}") for each in answers if not each.done]
    if failed:
        end(EX_FAILED, *failed)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of an order.

    Attributes:
        done: it was given and, if somebody waited for it, seen to be carried out.
    """

    identity: str
    done: bool
    text: str


def _told(order: _Order, process: Process) -> _Answer:
    try:
        order.send(process)
    except CannotAct as error:
        return _Answer(process.identity, done=False, text=f"not told: {error}")
    text = f"{order.effect} with its next heartbeat, within 10 s"
    return _Answer(process.identity, done=True, text=text)


def _waited(
    operator: Operator, order: _Order, answers: Sequence[_Answer], timeout_s: float
) -> list[_Answer]:
    """The answers once every order that was given is seen, or time is up."""
    clock, began_s = SystemClock(), SystemClock().monotonic()
    pause = threading.Event()
    seen: dict[str, str] = {}
    given = [answer.identity for answer in answers if answer.done]
    while True:
        age_s = clock.monotonic() - began_s
        there = _there(operator, order)
        for identity in given:
            if identity not in seen and order.is_seen(there.get(identity)):
                seen[identity] = f"{order.seen}, after {duration(age_s)}"
        if len(seen) == len(given) or age_s >= timeout_s:
            break
        pause.wait(_ASK_EVERY_S)
    late = f"was told, and nothing is seen of it after {timeout_s:g} s; jobctl status shows more"
    return [
        replace(each, done=each.identity in seen, text=seen.get(each.identity, late))
        if each.done
        else each
        for each in answers
    ]


def _there(operator: Operator, order: _Order) -> dict[str, Process]:
    """Who runs, by identity."""
    try:
        # Not by their hashes: that of a Ruby process which has left stays for a minute.
        return {each.identity: each for each in ProcessSet(access=operator.access)}
    except RedisUnavailable:
        if order is _STOP and operator.settings.redis.embedded:
            return {}  # the private store leaves with its jobd
        raise


def meant(running: Sequence[Process], whom: Sequence[str]) -> list[Process]:
    """Those that somebody means, by a part of their identity, or ``all``."""
    if not running:
        end(EX_FAILED, "no process is running here: none has a heartbeat")
    if not whom:
        if len(running) > 1:
            count = count_of(len(running), "process", "processes")
            raise click.UsageError(f"{count} run: name one, or say all; jobctl status lists them")
        return list(running)
    if "all" in whom:
        return list(running)
    return list(
        {found.identity: found for part in whom for found in [_one(running, part)]}.values()
    )


def _one(running: Sequence[Process], part: str) -> Process:
    """The process of an identity, or of a part of one that no other has."""
    ways: Sequence[Callable[[Process], bool]] = (
        lambda process: process.identity == part,
        lambda process: part in {process.hostname, str(process.pid)},
        lambda process: part in process.identity,
    )
    matches = [[each for each in running if is_meant(each)] for is_meant in ways]
    found = next(filter(None, matches), matches[0])
    names = [process.identity for process in found]
    if not found:
        hint = did_you_mean(part, [process.identity for process in running])
        end(EX_FAILED, f"no process is called {safe(part)}{hint or '; jobctl status lists them'}")
    if len(found) > 1:
        end(EX_FAILED, f"{safe(part)} may be any of {safe(', '.join(names))}: give more of it")
    return found[0]
