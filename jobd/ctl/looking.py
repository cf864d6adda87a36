"""Where a running job is: the stacks of its worker, and what it has last written to the log."""

import threading
from typing import Final

import click

from jobd.api import Look, ProcessSet, Work, ask_look, find_look
from jobd.clock import SystemClock
from jobd.ctl.finding import run_of
from jobd.ctl.operator import EX_FAILED, Operator, end, everywhere
from jobd.ctl.words import safe

_ASK_EVERY_S: Final = 0.2
_PATIENCE_S: Final = 10.0


@click.command()
@click.argument("jid")
@everywhere
@click.pass_obj
def look(operator: Operator, /, *, jid: str) -> None:
    """Show where a running job is, by its stacks and log.

    It may run on any host, by jobd. A job in a call of C has stacks, but cannot tell its lines.
    """
    work = run_of(operator.access, jid)
    if work is None:
        end(EX_FAILED, f"{safe(jid)}: it does not run")
    process = ProcessSet(access=operator.access).find(work.process)
    if process is None or not process.is_server:
        end(EX_FAILED, f"{safe(jid)}: {safe(work.process)} is no jobd that can be looked into")
    ask_look(work, access=operator.access)
    operator.note("look", jid, 1)
    found = _waited(operator, work)
    if found is None or not found.stacks:
        end(EX_FAILED, f"{safe(jid)}: its worker did not answer; it may have ended")
    operator.show(found.as_dict(), _text(found))


def _waited(operator: Operator, work: Work) -> Look | None:
    clock, pause = SystemClock(), threading.Event()
    until = clock.monotonic() + _PATIENCE_S
    while clock.monotonic() < until:
        found = find_look(work, access=operator.access)
        if found is not None and found.at is not None:
            return found
        pause.wait(_ASK_EVERY_S)
    return None


def _text(found: Look) -> str:
    stacks = [safe(line) for line in found.stacks.splitlines()]
    if found.lines is None:
        lines = ["its log lines cannot be had: its Python code does not go on"]
    else:
        lines = [safe(line) for line in found.lines] or ["it has written nothing to the log"]
    return "\n".join((*stacks, "", *lines))
