"""Have processes read their settings and import their application anew, and tell the outcome."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import click

from jobd.api import Process, ProcessSet
from jobd.clock import SystemClock
from jobd.ctl.operator import EX_FAILED, Operator, end, everywhere, seconds
from jobd.ctl.processes import meant, whom_argument
from jobd.ctl.words import duration, safe
from jobd.errors import CannotAct

_ASK_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one process's reload."""

    identity: str
    done: bool
    text: str


@click.command()
@everywhere
@whom_argument
@seconds("--timeout", "timeout_s", 300, help_="How long to wait for it")
@click.pass_obj
def reload(operator: Operator, *, whom: Sequence[str], timeout_s: float) -> None:
    """Have processes read their settings anew.

    Their workers are replaced one by one, and the command waits for that. What is broken changes
    nothing: it is told, and the exit status is 1.
    """
    processes = meant(ProcessSet(access=operator.access).all(), whom)
    waiting = [_ordered(process) for process in processes]
    outcomes = _waited(waiting, timeout_s)
    if operator.as_json:
        operator.show([asdict(outcome) for outcome in outcomes], "")
    for outcome in outcomes:
        if outcome.done and not operator.as_json:
            click.echo(safe(f"{outcome.identity}: {outcome.text}"))
    failed = [safe(f"{each.identity}: {each.text}") for each in outcomes if not each.done]
    if failed:
        end(EX_FAILED, *failed)


_Look = Callable[[float], _Outcome | None]


def _ordered(process: Process) -> tuple[str, _Look]:
    """Tell one process, and what to ask until there is an outcome."""
    before = process.instance()
    known = _count(before.facts) if before is not None else 0
    try:
        process.reload()
    except CannotAct as error:
        outcome = _Outcome(process.identity, done=False, text=f"not told: {error}")
        return process.identity, lambda _age_s: outcome
    return process.identity, lambda age_s: _look(process, known, age_s)


def _look(process: Process, known: int, age_s: float) -> _Outcome | None:
    now = process.instance()
    if now is None:
        return _Outcome(process.identity, done=False, text="it has left")
    if _count(now.facts) <= known or now.facts.get("reload") == "busy":
        return None
    if now.facts.get("reload") == "failed":
        text = f"nothing has changed: {now.facts.get('reload_text', '')}"
        return _Outcome(process.identity, done=False, text=text)
    text = f"generation {now.generation} is in force, after {duration(age_s)}"
    return _Outcome(process.identity, done=True, text=text)


def _count(facts: dict[str, str]) -> int:
    reloads = facts.get("reloads", "0")
    return int(reloads) if reloads.isdecimal() else 0


def _waited(waiting: Sequence[tuple[str, _Look]], timeout_s: float) -> list[_Outcome]:
    clock, began_s, pause = SystemClock(), SystemClock().monotonic(), threading.Event()
    found: dict[str, _Outcome] = {}
    while len(found) < len(waiting):
        age_s = clock.monotonic() - began_s
        for identity, look in waiting:
            outcome = None if identity in found else look(age_s)
            if outcome is not None:
                found[identity] = outcome
        if age_s >= timeout_s:
            break
        pause.wait(_ASK_EVERY_S if len(found) < len(waiting) else 0)
    late = f"it was told, and is not done after {timeout_s:g} s; its log shows more"
    return [
        found.get(identity) or _Outcome(identity, done=False, text=late) for identity, _ in waiting
    ]
