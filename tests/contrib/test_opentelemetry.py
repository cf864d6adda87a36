"""Traces of pushes and runs, exported by the real SDK."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import jobd
from jobd.app import current_app  # noqa: TID251 - put back after each test
from jobd.config import RedisSettings
from jobd.contrib.opentelemetry import Tracing, instrument
from jobd.errors import JobInterrupted
from jobd.jobs import registry
from jobd.middleware import Chain
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

# A server as a user would have it; its spans go to a file.
SERVER = """
import sqlite3
import jobd
from jobd.contrib.opentelemetry import instrument
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from tests.support.sample_jobs import record

tracer = trace.get_tracer("shop")
instrument()


@jobd.configure_server
def server(config):
    @config.on("fork")
    def export():
        provider = TracerProvider()
        file = open("spans.jsonl", "a")
        line = lambda span: span.to_json(indent=None) + "\\n"
        provider.add_span_processor(
            BatchSpanProcessor(ConsoleSpanExporter(out=file, formatter=line))
        )
        trace.set_tracer_provider(provider)


class Welcome(jobd.Job):
    retry = 1

    @classmethod
    def retry_in(cls, count, error, payload):
        return 0.01

    def perform(self, user):
        with tracer.start_as_current_span("SELECT users"):
            sqlite3.connect(":memory:").execute("SELECT 1")
        record("start", "Welcome", self.jid, [user])
        if len(open("ran.jsonl").readlines()) == 1:
            raise RuntimeError("first try")
        record("done", "Welcome", self.jid, [user])
"""


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """What this process exports; it is traced in this test only."""
    app = current_app()
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for _ in range(2):
        instrument(provider)
    exporter.provider = provider  # type: ignore[attr-defined]  # for spans of the tests' own
    yield exporter
    (tracing,) = (link for link in app.client_middleware if isinstance(link, Tracing))
    app.client_middleware.remove(tracing)
    app.server_middleware.remove(tracing.perform)
    app.hooks._events["exit"].pop()


@pytest.fixture
def failing() -> Iterator[list[BaseException]]:
    """What a job ``Welcome`` raises, if anything."""
    errors: list[BaseException] = []

    class Welcome(jobd.Job, queue="mailers"):
        def perform(self, user: int) -> None:
            self.logger.debug("user %s", user)
            for error in errors:
                raise error

    yield errors
    registry.forget("Welcome")


def run(**fields: Any) -> None:
    """Run a job ``Welcome`` as a server does."""
    payload = wire.a_payload("Welcome", 1, queue="mailers", **fields)
    kind = registry.find("Welcome")
    assert kind is not None
    chain = Chain(*current_app().server_middleware)
    chain.fold(jobd.jobs.perform)(kind.from_payload(payload), payload)


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def test_a_push_and_its_run_are_one_trace(
    exporter: InMemorySpanExporter, failing: list[BaseException]
) -> None:
    jobd.jobs.registry.find("Welcome").perform_inline(1)  # type: ignore[union-attr]
    push, process = exporter.get_finished_spans()
    assert (push.name, push.kind) == ("Welcome publish", SpanKind.PRODUCER)
    assert (process.name, process.kind) == ("Welcome process", SpanKind.CONSUMER)
    assert process.parent is not None
    assert process.parent.span_id == push.context.span_id
    assert process.context.trace_id == push.context.trace_id
    assert push.attributes is not None
    assert push.attributes["messaging.destination.name"] == "mailers"
    assert len(str(push.attributes["messaging.message.id"])) == 24


@pytest.mark.parametrize("carried", [None, 7, "garbage", ["x"], {}])
def test_a_job_that_carries_no_trace_begins_one(
    exporter: InMemorySpanExporter, failing: list[BaseException], carried: object
) -> None:
    run(traceparent=carried)
    assert only(exporter).parent is None


def test_a_failure_is_recorded_with_the_number_of_its_attempt(
    exporter: InMemorySpanExporter, failing: list[BaseException]
) -> None:
    failing.append(ValueError("no such user"))
    with pytest.raises(ValueError, match="no such user"):
        run(retry_count=1)
    span = only(exporter)
    assert span.status.status_code is StatusCode.ERROR
    assert span.events[0].name == "exception"
    assert span.attributes is not None
    assert span.attributes["jobd.attempt"] == 3


def test_an_interrupted_job_has_not_failed(
    exporter: InMemorySpanExporter, failing: list[BaseException]
) -> None:
    failing.append(JobInterrupted())
    with pytest.raises(JobInterrupted):
        run()
    assert only(exporter).status.status_code is StatusCode.UNSET


@pytest.mark.redis
@pytest.mark.process
def test_a_trace_goes_from_a_request_through_push_queue_and_both_runs_to_their_sql(
    exporter: InMemorySpanExporter,
    raw: Raw,
    redis_url: str,
    start_jobd: StartJobd,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(current_app(), "redis", RedisSettings(url=redis_url))
    tracer = exporter.provider.get_tracer("shop")  # type: ignore[attr-defined]
    web = FastAPI()

    @web.post("/signup")
    def signup() -> None:
        with tracer.start_as_current_span("POST /signup"):
            jobd.push({"class": "Welcome", "args": [1]})

    async def visit() -> None:
        transport = httpx.ASGITransport(app=web)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as browser:
            assert (await browser.post("/signup")).status_code == 200

    asyncio.run(visit())
    server = start_jobd(jobs=SERVER)
    eventually(server.ran, message=server.log)
    assert server.stop() == 0

    push, request = exporter.get_finished_spans()
    lines = (server.directory / "spans.jsonl").read_text().splitlines()
    spans = [json.loads(line) for line in lines]
    assert [span["name"] for span in spans] == ["SELECT users", "Welcome process"] * 2
    assert {span["context"]["trace_id"] for span in spans} == {f"0x{request.context.trace_id:032x}"}
    assert push.parent is not None
    assert push.parent.span_id == request.context.span_id
    queries, runs = spans[::2], spans[1::2]
    assert {span["parent_id"] for span in runs} == {f"0x{push.context.span_id:016x}"}
    assert [span["parent_id"] for span in queries] == [span["context"]["span_id"] for span in runs]
    assert [span["status"]["status_code"] for span in runs] == ["ERROR", "UNSET"]
