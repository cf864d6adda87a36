"""One password for all, asked for by the browser itself (HTTP Basic)."""

import base64
import binascii
import hashlib
import secrets

from starlette.requests import Request


class Password:
    """Lets in whoever knows the password, under any name that they give.

    Args:
        password: in clear; kept as a digest only.
    """

    challenge = 'Basic realm="jobd", charset="UTF-8"'

    def __init__(self, password: str) -> None:
        self._digest = _digest(password)

    def __call__(self, request: Request, act: str) -> str | None:
        """The name that came with the right password, or ``admin`` if none did."""
        del act
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, given = (
                base64.b64decode(encoded, validate=True)
                .decode(errors="surrogateescape")
                .partition(":")
            )
        except (binascii.Error, ValueError):
            return None
        # Digests have one length, so the time tells nothing of the password's.
        is_right = secrets.compare_digest(_digest(given), self._digest)
        return (name or "admin") if is_right else None


def _digest(text: str) -> bytes:
    # A variable of the environment may hold bytes that are no UTF-8.
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()
