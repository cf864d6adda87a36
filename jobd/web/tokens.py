"""The token of a form: one secret in a cookie and in the form; a page elsewhere has neither.

It needs no session and no secret of the host, and works with any number of web processes. A cookie
that makes no sense is replaced and otherwise ignored.

Source: OWASP's double submit cookie; `jobd.web.guard` asks for the same origin besides.
"""

import re
import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

COOKIE: Final = "jobd_form"
FIELD: Final = "_token"
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def token_of(request: Request) -> str:
    """The token of this browser; a new one if it has none that makes sense."""
    token = request.cookies.get(COOKIE, "")
    return token if _SHAPE.fullmatch(token) else secrets.token_urlsafe(32)


def is_right(request: Request, given: str) -> bool:
    """Whether a form carries the token of the cookie that came with it."""
    token = request.cookies.get(COOKIE, "")
    if not _SHAPE.fullmatch(token):
        return False
    return secrets.compare_digest(token.encode(), given.encode("utf-8", "replace"))


def remember(request: Request, response: Response, token: str) -> None:
    """Give the browser the token, if it does not have it yet."""
    if request.cookies.get(COOKIE) != token:
        keep(request, response, COOKIE, token)


def keep(request: Request, response: Response, name: str, value: str) -> None:
    """Set a cookie of the dashboard, sent back to nobody else."""
    response.set_cookie(
        name,
        value,
        path=f"{request.scope.get('root_path', '')}/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        max_age=365 * 86_400,
    )
