"""Traces from a push to its run, by OpenTelemetry; see docs/tracing.md.

The trace context travels in the payload as ``traceparent``, ``tracestate`` and whatever else the
propagators write: the same fields as those of Ruby's instrumentation of Sidekiq, so a trace goes
on between the two. Each run, also a retry, is a child of the push.

Source: OpenTelemetry's semantic conventions for messaging.
"""

from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, Tracer, TracerProvider
from opentelemetry.util.types import AttributeValue

from jobd import __version__
from jobd.app import current_app  # noqa: TID251 - the application's pushes and jobs are traced
from jobd.middleware import ClientCall, ServerCall
from jobd.payload import Payload

_FLUSH_MS: Final = 5_000


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Trace all pushes of this process and, in a server, all jobs; a second call changes nothing.

    Args:
        tracer_provider: the global one, if None; that may be set later.
    """
    app = current_app()
    if Tracing in app.client_middleware:
        return
    tracing = Tracing(trace.get_tracer("jobd", __version__, tracer_provider))
    app.client_middleware.add(tracing)
    app.server_middleware.prepend(tracing.perform)

    def flush() -> None:
        provider: Any = tracer_provider or trace.get_tracer_provider()
        if hasattr(provider, "force_flush"):  # of the SDK; a worker leaves without atexit
            provider.force_flush(_FLUSH_MS)

    app.hooks.on("exit", flush)


class Tracing:
    """The middleware of both sides; called, it is the client's."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, payload: Payload, proceed: ClientCall) -> Payload | None:
        """A span for the push, whose context the payload carries."""
        with self._tracer.start_as_current_span(
            f"{payload['class']} publish",
            kind=SpanKind.PRODUCER,
            attributes=_attributes(payload, "send"),
        ):
            propagate.inject(payload)
            return proceed(payload)

    def perform(self, job: Any, payload: Payload, proceed: ServerCall) -> None:
        """A span for the run; what the job raises is recorded in it."""
        fields = propagate.get_global_textmap().fields
        carried = {key: payload[key] for key in fields if isinstance(payload.get(key), str)}
        with self._tracer.start_as_current_span(
            f"{payload['class']} process",
            context=propagate.extract(carried),
            kind=SpanKind.CONSUMER,
            attributes=_attributes(payload, "process"),
        ):
            proceed(job, payload)


def _attributes(payload: Payload, operation: str) -> dict[str, AttributeValue]:
    return {
        "messaging.system": "jobd",
        "messaging.operation.type": operation,
        "messaging.destination.name": str(payload.get("queue", "default")),
        "messaging.message.id": str(payload.get("jid", "")),
        "jobd.class": str(payload["class"]),
        "jobd.attempt": _attempt(payload),
    }


def _attempt(payload: Payload) -> int:
    failures = payload.get("retry_count")
    return failures + 2 if isinstance(failures, int) else 1
