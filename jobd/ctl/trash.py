"""``jobctl trash``: what was cleared within the last day and kept, and the way back."""

from dataclasses import asdict
from typing import Any

import click

from jobd.api import Purged, Trash
from jobd.ctl.operator import EX_FAILED, Operator, end, everywhere
from jobd.ctl.progress import Progress
from jobd.ctl.tables import table, terminal_width
from jobd.ctl.words import count_of, safe, utc


@click.command()
@everywhere
@click.option("--put-back", "back", metavar="ID", help="Have its jobs wait where they did.")
@click.pass_obj
def trash(operator: Operator, *, back: str | None) -> None:
    """List what was cleared and kept. Or put it back."""
    kept = Trash(access=operator.access)
    if back is not None:
        _put_back(operator, kept, back)
        return
    found = kept.all()
    operator.show([_answer(each) for each in found], _table(found))


def _put_back(operator: Operator, kept: Trash, name: str) -> None:
    purged = kept.find(name)
    if purged is None:
        end(EX_FAILED, f"the trash has no {safe(name)}; jobctl trash lists what it has")
    progress = Progress("putting back", "put back", purged.size, is_silent=operator.as_json)
    with progress:
        count = kept.put_back(purged, progress=progress.of).done
    operator.note("put_back", _target(purged), count, purge=purged.id)
    operator.show(
        {"put_back": count, "to": _target(purged)},
        f"{count_of(count, 'job')} put back into {safe(purged.queue or purged.place)}",
    )


def _target(purged: Purged) -> str:
    return f"queue {purged.queue}" if purged.queue else purged.place


def _answer(purged: Purged) -> dict[str, Any]:
    return {**asdict(purged), "at": purged.at.isoformat(), "until": purged.until.isoformat()}


def _table(found: list[Purged]) -> str:
    if not found:
        return "nothing was cleared and kept within the last day"
    rows = [
        (each.id, safe(_target(each)), f"{each.size:,}", utc(each.at), utc(each.until))
        for each in found
    ]
    head = ("id", "from", "jobs", "cleared", "gone for good")
    return table(head, rows, width=terminal_width(), long=1)
