"""The dashboard inside frameworks that do not speak ASGI: any WSGI app, and Django's views.

One request is one short run of an event loop in the thread that the host gave it: nothing is kept
between two requests, so a server may fork whenever it likes.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.types import ASGIApp, Message

from jobd.api import Access
from jobd.web.app import create_app
from jobd.web.guard import HOST_REQUEST
from jobd.web.settings import Settings

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
WSGIApp: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]
DjangoView: TypeAlias = Callable[..., Any]
Allow: TypeAlias = Callable[[Any, str], "str | bool | None"]


@dataclass(slots=True)
class _Answer:
    status: int = 500
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    body: bytearray = field(default_factory=bytearray)


def create_wsgi_app(settings: Settings | None = None, *, access: Access | None = None) -> WSGIApp:
    """The dashboard as a WSGI app; the arguments are those of `create_app`.

    An authenticator finds WSGI's environ at ``request.scope["jobd.host_request"]``.
    """
    app = create_app(settings, access=access)

    def dashboard(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer = _answer(app, _wsgi_scope(environ), _wsgi_body(environ))
        status = HTTPStatus(answer.status)
        start_response(f"{status.value} {status.phrase}", answer.headers)
        return [bytes(answer.body)]

    return dashboard


def beside(
    host: WSGIApp, path: str, settings: Settings | None = None, *, access: Access | None = None
) -> WSGIApp:
    """A WSGI app with the dashboard under one of its paths.

    Args:
        host: what answers all other paths.
        path: such as ``/jobs``.
        settings: as for `create_app`.
        access: as for `create_app`.
    """
    dashboard = create_wsgi_app(settings, access=access)
    prefix = f"/{path.strip('/')}"

    def both(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        asked = environ.get("PATH_INFO", "")
        if asked != prefix and not asked.startswith(f"{prefix}/"):
            return host(environ, start_response)
        inner = {
            **environ,
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix,
            "PATH_INFO": asked.removeprefix(prefix) or "/",
        }
        return dashboard(inner, start_response)

    return both


def django_view(
    settings: Settings | None = None, *, access: Access | None = None, allow: Allow | None = None
) -> DjangoView:
    """The dashboard as a view of Django, for ``r"^jobs/(?P<path>.*)$"`` in the urls.

    It works under WSGI and ASGI. Django's own CSRF check is not needed: the dashboard has one.

    Args:
        settings: as for `create_app`; an authenticator in them is asked instead of ``allow``.
        access: as for `create_app`.
        allow: given Django's request and the act, returns a user's name, or whether to let them;
            by default the staff may do everything, and nobody else anything.
    """
    # Imported here: jobd.web works without Django.
    from django.http import HttpResponse  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]

    settings = settings or Settings()
    permit = allow or _is_staff
    if settings.authenticate is None:
        settings = _allowing(settings, permit)
    app = create_app(settings, access=access)

    def dashboard(request: Any, path: str = "") -> Any:
        # Read here, in the thread whose connection to the database Django closes.
        bool(getattr(request, "user", None))
        answer = _answer(app, _django_scope(request, path), request.body)
        response = HttpResponse(bytes(answer.body), status=answer.status)
        for name, value in answer.headers:
            if name == "set-cookie":
                response.cookies.load(value)
            else:
                response[name] = value
        return response

    dashboard.csrf_exempt = True  # type: ignore[attr-defined] # Django looks for it
    return dashboard


def _allowing(settings: Settings, permit: Allow) -> Settings:
    def authenticate(request: Request, act: str) -> str | bool | None:
        return permit(request.scope[HOST_REQUEST], act)

    return replace(settings, authenticate=authenticate)


def _is_staff(request: Any, act: str) -> str | None:
    del act
    user = getattr(request, "user", None)
    if user is None or not (user.is_active and user.is_staff):
        return None
    return str(user.get_username())


# One request to an ASGI app


def _answer(app: ASGIApp, scope: dict[str, Any], body: bytes) -> _Answer:
    answer = _Answer()
    requests = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not requests:
            # Nothing comes but the end of the visitor's patience, of which nobody tells us: who
            # sends a file waits for that meanwhile.
            await asyncio.Event().wait()
        return requests.pop()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in message.get("headers", ())
            ]
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")

    async def run() -> None:
        await app(scope, receive, send)

    asyncio.run(run())
    return answer


def _scope(method: str, path: str, root: str, headers: Iterable[tuple[str, str]]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        # ASGI's path holds the prefix of the mount, WSGI's does not.
        "path": f"{root}{path}",
        "raw_path": None,
        "root_path": root,
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ],
        "state": {},
    }


def _wsgi_scope(environ: Environ) -> dict[str, Any]:
    def text(name: str) -> str:
        return str(environ.get(name, "")).encode("latin-1").decode("utf-8", "replace")

    root = text("SCRIPT_NAME").rstrip("/")
    scope = _scope(environ["REQUEST_METHOD"], text("PATH_INFO") or "/", root, _headers(environ))
    return {
        **scope,
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "query_string": str(environ.get("QUERY_STRING", "")).encode("latin-1"),
        "client": (environ.get("REMOTE_ADDR", ""), 0),
        "server": (environ.get("SERVER_NAME", ""), int(environ.get("SERVER_PORT") or 0)),
        HOST_REQUEST: environ,
    }


def _headers(environ: Environ) -> Iterator[tuple[str, str]]:
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name[5:].replace("_", "-"), str(value)
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            yield name.replace("_", "-"), str(environ[name])


def _wsgi_body(environ: Environ) -> bytes:
    length = str(environ.get("CONTENT_LENGTH") or "0")
    # One byte more than any form of ours may have: the dashboard refuses it.
    most = min(int(length), 2_000_001) if length.isdecimal() else 0
    return bytes(environ["wsgi.input"].read(most)) if most else b""


def _django_scope(request: Any, path: str) -> dict[str, Any]:
    root = request.path.removesuffix(path).rstrip("/")
    scope = _scope(request.method, f"/{path}", root, request.headers.items())
    query = request.META.get("QUERY_STRING", "")
    return {
        **scope,
        "scheme": request.scheme,
        "query_string": query.encode("latin-1") if isinstance(query, str) else query,
        "client": (request.META.get("REMOTE_ADDR", ""), 0),
        "server": (request.META.get("SERVER_NAME", ""), 0),
        HOST_REQUEST: request,
    }
