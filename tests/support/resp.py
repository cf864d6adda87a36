"""Just enough of Redis's protocol to tell where a message ends and which command it is.

Both RESP2 and RESP3; nothing is decoded. Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

import hashlib
from collections.abc import Iterator, Mapping

# The number after these says how many elements follow; a map has two for each.
_AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
_BULKS = frozenset((b"$", b"=", b"!"))

# Their first argument says what they do.
_CONTAINERS = frozenset(("ACL", "CLIENT", "CONFIG", "DEBUG", "FUNCTION", "OBJECT", "SCRIPT"))


class Splitter:
    """Cuts a stream of bytes into whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Add what was received, and give each message that is complete now."""
        self._buffer += received
        while (end := _end(self._buffer, 0)) is not None:
            message = bytes(self._buffer[:end])
            del self._buffer[:end]
            yield message


def _end(buffer: bytearray, start: int) -> int | None:
    """Index after the message that begins at ``start``, or None while it is incomplete."""
    line_end = buffer.find(b"\r\n", start)
    if line_end < 0:
        return None
    kind, after = bytes(buffer[start : start + 1]), line_end + 2
    if kind in _BULKS:
        length = int(buffer[start + 1 : line_end])
        end = after if length < 0 else after + length + 2
        return end if end <= len(buffer) else None
    if kind not in _AGGREGATES:
        return after
    # An attribute stands before the value that it is about.
    elements = int(buffer[start + 1 : line_end]) * _AGGREGATES[kind] + (kind == b"|")
    for _ in range(elements):
        element_end = _end(buffer, after)
        if element_end is None:
            return None
        after = element_end
    return after


def is_push(message: bytes) -> bool:
    """It comes from the server unasked (RESP3), and so answers no request."""
    return message.startswith(b">")


def words(request: bytes) -> list[bytes]:
    """Return the command and its arguments; also of an inline command (``PING\\r\\n``)."""
    if not request.startswith(b"*"):
        return request.split()
    found: list[bytes] = []
    position = request.index(b"\r\n") + 2
    while position < len(request):
        line_end = request.index(b"\r\n", position)
        length = int(request[position + 1 : line_end])
        found.append(request[line_end + 2 : line_end + 2 + length])
        position = line_end + 2 + length + 2
    return found


def names(request: bytes, scripts: Mapping[str, str]) -> tuple[str, ...]:
    """Every name of a request: ``EVALSHA`` and its script's, ``CLIENT`` and ``CLIENT ID``.

    Args:
        request: one whole message of a client.
        scripts: names by the SHA-1 of the script's text, in lower-case hex.
    """
    command, *arguments = (word.decode("utf-8", "replace") for word in words(request)[:2])
    command = command.upper()
    if not arguments:
        return (command,)
    if command in _CONTAINERS:
        return (command, f"{command} {arguments[0].upper()}")
    script = None
    if command in {"EVALSHA", "EVALSHA_RO"}:
        script = scripts.get(arguments[0].lower())
    elif command in {"EVAL", "EVAL_RO"}:
        script = scripts.get(sha1(arguments[0]))
    return (command, script) if script else (command,)


def sha1(script: str) -> str:
    """Return the name that Redis gives to a script."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
