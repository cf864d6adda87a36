"""The dashboard as an ASGI app: its routes, and how a request becomes a visit.

Pages are plain functions that wait for Redis, so they run in threads; the loop serves others.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from jobd.api import Access
from jobd.config import web_password, web_redact
from jobd.errors import JobdError, RedisUnavailable
from jobd.web.catalogue import Catalogue
from jobd.web.errors import BadForm, Refused
from jobd.web.guard import Guard
from jobd.web.pages.audit import audit
from jobd.web.pages.configuration import configuration
from jobd.web.pages.find import find
from jobd.web.pages.job import act_on_job, job_page
from jobd.web.pages.jump import jump
from jobd.web.pages.metrics import class_metrics, metrics
from jobd.web.pages.overview import overview
from jobd.web.pages.processes import act_on_process, processes
from jobd.web.pages.queue import act_on_queued, queue_page
from jobd.web.pages.queues import act_on_queue, queues
from jobd.web.pages.running import running
from jobd.web.pages.sets import PAGES, act_on_set, set_page
from jobd.web.pages.trash import act_on_trash, trash
from jobd.web.password import Password
from jobd.web.rendering import THEME_COOKIE, THEMES, Renderer
from jobd.web.settings import ACTS, Settings
from jobd.web.site import Act, Done, Show, Site, Visit, moment
from jobd.web.tokens import FIELD, is_right, keep

_MOST_BYTES: Final = 2_000_000
_MOST_FIELDS: Final = 500
_STATIC: Final = Path(__file__).parent / "static"


def create_app(settings: Settings | None = None, *, access: Access | None = None) -> ASGIApp:
    """The dashboard, to be mounted under any path or served alone.

    Args:
        settings: who may come in, and what is shown. With no ``authenticate`` among them, the
            password of the variable JOBD_WEB_PASSWORD is asked for, if there is one; else only
            this machine is let in.
        access: the Redis that is shown; by default that of the current app, looked for at the
            first request.

    Raises:
        ConfigError: settings that cannot be, also those of the file that a server started here
            would read: its ``web.redact`` is minded.
    """
    return dashboard(settings or Settings(), access, web_redact())


def dashboard(settings: Settings, access: Access | None, redact: Sequence[str]) -> ASGIApp:
    """The same, which masks these fields besides the settings' own.

    Raises:
        ConfigError: settings that cannot be.
    """
    settings = replace(settings, redact=(*settings.redact, *redact))
    password = web_password()
    authenticate = settings.authenticate
    door = "function"
    if authenticate is None:
        authenticate = Password(password) if password else None
        door = "password" if password else "loopback"
    texts = Catalogue(settings.texts)
    inner = _Dashboard(Site(settings, access, door), texts)
    inner.guard = Guard(inner.app, settings, authenticate, texts)
    return inner.guard


class _Dashboard:
    """Routes to pages and acts, and what is around each of them."""

    guard: Guard

    def __init__(self, site: Site, texts: Catalogue) -> None:
        self._site = site
        self._renderer = Renderer(site, texts)
        handlers = {HTTPException: self._http_error, JobdError: self._error}
        self.app = Starlette(routes=self._routes(), exception_handlers=handlers)

    def _routes(self) -> list[Route | Mount]:
        return [
            self._page("/", overview),
            self._page("/processes", processes, act_on_process),
            self._page("/running", running),
            self._page("/queues", queues, act_on_queue),
            self._page("/queues/{name:path}", queue_page, act_on_queued),
            self._page("/job", job_page, act_on_job),
            self._page("/find", find),
            self._page("/jump", jump),
            self._page("/metrics", metrics),
            self._page("/metrics/{name:path}", class_metrics),
            self._page("/configuration", configuration),
            self._page("/audit", audit),
            self._page("/trash", trash, act_on_trash),
            Route("/theme", self._choose_theme, methods=["POST"]),
            Mount("/static", _Files(directory=_STATIC)),
            *(self._page(f"/{name}", set_page, act_on_set) for name in PAGES),
        ]

    def _page(self, path: str, show: Show, act: Act | None = None) -> Route:
        async def endpoint(request: Request) -> Response:
            if request.method == "POST" and act is not None:
                return await self._act(request, act)
            return await run_in_threadpool(self._show, request, show)

        methods = ["GET"] if act is None else ["GET", "POST"]
        return Route(path, endpoint, methods=methods, name=show.__name__)

    def _show(self, request: Request, show: Show) -> Response:
        visit = self._visit(request)
        return self._renderer.answer(visit, show(visit))

    async def _act(self, request: Request, act: Act) -> Response:
        form = await _form(request)
        what = next(iter(form.get("act", ())), "")
        if what not in ACTS:
            raise BadForm("bad.act")
        if self._site.settings.read_only:
            raise Refused("refused.read_only")
        if not await self.guard.may(request, what):
            raise Refused("refused.act")
        return await run_in_threadpool(self._done, request, act, form)

    def _done(self, request: Request, act: Act, form: Mapping[str, Sequence[str]]) -> Response:
        visit = self._visit(request, form)
        done = act(visit)
        return _redirect(visit, done)

    def _visit(self, request: Request, form: Mapping[str, Sequence[str]] | None = None) -> Visit:
        return Visit(
            site=self._site,
            request=request,
            user=getattr(request.state, "user", ""),
            now=moment(self._site.access.now_ms()),
            permit=functools.partial(self.guard.would_let, request),
            form=form or {},
        )

    async def _choose_theme(self, request: Request) -> Response:
        form = await _form(request)
        theme = next(iter(form.get("theme", ())), "")
        back = next(iter(form.get("back", ())), "")
        base = str(request.scope.get("root_path", ""))
        # A path of our own only: "//evil.example" would be an address elsewhere.
        is_ours = back.startswith(f"{base}/") and not back.startswith("//") and "\\" not in back
        response = RedirectResponse(back if is_ours else f"{base}/", 303)
        if theme in THEMES:
            keep(request, response, THEME_COOKIE, theme)
        return response

    # What goes wrong

    async def _error(self, request: Request, error: Exception) -> Response:
        if isinstance(error, Refused):
            return self._renderer.trouble(request, error.status, error.key)
        if isinstance(error, RedisUnavailable):
            return self._renderer.trouble(request, 503, "trouble.redis", str(error))
        return self._renderer.trouble(request, 409, "trouble.error", str(error))

    async def _http_error(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        key = "missing.page" if status == 404 else "trouble.request"
        return self._renderer.trouble(request, status, key)


class _Files(StaticFiles):
    """Our style sheet, script and icon; their address carries the version, so they may be kept."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type] # passed on
        response.headers["Cache-Control"] = "private, max-age=86400"
        return response


def _redirect(visit: Visit, done: Done) -> Response:
    query = {**done.query, "done": done.note, "n": str(done.count)}
    return RedirectResponse(visit.url(done.path, **query), 303)


async def _form(request: Request) -> Mapping[str, Sequence[str]]:
    """The fields of a form, if it is one of ours.

    Raises:
        BadForm: it is too large, or cannot be read.
        Refused: it does not carry the token of this browser.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise BadForm("bad.size")
    try:
        text = body.decode()
        form = parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise BadForm("bad.form") from error
    if not is_right(request, next(iter(form.get(FIELD, ())), "")):
        raise Refused("refused.token")
    return form
