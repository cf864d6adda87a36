"""Queues: how much waits in each, for how long, and whether it grows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast, get_args

from jobd.api import QueueSummary, Stats
from jobd.web.addresses import address_of, queue_at
from jobd.web.errors import BadForm
from jobd.web.pauses import Pause, pauses
from jobd.web.rates import Rates, RunRates
from jobd.web.site import Done, View, Visit, leaf

Order: TypeAlias = Literal["name", "size", "latency"]

_PAGE: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """A queue.

    Attributes:
        paused_by: as far as the audit log tells; None if it does not, or it is not paused.
        weights: that the processes give it, the different ones; empty if they have none.
        served_by: how many processes do.
        points: its sizes of the last minutes, while somebody looked.
        rates: how many jobs a minute came and ran.
        per_minute: by how much it grew, or shrank; None if that is not known yet.
        drained_in_s: when it will be empty at that rate; None if it does not shrink.
    """

    name: str
    size: int
    latency_s: float
    is_paused: bool
    paused_by: Pause | None
    weights: Sequence[int]
    served_by: int
    points: Sequence[int]
    rates: Rates
    per_minute: float | None
    drained_in_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """A page of queues.

    Attributes:
        total: how many there are (with the filter, if any).
        jobs: how many wait in all of them.
    """

    rows: Sequence[QueueRow]
    order: Order
    filter: str
    page: int
    pages: int
    total: int
    jobs: int


def by_latency(queues: Iterable[QueueSummary]) -> list[QueueSummary]:
    """The queue whose next job has waited longest first."""
    return sorted(queues, key=lambda queue: (-queue.latency_s, -queue.size, queue.name))


def queues(visit: Visit) -> View:
    """The page."""
    every = Stats(access=visit.access).queues()
    visit.site.samples.add(
        visit.access.clock.monotonic(),
        visit.totals.processed,
        visit.totals.failed,
        {queue.name: queue.size for queue in every},
    )
    wanted = visit.text("q")
    found = [queue for queue in every if wanted.lower() in queue.name.lower()]
    order = _order(visit.text("order"))
    page, pages = leaf(visit, len(found), _PAGE)
    shown = _sorted(found, order)[(page - 1) * _PAGE : page * _PAGE]
    return View(
        "queues",
        Queues(
            rows=_rows(visit, shown),
            order=order,
            filter=wanted,
            page=page,
            pages=pages,
            total=len(found),
            jobs=sum(queue.size for queue in every),
        ),
    )


def act_on_queue(visit: Visit) -> Done:
    """Pause, unpause or clear a queue, from the list or from its own page."""
    queue = queue_at(visit.field("queue"), visit.access)
    own = f"/queues/{address_of(queue.name)}"
    back = own if visit.field("back") == own else "/queues"
    match visit.field("act"):
        case "pause":
            count = int(queue.pause())
        case "unpause":
            count = int(queue.unpause())
        case "clear":
            count = queue.purge()
            back = "/queues"
        case _:
            raise BadForm("bad.act")
    visit.note(visit.field("act"), f"queue {queue.name}", count)
    return Done(back, visit.field("act"), count)


def _rows(visit: Visit, shown: Sequence[QueueSummary]) -> list[QueueRow]:
    trends = visit.site.samples.trends([queue.name for queue in shown])
    paused_by = pauses(visit, [queue.name for queue in shown if queue.is_paused])
    weights, rates = _weights(visit), RunRates(visit)
    return [
        QueueRow(
            name=queue.name,
            size=queue.size,
            latency_s=queue.latency_s,
            is_paused=queue.is_paused,
            paused_by=paused_by.get(queue.name),
            weights=sorted({weight for weight in weights.get(queue.name, ()) if weight})[::-1],
            served_by=len(weights.get(queue.name, ())),
            points=trends[queue.name].points,
            rates=rates.of(queue.name, trends[queue.name].per_minute),
            per_minute=trends[queue.name].per_minute,
            drained_in_s=_drained_in_s(queue, trends[queue.name].per_minute),
        )
        for queue in shown
    ]


def _weights(visit: Visit) -> dict[str, list[int]]:
    """What each process gives each of its queues; 0 where it has an order instead."""
    weights: dict[str, list[int]] = {}
    for process in visit.recent_processes:
        for name in process.queues:
            weights.setdefault(name, []).append(process.weights.get(name, 0))
    return weights


def _drained_in_s(queue: QueueSummary, per_minute: float | None) -> float | None:
    if queue.is_paused or per_minute is None or per_minute >= 0 or not queue.size:
        return None
    return 60 * queue.size / -per_minute


def _order(text: str) -> Order:
    return cast("Order", text) if text in get_args(Order) else "latency"


def _sorted(found: list[QueueSummary], order: Order) -> list[QueueSummary]:
    if order == "name":
        return found
    if order == "size":
        return sorted(found, key=lambda queue: (-queue.size, queue.name))
    return by_latency(found)
