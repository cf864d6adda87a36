"""From a view to an answer: HTML by templates, or the same values as JSON.

Every value that a template prints goes through `inert` and is escaped; only what our own chart
writers and macros made is taken as it is.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Final

import jinja2
import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from jobd._version import __version__
from jobd.web.addresses import address_of
from jobd.web.catalogue import Catalogue
from jobd.web.charts import Line, line_chart
from jobd.web.export import as_csv, as_json_lines
from jobd.web.figures import bar, heat_map, sparkline
from jobd.web.formats import (
    absolute,
    count,
    iso,
    kilobytes,
    percent,
    rate,
    relative,
    short_count,
    size,
    span,
    whole_span,
)
from jobd.web.inert import cut, inert
from jobd.web.labels import bounds, columns, days, deploys, minutes, shares
from jobd.web.pages.menu import MENU
from jobd.web.search import word
from jobd.web.site import Site, View, Visit
from jobd.web.tokens import remember, token_of

THEME_COOKIE: Final = "jobd_theme"
_CHARTS: Final = SimpleNamespace(
    Line=Line, bar=bar, heat_map=heat_map, line_chart=line_chart, sparkline=sparkline
)
_LABELS: Final = SimpleNamespace(
    bounds=bounds, columns=columns, days=days, deploys=deploys, minutes=minutes, shares=shares
)
_FILTERS: Final = (
    *(count, short_count, rate, span, whole_span, size, kilobytes, percent, iso, absolute),
)
THEMES: Final = ("system", "light", "dark")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """The model of the page that says what went wrong."""

    key: str
    detail: str


class Renderer:
    """Makes the answers of one dashboard.

    Args:
        site: whose settings and texts are used.
        texts: the catalogue.
    """

    def __init__(self, site: Site, texts: Catalogue) -> None:
        self._site = site
        self._texts = texts
        self._environment = _environment()

    def answer(self, visit: Visit, view: View) -> Response:
        """The page, or its JSON twin, or its list as CSV, if that was asked for."""
        if visit.wants_file and view.table is not None:
            make = as_csv if visit.text("format") == "csv" else as_json_lines
            return make(view.name, view.table)
        if wants_json(visit.request):
            return _json({"page": view.name, **_fields(view.model)}, view.status)
        return self._html(visit.request, view, visit)

    def trouble(self, request: Request, status: int, key: str, detail: str = "") -> Response:
        """A page that says why something was not done; it asks nothing of Redis."""
        if wants_json(request):
            return _json({"error": self._texts(key), "detail": inert(detail)}, status)
        view = View("trouble", _Trouble(key=key, detail=detail), status)
        return self._html(request, view, None)

    def _html(self, request: Request, view: View, visit: Visit | None) -> Response:
        token = token_of(request)
        base = str(request.scope.get("root_path", ""))
        text = self._environment.get_template(f"{view.name}.html").render(
            t=self._texts,
            model=view.model,
            has_table=view.table is not None,
            page=view.name,
            visit=visit,
            now=None if visit is None else visit.now,
            totals=None if visit is None else visit.totals,
            settings=self._site.settings,
            may=_nothing if visit is None else visit.may,
            user=getattr(request.state, "user", ""),
            theme=theme_of(request),
            base=base,
            here=request.url.path,
            query=str(request.url.query),
            params=request.query_params,
            token=token,
            nonce=request.state.nonce,
            note=_note(request, self._texts),
            relative=relative,
        )
        response = HTMLResponse(text, view.status)
        remember(request, response, token)
        return response


@functools.cache
def _environment() -> jinja2.Environment:
    """One for all dashboards of a process, with every template compiled.

    Two tenths of a second, of which a page would take half when it is first viewed.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jobd.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    known: dict[str, Any] = environment.globals
    known.update(menu=MENU, themes=THEMES, word=word, version=__version__)
    known.update(charts=_CHARTS, labels=_LABELS)
    filters: dict[str, Any] = environment.filters
    filters.update(tuple=tuple, cut=cut, address=address_of)
    filters.update((each.__name__, each) for each in _FILTERS)
    for name in environment.list_templates():
        environment.get_template(name)
    return environment


def _nothing(act: str) -> bool:
    """What may be done on a page of no visit."""
    del act
    return False


def wants_json(request: Request) -> bool:
    """By ``?format=json``, or by asking for nothing else."""
    if request.query_params.get("format") == "json":
        return True
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/html" not in accepted


def theme_of(request: Request) -> str:
    """What the viewer chose; the system's theme, if nothing."""
    theme = request.cookies.get(THEME_COOKIE, "")
    return theme if theme in THEMES else THEMES[0]


def _note(request: Request, texts: Catalogue) -> str:
    """What the last act did; only our own texts and a number can be put into the address."""
    key = f"done.{request.query_params.get('done', '')}"
    number = request.query_params.get("n", "")
    if key not in texts:
        return ""
    return texts(key, n=int(number) if number.isdecimal() and len(number) < 12 else 0)


def _finalize(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return inert(value)
    return value


def _fields(model: object) -> Mapping[str, Any]:
    if not dataclasses.is_dataclass(model) or isinstance(model, type):
        raise TypeError(f"{model!r} is no model of a page: make it a dataclass")
    return {each.name: getattr(model, each.name) for each in dataclasses.fields(model)}


def _json(fields: Mapping[str, Any], status: int) -> Response:
    try:
        content = msgspec.json.encode(fields, enc_hook=_encoded)
    except UnicodeEncodeError:  # a queue whose name is no UTF-8
        content = json.dumps(msgspec.to_builtins(fields, enc_hook=_encoded)).encode()
    return Response(content, status, media_type="application/json")


def _encoded(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
