"""Jump: pages, queues and classes by a part of their names, and a job by its jid.

It is a page of its own, so that it works without JavaScript; with it, Ctrl-K shows what it finds
over any other page.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from jobd.api import Queue
from jobd.web.addresses import address_of
from jobd.web.catalogue import Catalogue
from jobd.web.inert import cut
from jobd.web.pages.menu import MENU
from jobd.web.pages.metrics import top_jobs
from jobd.web.site import View, Visit

Kind: TypeAlias = Literal["page", "queue", "class", "job"]

_MOST: Final = 8
_LIFE_S: Final = 10.0
_JID: Final = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one can go.

    Attributes:
        address: with the prefix that the dashboard is mounted under.
    """

    kind: Kind
    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """The page: pages first, but a whole jid before them."""

    text: str
    targets: Sequence[Target]


def jump(visit: Visit) -> View:
    """The page."""
    text = visit.text("q")
    targets = list(_named(visit, text.lower()))
    if text:
        job = Target(kind="job", name=cut(text, 100), address=visit.url("/find", jid=text))
        targets.insert(0 if _JID.fullmatch(text) else len(targets), job)
    return View("jump", Jump(text=text, targets=targets))


def _named(visit: Visit, part: str) -> Iterator[Target]:
    texts = Catalogue(visit.site.settings.texts)
    for entry in MENU:
        title = texts(f"page.{entry.name}")
        if part in title.lower():
            yield Target(kind="page", name=title, address=visit.url(entry.path))
    if not part:
        return
    now_s = visit.access.clock.monotonic()
    queues = visit.site.memory.recall(
        "queue names", now_s, _LIFE_S, lambda: [q.name for q in Queue.all(access=visit.access)]
    )
    for name in _first(queues, part):
        address = visit.url(f"/queues/{address_of(name)}")
        yield Target(kind="queue", name=cut(name, 100), address=address)
    for name in _first((job.name for job in top_jobs(visit, 1).jobs), part):
        address = visit.url(f"/metrics/{address_of(name)}")
        yield Target(kind="class", name=cut(name, 100), address=address)


def _first(names: Iterable[str], part: str) -> list[str]:
    """Those with this part, the ones that begin with it first."""
    found = [name for name in names if part in name.lower()]
    return sorted(found, key=lambda name: not name.lower().startswith(part))[:_MOST]
