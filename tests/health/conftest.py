"""Visitors of the health listener."""

import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import pytest

from tests.support import servers
from tests.support.eventually import PATIENCE_S


@dataclass(frozen=True)
class Reply:
    """What a visitor got."""

    status: int
    text: str
    content_type: str = ""


Get: TypeAlias = Callable[[str], Reply]


def get(address: str, path: str, timeout: float = PATIENCE_S) -> Reply:
    """Ask for a page as a probe would."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=timeout) as reply:
            return Reply(reply.status, reply.read().decode(), reply.headers["Content-Type"])
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.read().decode())


def exchange(where: socket.socket, request: bytes) -> bytes:
    """Send bytes, and read until the other side is done."""
    where.sendall(request)
    whole = b""
    while piece := where.recv(65_536):
        whole += piece
    return whole


@pytest.fixture
def address() -> str:
    """Where nobody listens yet."""
    return f"127.0.0.1:{servers.free_port()}"
