"""The app of fastapi_shop.py, traced from the request to the SQL of its job, by OpenTelemetry.

cd examples
jobd -r traced_shop                          in one terminal
uvicorn traced_shop:app                      in another one
curl -X POST "http://127.0.0.1:8000/signup?email=ada@example.com"

Both write their spans to spans.jsonl. Needs opentelemetry-sdk and the instrumentations of FastAPI
and SQLAlchemy, too.
"""

from pathlib import Path

from fastapi_shop import app, engine
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import jobd
from jobd.contrib.opentelemetry import instrument

instrument()
FastAPIInstrumentor.instrument_app(app, exclude_spans=["receive", "send"])
# It works with SQLAlchemy 2.1, which it does not name yet.
SQLAlchemyInstrumentor().instrument(engine=engine, skip_dep_check=True)


def export(service: str) -> None:
    """Begin to write the spans of this process."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    file = Path("spans.jsonl").open("a")  # noqa: SIM115 - until this process ends
    exporter = ConsoleSpanExporter(out=file, formatter=_line)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"


@jobd.configure_client
def _web(_config: jobd.Configuration) -> None:
    export("web")


@jobd.configure_server
def _server(config: jobd.Configuration) -> None:
    @config.on("fork")  # an exporter with a connection would not survive the fork
    def _worker() -> None:
        export("worker")
