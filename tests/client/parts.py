"""What these tests push, and through what."""

from typing import Any

from jobd.client import Client
from jobd.middleware import Chain, ClientCall, ClientChain, ClientMiddleware
from jobd.payload import Payload
from tests.support.clock import FakeClock
from tests.support.recording_store import RecordingStore

NOW_S = 1_800_000_000
IN_2030 = 1_893_456_000


def a_client(store: RecordingStore, *middleware: ClientMiddleware, **options: Any) -> Client:
    chain: ClientChain = Chain(*middleware)
    return Client(lambda: store, middleware=chain, clock=FakeClock(), **options)


def an_item(**fields: Any) -> dict[str, Any]:
    return {"class": "Echo", "args": [1], **fields}


def with_locale(payload: Payload, proceed: ClientCall) -> Payload | None:
    payload["locale"] = "de"
    return proceed(payload)


def only_odd(payload: Payload, proceed: ClientCall) -> Payload | None:
    return proceed(payload) if payload["args"][0] % 2 else None


def lists(count: int) -> list[list[int]]:
    return [[index] for index in range(count)]
