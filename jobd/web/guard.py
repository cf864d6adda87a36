"""The door: who may come in, by which name, from where, and what every answer says to a browser.

A pure ASGI middleware around the whole dashboard, its files included, so that no route can be
forgotten. In this order: the host's name, the origin of a POST, the user.

Sources: the threats S7 to S11 of our own catalogue; Fetch Metadata (W3C); Sidekiq's csrf.rb; CSP 3.
"""

import inspect
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.from_thread
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobd.clock import Clock, SystemClock
from jobd.web.brake import Brake
from jobd.web.catalogue import Catalogue
from jobd.web.settings import Authenticate, Settings

HOST_REQUEST: Final = "jobd.host_request"
"""Where in its scope an authenticator finds the request of the host framework."""

LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via", "x-forwarded-host")
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with that a browser sends "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Robots-Tag": "noindex",
}


class Guard:
    """Lets requests through to the dashboard, or answers them itself.

    Args:
        app: the dashboard.
        settings: of its owner.
        authenticate: who is allowed to do what; None: only this machine is let in.
        texts: for the refusals.
        clock: by which wrong passwords are forgotten.
        sleep: waits some seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        authenticate: Authenticate | None,
        texts: Catalogue,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._texts = texts
        self._brake = Brake(clock or SystemClock())
        self._sleep = sleep
        self._is_known_host = _hosts(settings, is_open=authenticate is not None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; other protocols than HTTP are not served."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003})
            return
        request = Request(scope, receive)
        nonce = secrets.token_urlsafe(18)
        request.state.nonce = nonce
        guarded = _with_headers(send, nonce)
        refusal = await self._refusal(request)
        await (refusal or self._app)(scope, receive, guarded)

    async def may(self, request: Request, act: str) -> bool:
        """Whether the user of a request may do something; the name is then in its state."""
        if self._authenticate is None:
            answer: str | bool | None = _is_this_machine(request)
        else:
            answer = await _asked(self._authenticate, request, act)
        if answer:
            request.state.user = answer if isinstance(answer, str) else ""
        return bool(answer)

    def would_let(self, request: Request, act: str) -> bool:
        """The same, of an act that nobody has asked for yet; for a thread of Starlette's."""
        if self._authenticate is None:
            return True  # who may read may act
        return bool(_asked_here(self._authenticate, request, act))

    async def _refusal(self, request: Request) -> Response | None:
        if not self._is_known_host(request.headers.get("host", "")):
            return self._refuse(421, "refused.host")
        if request.method not in _SAFE_METHODS:
            if request.method != "POST":
                return self._refuse(405, "refused.method")
            if not is_same_origin(request):
                return self._refuse(403, "refused.origin")
        if await self.may(request, "read"):
            return None
        challenge = getattr(self._authenticate, "challenge", None)
        if challenge:
            await self._slow_down(request)
            return self._refuse(401, "refused.login", {"WWW-Authenticate": challenge})
        key = "refused.closed" if self._authenticate is None else "refused.user"
        return self._refuse(403, key)

    async def _slow_down(self, request: Request) -> None:
        # Not in an adapter: it would hold a thread of the host, which has few.
        if "authorization" in request.headers and HOST_REQUEST not in request.scope:
            delay_s = self._brake.delay_s(request.client.host if request.client else "")
            if delay_s:
                await self._sleep(delay_s)

    def _refuse(
        self, status: int, key: str, headers: dict[str, str] | None = None
    ) -> PlainTextResponse:
        return PlainTextResponse(f"{self._texts(key)}\n", status, headers)


def is_same_origin(request: Request) -> bool:
    """Whether a page of the dashboard itself sent this, as the browser tells.

    Browsers leave Sec-Fetch-Site out on plain HTTP to other machines; all send Origin with a POST.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")


async def _asked(authenticate: Authenticate, request: Request, act: str) -> Any:
    if inspect.iscoroutinefunction(authenticate):
        return await authenticate(request, act)
    # It may ask a database; the loop has others to serve meanwhile.
    answer = await run_in_threadpool(authenticate, request, act)
    return await answer if inspect.isawaitable(answer) else answer


def _asked_here(authenticate: Authenticate, request: Request, act: str) -> Any:
    """In this thread, which waits: a second one of the pool might never come free."""
    if inspect.iscoroutinefunction(authenticate):
        return anyio.from_thread.run(authenticate, request, act)
    answer = authenticate(request, act)
    return anyio.from_thread.run(_awaited, answer) if inspect.isawaitable(answer) else answer


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def _is_this_machine(request: Request) -> bool:
    """A peer on loopback that speaks for itself: a proxy's peer may be anybody."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    client = request.client
    if client is None:
        return False
    try:
        return ipaddress.ip_address(client.host.removeprefix("::ffff:")).is_loopback
    except ValueError:
        return False


def _hosts(settings: Settings, *, is_open: bool) -> Callable[[str], bool]:
    """Against DNS rebinding: a name of somebody else's that leads here is not answered."""
    allowed = tuple(name.lower() for name in settings.allowed_hosts)
    if not allowed and is_open:
        return lambda _: True
    allowed = allowed or LOCAL_NAMES
    exact = frozenset(allowed)
    suffixes = tuple(name[1:] for name in allowed if name.startswith("*."))

    def is_known(header: str) -> bool:
        name = _host_name(header)
        return name in exact or (bool(suffixes) and name.endswith(suffixes))

    return is_known


def _host_name(header: str) -> str:
    header = header.lower()
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0].rstrip(".")


def _with_headers(send: Send, nonce: str) -> Send:
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers["Content-Security-Policy"] = policy
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return guarded
