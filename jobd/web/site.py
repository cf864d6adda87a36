"""What all requests to one dashboard share, and what one request is given.

A page is a function of a `Visit` that returns a `View`: a value that the template shows and the
JSON twin is made of. Everything in it has been through the masks.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

from starlette.requests import Request

from jobd.api import Access, Audit, Process, ProcessSet, Stats, Totals
from jobd.errors import RedisError
from jobd.web.memory import Memory
from jobd.web.redaction import Masks
from jobd.web.samples import Samples
from jobd.web.settings import Settings

_logger = logging.getLogger("jobd")
HEARTBEAT_S: Final = 10.0
PAGE_SIZE: Final = 25
MOST_PER_PAGE: Final = 100
DEEPEST: Final = 1_000_000
"""Of sorted sets the furthest page is as cheap as the first."""


class Site:
    """One dashboard.

    Args:
        settings: of its owner.
        access: the Redis that it shows; that of the current app, found at the first request, if
            None.
        door: how people get in: ``loopback``, ``password`` or ``function``.
    """

    def __init__(self, settings: Settings, access: Access | None, door: str) -> None:
        self.settings = settings
        self.door = door
        self.samples = Samples()
        self.memory = Memory()
        self.masks = Masks(settings)
        self._given = access

    @cached_property
    def access(self) -> Access:
        """Not in the constructor: an app may be configured after its dashboard was mounted."""
        return Access.of() if self._given is None else self._given


@dataclass(frozen=True, slots=True)
class Table:
    """What of a page can be had as CSV.

    Attributes:
        of: a dataclass, whose fields are the columns.
        rows: of that class.
        is_whole: nothing is missing.
    """

    of: type
    rows: Sequence[object]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows.

    Attributes:
        name: of the page: its template, its title in the catalogue, its place in the menu.
        model: a dataclass; with it as JSON the page has its twin.
        status: of HTTP.
        table: None for a page that is no list.
    """

    name: str
    model: object
    status: int = 200
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """An act that was done; the next page is shown by a redirect, so a reload repeats nothing.

    Attributes:
        path: where to go on.
        note: key of the text to show there.
        count: for the text.
        query: further parameters.
    """

    path: str
    note: str
    count: int = 0
    query: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request.

    Attributes:
        user: who asks; empty if nobody had to say.
        permit: whether they would be let do something; `may` asks it once for each act.
        form: of a POST, each field with all its values.
        now: by the server's clock.
    """

    site: Site
    request: Request
    user: str
    now: datetime
    permit: Callable[[str], bool]
    form: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    _permits: dict[str, bool] = field(default_factory=dict[str, bool], init=False, repr=False)

    @property
    def access(self) -> Access:
        """The Redis of the dashboard."""
        return self.site.access

    @property
    def base(self) -> str:
        """The path that the dashboard is mounted under; empty at the root."""
        return str(self.request.scope.get("root_path", ""))

    def may(self, act: str) -> bool:
        """Whether a button for it makes sense here."""
        if self.site.settings.read_only:
            return False
        if act not in self._permits:
            self._permits[act] = self.permit(act)
        return self._permits[act]

    def allowed(self, acts: Sequence[str]) -> list[str]:
        """Those of the acts that this visitor may do."""
        return [act for act in acts if self.may(act)]

    def url(self, path: str, **query: str | float) -> str:
        """An address inside the dashboard; its path is quoted here."""
        text = f"{self.base}{quote(path)}"
        given = {name: value for name, value in query.items() if value != ""}
        return f"{text}?{urlencode(given)}" if given else text

    @cached_property
    def totals(self) -> Totals:
        """Counters and sizes, for the menu and whoever else wants them."""
        return Stats(access=self.access).totals()

    @cached_property
    def processes(self) -> list[Process]:
        """Every process that has a heartbeat."""
        now_s = self.access.clock.monotonic()
        return self.site.memory.renew("processes", now_s, HEARTBEAT_S, self._all)

    @cached_property
    def recent_processes(self) -> list[Process]:
        """The same, at most ten seconds old: they tell something new no more often."""
        now_s = self.access.clock.monotonic()
        return self.site.memory.recall("processes", now_s, HEARTBEAT_S, self._all)

    def _all(self) -> list[Process]:
        return ProcessSet(access=self.access).all()

    def note(self, what: str, target: str, count: int, **detail: Any) -> None:
        """Write an act into the audit log."""
        client = self.request.client
        who = self.user or f"dashboard from {client.host if client else 'nowhere'}"
        try:
            Audit(access=self.access).record(who, what, target=target, count=count, detail=detail)
        except RedisError as error:
            # It is done all the same, and so is not to be answered as if it were not.
            _logger.warning("%s of %s by %s is not in the audit log: %s", what, target, who, error)

    # Parameters; what makes no sense counts as not given

    def text(self, name: str) -> str:
        """A parameter of the address, cut at 1,000 letters."""
        return self.request.query_params.get(name, "")[:1000].strip()

    def number(self, name: str, default: int, *, least: int = 1, most: int = DEEPEST) -> int:
        """A whole number of the address."""
        text = self.request.query_params.get(name, "")
        if not (text.isdecimal() and len(text) < 12):
            return default
        return min(max(int(text), least), most)

    def field(self, name: str) -> str:
        """A field of the form; empty if it was not sent."""
        return next(iter(self.form.get(name, ())), "")

    @property
    def wants_file(self) -> bool:
        """Whether a list is to become a file: all of it instead of a page, as far as that goes."""
        return self.text("format") in {"csv", "jsonl"}

    @property
    def page_size(self) -> int:
        """Rows on a page."""
        return self.number("count", PAGE_SIZE, least=5, most=MOST_PER_PAGE)


Show: TypeAlias = Callable[[Visit], View]
Act: TypeAlias = Callable[[Visit], Done]


def leaf(visit: Visit, total: int, per_page: int) -> tuple[int, int]:
    """Which page is asked for, and how many there are; both at least 1."""
    pages = max(-(-total // per_page), 1)
    return visit.number("page", 1, most=pages), pages


def moment(ms: int) -> datetime:
    """An aware time of milliseconds since the epoch."""
    return datetime.fromtimestamp(ms / 1000, UTC)
