"""Purged: what was taken away whole within the last day, and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from jobd.api import Progress, Purged, Tally, Trash
from jobd.web.addresses import address_of
from jobd.web.errors import BadForm, NotFound
from jobd.web.pages.sets import NAMES
from jobd.web.patience import patiently
from jobd.web.site import Done, View, Visit

ACTS: Final = ("put_back", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashRow:
    """A purge.

    Attributes:
        place: ``queue``, or the set.
        queue: its name; empty of a set.
    """

    id: str
    place: str
    queue: str
    size: int
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashPage:
    """The page: the last 100, the newest first."""

    rows: Sequence[TrashRow]
    acts: Sequence[str]


def trash(visit: Visit) -> View:
    """The page."""
    rows = [
        TrashRow(
            id=each.id,
            place=each.place,
            queue=each.queue,
            size=each.size,
            at=each.at,
            until=each.until,
        )
        for each in Trash(access=visit.access).all()
    ]
    return View("trash", TrashPage(rows=rows, acts=visit.allowed(ACTS)))


def act_on_trash(visit: Visit) -> Done:
    """Put one purge back, or delete it for good."""
    kept = Trash(access=visit.access)
    act = visit.field("act")
    if act not in ACTS:
        raise BadForm("bad.act")
    purged = kept.find(visit.field("id"))
    if purged is None:
        raise NotFound("missing.purge")
    target = f"queue {purged.queue}" if purged.place == "queue" else purged.place

    def do(progress: Progress) -> Tally:
        if act == "delete":
            kept.delete(purged)
            return Tally(done=purged.size)
        return kept.put_back(purged, progress=progress)

    note, count = patiently(visit, act, target, do, purge=purged.id)
    is_back = act == "put_back" and note == act
    return Done(_place(purged) if is_back else "/trash", note, count)


def _place(purged: Purged) -> str:
    if purged.place == "queue":
        return f"/queues/{address_of(purged.queue)}"
    return f"/{NAMES[purged.place]}"
