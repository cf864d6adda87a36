"""Errors and traces of jobs in Sentry; see docs/tracing.md.

``sentry_sdk.init(integrations=[JobdIntegration()])``, in a module that both those who push and the
server import. Each failed run is an event of its own, with the job as its context; arguments are
sent only with ``send_default_pii``. The trace travels as ``trace_propagation_headers``, as Sentry's
own integration of Ruby's Sidekiq writes it.
"""

from contextvars import ContextVar
from typing import Any, Final, cast

import sentry_sdk
from sentry_sdk.consts import OP
from sentry_sdk.integrations import Integration
from sentry_sdk.tracing import TransactionSource
from sentry_sdk.utils import event_from_exception

from jobd.app import current_app  # noqa: TID251 - the application's pushes and jobs are watched
from jobd.middleware import ClientCall, ServerCall
from jobd.payload import Payload

_HEADERS: Final = "trace_propagation_headers"
_ORIGIN: Final = "auto.queue.jobd"
_FLUSH_S: Final = 5.0


class JobdIntegration(Integration):
    """What to pass to ``sentry_sdk.init``."""

    identifier = "jobd"

    @staticmethod
    def setup_once() -> None:
        """Called by Sentry, once in a process."""
        app = current_app()
        watch = _Watch()
        app.client_middleware.add(watch.push)
        app.server_middleware.prepend(watch.perform)
        app.hooks.error_handlers.append(watch.report)
        # A worker leaves without atexit.
        app.hooks.on("exit", lambda: sentry_sdk.flush(_FLUSH_S))


class _Watch:
    """The middleware of both sides, and the error handler."""

    def __init__(self) -> None:
        # Of this thread, or of this job among those of a loop.
        self._reported: ContextVar[BaseException | None] = ContextVar("reported", default=None)

    def push(self, payload: Payload, proceed: ClientCall) -> Payload | None:
        if not _is_on():
            return proceed(payload)
        with sentry_sdk.start_span(
            op=OP.QUEUE_PUBLISH, name=payload["class"], origin=_ORIGIN
        ) as span:
            _describe(span, payload)
            headers = sentry_sdk.get_current_scope().iter_trace_propagation_headers(span=span)
            payload[_HEADERS] = dict(headers)
            return proceed(payload)

    def perform(self, job: Any, payload: Payload, proceed: ServerCall) -> None:
        if not _is_on():
            proceed(job, payload)
            return
        with sentry_sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            _put(scope, payload)
            given = payload.get(_HEADERS)
            headers = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
            transaction = sentry_sdk.continue_trace(
                headers,
                op=OP.QUEUE_PROCESS,
                name=payload["class"],
                source=TransactionSource.TASK,
                origin=_ORIGIN,
            )
            with sentry_sdk.start_transaction(transaction) as span:
                _describe(span, payload)
                try:
                    proceed(job, payload)
                except Exception as error:
                    _capture(error)
                    self._reported.set(error)
                    raise

    def report(self, error: BaseException, context: dict[str, Any]) -> None:
        """What went wrong around jobs: a name that nobody defines, a worker that was killed."""
        reported = self._reported.get()
        self._reported.set(None)
        if error is reported or not _is_on():
            return
        with sentry_sdk.isolation_scope() as scope:
            scope.set_tag("jobd.context", str(context.get("context", "")))
            if isinstance(job := context.get("job"), dict):
                _put(scope, cast("Payload", job))
            _capture(error)


def _is_on() -> bool:
    return sentry_sdk.get_client().get_integration(JobdIntegration) is not None


def _put(scope: sentry_sdk.Scope, payload: Payload) -> None:
    keys = ("class", "jid", "queue", "retry", "retry_count", "created_at", "enqueued_at", "tags")
    told = {key: payload[key] for key in keys if key in payload}
    if sentry_sdk.get_client().should_send_default_pii():
        told["args"] = payload["args"]
    scope.set_context("jobd", told)
    scope.set_tag("jobd.class", str(payload.get("class")))
    scope.set_tag("jobd.queue", str(payload.get("queue")))
    scope.set_transaction_name(str(payload.get("class")), source=TransactionSource.TASK)


def _describe(span: Any, payload: Payload) -> None:
    span.set_data("messaging.system", "jobd")
    span.set_data("messaging.message.id", payload.get("jid"))
    span.set_data("messaging.destination.name", payload.get("queue"))
    failures = payload.get("retry_count")
    retries = failures + 1 if isinstance(failures, int) else 0
    span.set_data("messaging.message.retry.count", retries)


def _capture(error: BaseException) -> None:
    event, hint = event_from_exception(
        error,
        client_options=sentry_sdk.get_client().options,
        mechanism={"type": "jobd", "handled": False},
    )
    sentry_sdk.capture_event(event, hint=hint)
