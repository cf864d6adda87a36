"""``jobctl check``: looks at everything between a push and a run, and says what is in the way."""

from dataclasses import asdict

import click

from jobd.api import Instance, JobSet, Process, ProcessSet, Stats, set_of, stray_keys
from jobd.ctl.diagnosis import Facts, Finding, findings
from jobd.ctl.operator import EX_FAILED, Operator, everywhere
from jobd.ctl.tables import painted

_BUDGET_S = 1.0
_SIGNS = {"fine": "ok", "warning": "warning", "wrong": "WRONG"}


@click.command()
@everywhere
@click.pass_obj
def check(operator: Operator) -> None:
    """Find out why jobs do not run. Looks at Redis, processes, queues; jobd --check at the app."""
    found = findings(_facts(operator))
    operator.show([asdict(each) for each in found], "\n".join(map(_line, found)))
    if any(each.level == "wrong" for each in found):
        raise SystemExit(EX_FAILED)


def _line(finding: Finding) -> str:
    sign = _SIGNS[finding.level]
    return f"{painted(sign)}{' ' * (7 - len(sign))}  {finding.text}"


def _facts(operator: Operator) -> Facts:
    access = operator.access
    stats = Stats(access=access)
    processes = ProcessSet(access=access).all()
    now_ms = access.now_ms()
    waiting = [set_of(name, access=access) for name in ("schedule", "retry")]
    return Facts(
        health=stats.health(),
        processes=processes,
        instances={each.identity: told for each in processes if (told := _told(each))},
        queues=stats.queues(),
        strays=stray_keys(budget_s=_BUDGET_S, access=access),
        overdue_s={each.name: _overdue_s(each, now_ms) for each in waiting},
    )


def _told(process: Process) -> Instance | None:
    return process.instance() if process.is_jobd else None


def _overdue_s(jobs: JobSet, now_ms: int) -> float:
    first = next(iter(jobs.page(1, 1)), None)
    due = first.at if first is not None else None
    return 0.0 if due is None else max(0.0, now_ms / 1000 - due.timestamp())
