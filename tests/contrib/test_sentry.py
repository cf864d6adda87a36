"""Errors and traces of jobs, through the real SDK into a transport that records."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

import jobd
from jobd.app import current_app  # noqa: TID251 - put back after the tests
from jobd.contrib.sentry import JobdIntegration
from jobd.errors import JobInterrupted
from jobd.jobs import registry
from jobd.middleware import Chain
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.recording_store import RecordingStore
from tests.support.servers import Raw

DSN = "https://key@sentry.example/1"

SERVER = """
import json
import jobd, sentry_sdk
from jobd.contrib.sentry import JobdIntegration
from sentry_sdk.transport import Transport
from tests.support.sample_jobs import Echo


class Recording(Transport):
    def capture_envelope(self, envelope):
        with open("events.jsonl", "a") as file:
            for item in envelope.items:
                file.write(json.dumps(item.payload.json) + "\\n")


sentry_sdk.init(
    "https://key@sentry.example/1", transport=Recording, integrations=[JobdIntegration()]
)


class Charge(jobd.Job):
    def perform(self, word):
        sentry_sdk.add_breadcrumb(message="about to fail")
        raise RuntimeError(word)
"""


class Recording(Transport):
    """Keeps what would be sent."""

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__(options)
        self.sent: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent += [item.payload.json for item in envelope.items if item.payload.json]

    def of_type(self, kind: str | None) -> list[dict[str, Any]]:
        return [event for event in self.sent if event.get("type") == kind]


@pytest.fixture(scope="module")
def _integrated() -> Iterator[None]:
    """An integration is set up once in a process; what it adds is taken away at the end."""
    app = current_app()
    before = list(app.client_middleware), list(app.server_middleware)
    yield
    for chain, links in zip((app.client_middleware, app.server_middleware), before, strict=True):
        for link in list(chain):
            if link not in links:
                chain.remove(link)  # type: ignore[arg-type]
    app.hooks.error_handlers.clear()
    app.hooks._events["exit"].clear()


@pytest.fixture
def sentry(_integrated: None) -> Iterator[Recording]:
    with sentry_sdk.isolation_scope():
        transport = Recording()
        sentry_sdk.init(
            DSN,
            transport=transport,
            integrations=[JobdIntegration()],
            default_integrations=False,
            traces_sample_rate=1.0,
        )
        yield transport
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)


@pytest.fixture
def failing() -> Iterator[list[BaseException]]:
    """What a job ``Welcome`` raises, if anything."""
    errors: list[BaseException] = []

    class Welcome(jobd.Job):
        def perform(self, user: int) -> None:
            sentry_sdk.add_breadcrumb(message=f"user {user}")
            for error in errors:
                raise error

    yield errors
    registry.forget("Welcome")


def run(**fields: Any) -> None:
    """Run a job ``Welcome`` as a server does."""
    payload = wire.a_payload("Welcome", 1, **fields)
    kind = registry.find("Welcome")
    assert kind is not None
    chain = Chain(*current_app().server_middleware)
    chain.fold(jobd.jobs.perform)(kind.from_payload(payload), payload)


def test_a_failure_is_an_event_with_the_job_and_without_its_arguments(
    sentry: Recording, failing: list[BaseException]
) -> None:
    error = ValueError("no such user")
    failing.append(error)
    with pytest.raises(ValueError, match="no such user"):
        run(jid="b4a5", retry_count=0)
    current_app().hooks.report_error(error, {"context": "job raised", "job": {}})

    (event,) = sentry.of_type(None)
    assert event["exception"]["values"][-1]["value"] == "no such user"
    assert event["exception"]["values"][-1]["mechanism"]["handled"] is False
    assert event["transaction"] == "Welcome"
    assert event["tags"]["jobd.queue"] == "default"
    told = event["contexts"]["jobd"]
    assert (told["jid"], told["retry_count"]) == ("b4a5", 0)
    assert "args" not in told
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["user 1"]


def test_a_job_that_is_done_or_interrupted_is_no_event(
    sentry: Recording, failing: list[BaseException]
) -> None:
    run()
    failing.append(JobInterrupted())
    with pytest.raises(JobInterrupted):
        run()
    assert sentry.of_type(None) == []


def test_what_goes_wrong_around_jobs_is_an_event_too(sentry: Recording) -> None:
    job = wire.a_payload("Nobody", jid="b4a5")
    current_app().hooks.report_error(LookupError("no job"), {"context": "job raised", "job": job})
    current_app().hooks.report_error(
        ValueError("bad"), {"context": "malformed payload", "raw": b""}
    )

    first, second = sentry.of_type(None)
    assert first["contexts"]["jobd"]["jid"] == "b4a5"
    assert second["tags"]["jobd.context"] == "malformed payload"


def test_a_run_goes_on_with_the_trace_of_its_push(
    sentry: Recording, failing: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RecordingStore()
    monkeypatch.setattr(current_app(), "open_store", lambda _redis: store)
    with sentry_sdk.start_transaction(op="http.server", name="POST /signup"):
        jobd.push({"class": "Welcome", "args": [1]})
    (payload,) = store.pushed
    run(**{key: payload[key] for key in ("jid", "trace_propagation_headers")})

    request, job = sentry.of_type("transaction")
    (push,) = request["spans"]
    assert (push["op"], push["description"]) == ("queue.publish", "Welcome")
    trace = job["contexts"]["trace"]
    assert (job["transaction"], trace["op"]) == ("Welcome", "queue.process")
    assert trace["trace_id"] == request["contexts"]["trace"]["trace_id"]
    assert trace["parent_span_id"] == push["span_id"]
    assert trace["data"]["messaging.message.id"] == payload["jid"]


def test_without_sentry_nothing_is_added_to_a_push(
    sentry: Recording, failing: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RecordingStore()
    monkeypatch.setattr(current_app(), "open_store", lambda _redis: store)
    sentry_sdk.init()
    jobd.push({"class": "Welcome", "args": [1]})
    run()
    assert "trace_propagation_headers" not in store.pushed[0]
    assert sentry.sent == []


@pytest.mark.redis
@pytest.mark.process
def test_a_server_sends_each_failure_once_with_its_own_breadcrumbs(
    raw: Raw, start_jobd: StartJobd
) -> None:
    for word in ("one", "two"):
        wire.push(raw, "Charge", word)
    wire.push(raw, "Nobody")
    server = start_jobd(jobs=SERVER)
    wire.push(raw, "Echo")
    eventually(server.ran, message=server.log)
    assert server.stop() == 0

    lines = (server.directory / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    errors = [event["exception"]["values"][-1] for event in events if "exception" in event]
    assert [(error["type"], error["value"]) for error in errors[:2]] == [
        ("RuntimeError", "one"),
        ("RuntimeError", "two"),
    ]
    assert [error["type"] for error in errors[2:]] == ["UnknownJob"]
    assert [len(event["breadcrumbs"]["values"]) for event in events[:2]] == [1, 1]
