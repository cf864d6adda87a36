"""What came into each queue and what ran, and what queues and hosts have cost."""

import dataclasses
import json
from typing import Any

import pytest

from jobd.api import Access
from jobd.keys import Keys
from jobd.web import create_app
from tests.support.clock import FakeClock
from tests.support.servers import Raw
from tests.web.stock import Stock, a_job
from tests.web.visitor import Visitor

pytestmark = pytest.mark.redis

QUEUES = Keys().metrics_by("queue")
HOSTS = Keys().metrics_by("host")
WAITS = Keys().metrics_by("wait")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def watcher(access: Access, clock: FakeClock) -> Visitor:
    """Somebody whose time passes when the test says so."""
    return Visitor(create_app(access=dataclasses.replace(access, clock=clock)))


def rates_of(visitor: Visitor, name: str) -> Any:
    rows = {row["name"]: row for row in visitor.json("/queues")["rows"]}
    return rows[name]["rates"]


def jobds(raw: Raw, stock: Stock, identity: str = "here:1:abc") -> None:
    """One of jobd's processes, which serves the same queues as a Ruby one."""
    stock.ruby(identity)
    stock.instance(identity)
    info = json.loads(raw.hget(identity, "info"))
    raw.hset(identity, "info", json.dumps({**info, "version": "0.1.0"}))


def test_what_ran_of_a_queue_is_known_at_once(watcher: Visitor, stock: Stock) -> None:
    stock.queue(a_job())
    stock.metrics({"default": 0.1}, minutes=3, keys=QUEUES)
    rates = rates_of(watcher, "default")
    # 120 to 126 jobs in each minute, of which this one may have just begun.
    assert 60 < rates["run"] <= 252
    assert rates["pushed"] is None
    assert "Known after some seconds of watching this page" in watcher.get("/queues").text


def test_what_came_is_what_ran_and_what_the_queue_grew_by(
    watcher: Visitor, stock: Stock, clock: FakeClock
) -> None:
    stock.queue(a_job())
    assert rates_of(watcher, "default") == {"pushed": None, "run": 0.0}
    stock.queue(*(a_job() for _ in range(30)))
    clock.advance(30)
    assert rates_of(watcher, "default") == {"pushed": 60.0, "run": 0.0}


def test_a_queue_that_shrinks_has_nothing_coming_and_is_empty_some_time_unless_it_is_paused(
    watcher: Visitor, stock: Stock, clock: FakeClock, raw: Raw
) -> None:
    stock.queue(*(a_job() for _ in range(30)))
    watcher.get("/queues")
    raw.rpop("queue:default", 20)
    clock.advance(30)
    assert rates_of(watcher, "default")["pushed"] == 0.0
    assert watcher.json("/queues")["rows"][0]["drained_in_s"] == 15.0
    raw.sadd("paused", "default")
    assert watcher.json("/queues")["rows"][0]["drained_in_s"] is None


def test_of_a_queue_that_ruby_serves_no_rate_is_told(watcher: Visitor, stock: Stock) -> None:
    stock.queue(a_job(), name="ruby")
    stock.ruby()
    stock.metrics({"ruby": 0.1}, minutes=3, keys=QUEUES)
    assert rates_of(watcher, "ruby") == {"pushed": None, "run": None}
    assert "do not count by queue" in watcher.get("/queues").text


def test_a_queue_that_only_jobd_serves_has_rates(watcher: Visitor, stock: Stock, raw: Raw) -> None:
    stock.queue(a_job(), name="ruby")
    jobds(raw, stock)
    assert rates_of(watcher, "ruby")["run"] == 0.0


def test_a_queues_own_page_tells_what_runs(visitor: Visitor, stock: Stock) -> None:
    stock.queue(a_job())
    stock.metrics({"default": 0.1}, minutes=3, keys=QUEUES)
    page = visitor.get("/queues/default").text
    assert "a minute run." in page
    assert "/metrics/default?by=queue" in page


@pytest.mark.parametrize(
    ("by", "keys", "name"), [("queue", QUEUES, "low"), ("host", HOSTS, "web-1")]
)
def test_metrics_are_told_by_queue_and_by_host(
    visitor: Visitor, stock: Stock, by: str, keys: Keys, name: str
) -> None:
    stock.metrics({"ChargeCard": 0.1}, minutes=3)
    stock.metrics({name: 0.2}, minutes=3, keys=keys)
    told = visitor.json(f"/metrics?by={by}")
    assert [(row["name"], told["by"]) for row in told["rows"]] == [(name, by)]
    assert told["rows"][0]["usual"]["p50_s"] > 0
    assert f"/metrics/{name}?hours=1&by={by}" in visitor.get(f"/metrics?by={by}").text
    one = visitor.json(f"/metrics/{name}?by={by}")
    assert (one["name"], one["by"], one["executions"]) == (name, by, told["rows"][0]["executions"])
    assert one["heat"]
    assert [row["name"] for row in visitor.json("/metrics?by=nonsense")["rows"]] == ["ChargeCard"]


def test_how_long_jobs_waited_is_told_of_each_queue(visitor: Visitor, stock: Stock) -> None:
    stock.metrics({"low": 0.2, "unwaited": 0.2}, minutes=3, keys=QUEUES)
    stock.metrics({"low": 7.0}, minutes=3, keys=WAITS)
    rows = {row["name"]: row for row in visitor.json("/metrics?by=queue&hours=2")["rows"]}
    assert rows["unwaited"]["waits"] is None
    waits = rows["low"]["waits"]
    assert 3 < waits["usual"]["p50_s"] < waits["usual"]["p95_s"] < waits["usual"]["p99_s"]
    assert (waits["samples"] > 300, 5 < waits["mean_s"] < 10) == (True, True)
    text = visitor.get("/metrics?by=queue").text
    assert text.count("Wait p95") == 3  # of the head, and of each row on a phone
    assert "Waits are sampled" in text

    one = visitor.json("/metrics/low?by=queue&hours=1")
    assert one["waits"]["samples"] > 300
    assert one["waits_heat"]
    assert "How long jobs waited in the queue" in visitor.get("/metrics/low?by=queue").text
    text = visitor.get("/metrics/unwaited?by=queue").text
    assert "No job of this queue was claimed in this time." in text
    beyond = visitor.json("/metrics/low?by=queue&hours=24")
    assert (beyond["waits"]["samples"] > 300, beyond["waits_heat"]) == (True, [])
    assert visitor.json("/metrics/low")["waits"] is None


@pytest.mark.parametrize("hours", [2, 8, 72])
def test_metrics_by_queue_of_several_hours_are_asked_for_by_ten_minutes(
    visitor: Visitor, stock: Stock, hours: int
) -> None:
    stock.metrics({"low": 0.2}, minutes=100, keys=QUEUES)
    (row,) = visitor.json(f"/metrics?by=queue&hours={hours}")["rows"]
    assert row["executions"] >= 100 * 120
    assert len(row["points"]) <= 60
