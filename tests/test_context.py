"""Context variables that travel with jobs."""

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

import jobd
from jobd.app import current_app  # noqa: TID251 - put back after each test
from jobd.config import RedisSettings
from jobd.context import Carrier
from jobd.errors import ConfigError, InvalidArguments
from jobd.jobs import registry
from jobd.middleware import Chain
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.recording_store import RecordingStore
from tests.support.servers import Raw

tenant: ContextVar[Any] = ContextVar("tenant", default="nobody")
locale: ContextVar[Any] = ContextVar("locale")

SERVER = """
from contextvars import ContextVar
import jobd
from tests.support.sample_jobs import record

tenant = ContextVar("tenant", default="nobody")
jobd.carry(tenant)


class Child(jobd.Job):
    def perform(self):
        record("done", "Child", self.jid, [tenant.get()])


class Look(jobd.Job):
    @classmethod
    def retry_in(cls, count, error, payload):
        return 0.01

    def perform(self):
        record("look", "Look", self.jid, [tenant.get()])
        tenant.set("left over")
        if len(open("ran.jsonl").readlines()) == 1:
            raise RuntimeError("first try")
        tenant.set("passed on")
        Child.perform_async()
"""


@pytest.fixture(autouse=True)
def carried() -> Iterator[None]:
    """Both variables are carried, in this test only."""
    app = current_app()
    jobd.carry(tenant, locale)
    yield
    carrier = next(link for link in app.client_middleware if isinstance(link, Carrier))
    app.client_middleware.remove(carrier)
    app.server_middleware.remove(carrier.restore)
    app.carried.clear()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> RecordingStore:
    recording = RecordingStore()
    monkeypatch.setattr(current_app(), "open_store", lambda _redis: recording)
    return recording


@pytest.fixture
def seen() -> Iterator[list[tuple[Any, Any]]]:
    """What a job ``See`` found."""
    found: list[tuple[Any, Any]] = []

    class See(jobd.Job):
        def perform(self) -> None:
            found.append((tenant.get(), locale.get(None)))
            tenant.set("of the job")

    yield found
    registry.forget("See")


def see(**fields: Any) -> None:
    """Run a job ``See`` with these fields in its payload, as a server does."""
    payload = wire.a_payload("See", **fields)
    kind = registry.find("See")
    assert kind is not None
    chain = Chain(*current_app().server_middleware)
    chain.fold(jobd.jobs.perform)(kind.from_payload(payload), payload)


def test_what_is_set_travels_and_what_is_not_does_not(store: RecordingStore) -> None:
    jobd.push({"class": "See", "args": []})
    token = tenant.set({"id": 7, "name": "zoë"})
    jobd.push({"class": "See", "args": []})
    jobd.push_bulk({"class": "See", "args": [[], []]})
    tenant.reset(token)
    first, *others = store.pushed
    assert "cattr" not in first
    assert [job["cattr"] for job in others] == [{"tenant": {"id": 7, "name": "zoë"}}] * 3


def test_what_a_payload_has_already_stays(store: RecordingStore) -> None:
    token = tenant.set("acme")
    jobd.push({"class": "See", "args": [], "cattr": {"tenant": "other"}})
    tenant.reset(token)
    assert store.pushed[0]["cattr"] == {"tenant": "other"}


def test_a_value_that_json_cannot_carry_is_refused_at_the_push(store: RecordingStore) -> None:
    token = tenant.set(object())
    with pytest.raises(InvalidArguments, match="cattr"):
        jobd.push({"class": "See", "args": []})
    tenant.reset(token)
    assert store.writes == []


def test_a_job_sees_what_travelled_and_leaves_nothing_behind(seen: list[tuple[Any, Any]]) -> None:
    see(cattr={"tenant": "acme", "locale": "fr", "removed since": 1})
    see()
    assert seen == [("acme", "fr"), ("nobody", None)]
    assert tenant.get() == "nobody"


@pytest.mark.parametrize("cattr", [None, [], "x", {}])
def test_what_is_no_object_of_values_is_none(seen: list[tuple[Any, Any]], cattr: object) -> None:
    see(cattr=cattr)
    assert seen == [("nobody", None)]


def test_inline_a_job_sees_it_too(seen: list[tuple[Any, Any]]) -> None:
    token = locale.set("de")
    registry.find("See").perform_inline()  # type: ignore[union-attr]
    locale.reset(token)
    assert seen == [("nobody", "de")]


def test_two_variables_of_one_name_are_refused() -> None:
    jobd.carry(tenant)
    with pytest.raises(ConfigError, match='two context variables are called "tenant"'):
        jobd.carry(ContextVar("tenant"))


@pytest.mark.redis
@pytest.mark.process
def test_a_retry_has_what_the_push_had_and_so_has_what_the_job_pushes(
    raw: Raw, redis_url: str, start_jobd: StartJobd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current_app(), "redis", RedisSettings(url=redis_url))
    token = tenant.set("acme")
    jobd.push({"class": "Look", "args": []})
    tenant.reset(token)

    server = start_jobd(jobs=SERVER)

    (child,) = eventually(server.ran, message=server.log)
    assert [run["args"] for run in server.ran("look")] == [["acme"], ["acme"]]
    assert child["args"] == ["passed on"]
