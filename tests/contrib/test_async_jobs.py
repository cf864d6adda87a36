"""Jobs that run at once in one loop: what each library keeps for a job is that job's own."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

MEET = """
import asyncio, json
import jobd
from tests.support.sample_jobs import record

barrier = asyncio.Barrier(3)

def write(name, line):
    with open(name, "a") as file:
        file.write(json.dumps(line) + "\\n")
"""

SENTRY = """
import sentry_sdk
from jobd.contrib.sentry import JobdIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.transport import Transport

class Recording(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            write("lines.jsonl", item.payload.json)

sentry_sdk.init(
    "https://k@sentry.example/1",
    transport=Recording,
    integrations=[JobdIntegration()],
    disabled_integrations=[DedupeIntegration()],  # it would hide that one is told twice
)

class Meet(jobd.Job):
    async def perform(self, number):
        sentry_sdk.add_breadcrumb(message=f"crumb {number}")
        await barrier.wait()
        sentry_sdk.set_tag("number", number)
        await barrier.wait()
        raise RuntimeError(f"error {number}")
"""

OPENTELEMETRY = """
from jobd.contrib.opentelemetry import instrument
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
line = lambda span: span.to_json(indent=None) + "\\n"
exporter = ConsoleSpanExporter(out=open("lines.jsonl", "a"), formatter=line)
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
instrument()

class Meet(jobd.Job):
    async def perform(self, number):
        await barrier.wait()
        with trace.get_tracer("shop").start_as_current_span(f"query {number}"):
            await barrier.wait()
        record("done", "Meet", self.jid, [number])
"""

FLASK = """
import flask
from jobd.contrib.flask import Jobd

app = flask.Flask("shop")
Jobd(app)

@app.teardown_appcontext
def tell(error):
    record("teardown", "Meet", None, [flask.g.number])

class Meet(jobd.Job):
    async def perform(self, number):
        flask.g.number = number
        await barrier.wait()
        record("done", "Meet", self.jid, [number, flask.g.number, flask.current_app.name])
        await barrier.wait()
"""

SQLALCHEMY = """
from jobd.contrib.sqlalchemy import enqueue_on_commit
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

Session = async_sessionmaker(create_async_engine("sqlite+aiosqlite:///shop.db"))
enqueue_on_commit(Session)

class Welcome(jobd.Job, queue="later"):
    def perform(self, number): ...

class Meet(jobd.Job):
    async def perform(self, number):
        async with Session.begin() as session:
            await session.execute(text("SELECT 1"))
            await barrier.wait()
            await Welcome.aperform_async(number)
            await barrier.wait()
            if number == 1:
                await session.rollback()
        record("done", "Meet", self.jid, [number])
"""


def meeting(raw: Raw, start_jobd: StartJobd, jobs: str) -> tuple[JobdProcess, list[str]]:
    """Three jobs that wait for each other in a worker with this code."""
    jobd = start_jobd(jobs=MEET + jobs)
    return jobd, [wire.push(raw, "Meet", number) for number in range(3)]


def test_each_job_has_a_scope_of_its_own_and_is_told_once(raw: Raw, start_jobd: StartJobd):
    jobd, jids = meeting(raw, start_jobd, SENTRY)
    eventually(lambda: raw.zcard("retry") == 3, message=jobd.log)
    assert jobd.stop() == 0
    told = {
        event["contexts"]["jobd"]["jid"]: (
            event["tags"]["number"],
            [crumb["message"] for crumb in event["breadcrumbs"]["values"]],
            event["exception"]["values"][-1]["value"],
        )
        for event in lines(jobd)
    }
    assert told == {jids[n]: (n, [f"crumb {n}"], f"error {n}") for n in range(3)}
    assert len(lines(jobd)) == 3


def test_each_job_has_a_span_of_its_own_around_what_it_awaits(raw: Raw, start_jobd: StartJobd):
    jobd, jids = meeting(raw, start_jobd, OPENTELEMETRY)
    eventually(lambda: len(jobd.ran()) == 3, message=jobd.log)
    assert jobd.stop() == 0
    spans = {span["context"]["span_id"]: span for span in lines(jobd)}
    queries = [span for span in spans.values() if span["name"].startswith("query")]
    found = {
        query["name"]: spans[query["parent_id"]]["attributes"]["messaging.message.id"]
        for query in queries
    }
    assert found == {f"query {n}": jids[n] for n in range(3)}
    runs = [span for span in spans.values() if span["name"] == "Meet process"]
    assert [(run["parent_id"], run["status"]["status_code"]) for run in runs] == [
        (None, "UNSET")
    ] * 3


def test_each_job_has_an_app_context_of_its_own_and_its_teardown(raw: Raw, start_jobd: StartJobd):
    jobd, _ = meeting(raw, start_jobd, FLASK)
    eventually(lambda: len(jobd.ran("teardown")) == 3, message=jobd.log)
    assert sorted(run["args"] for run in jobd.ran()) == [[n, n, "shop"] for n in range(3)]
    assert Counter(run["args"][0] for run in jobd.ran("teardown")) == Counter(range(3))


def test_what_each_job_pushes_waits_for_its_own_session(raw: Raw, start_jobd: StartJobd):
    jobd, _ = meeting(raw, start_jobd, SQLALCHEMY)
    eventually(lambda: len(jobd.ran()) == 3, message=jobd.log)
    assert sorted(job["args"] for job in wire.queued(raw, "later")) == [[0], [2]]


def lines(jobd: JobdProcess) -> list[dict[str, Any]]:
    """What a library has sent: it went to a file."""
    return [json.loads(line) for line in (jobd.directory / "lines.jsonl").read_text().splitlines()]
