"""What the dashboard has processes do, by plain forms."""

from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.ruby import Ruby
from tests.support.servers import Raw
from tests.web.stock import Stock, a_failed_job
from tests.web.visitor import Visitor


def test_rubys_process_is_told_what_it_understands(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    identity = stock.ruby()
    for act, signal in [("quiet", b"TSTP"), ("dump", b"TTIN"), ("stop", b"TERM")]:
        visitor.post("/processes", identity=identity, act=act)
        assert raw.lindex(f"{identity}-signals", 0) == signal
    refused = visitor.post("/processes", identity=identity, act="resume")
    assert refused.status_code == 409
    assert "stop it and start a new one" in refused.text


def test_jobd_reloads_and_ruby_cannot(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    ruby, ours = stock.ruby(), stock.ruby("here:1:abc")
    stock.instance(ours)
    visitor.post("/processes", identity=ours, act="reload")
    assert raw.lrange(f"{ours}-signals", 0, -1) == [b"HUP"]
    refused = visitor.post("/processes", identity=ruby, act="reload")
    assert (refused.status_code, raw.exists(f"{ruby}-signals")) == (409, 0)


def test_why_a_reload_changed_nothing_is_told(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    ours = stock.ruby("here:1:abc")
    stock.instance(ours)
    reason = "SyntaxError in <app.py>"
    raw.hset(f"jobd:instance:{ours}", mapping={"reload": "failed", "reload_text": reason})
    assert "changed nothing: SyntaxError in &lt;app.py&gt;" in visitor.get("/processes").text
    raw.hset(f"jobd:instance:{ours}", "reload", "done")
    assert "changed nothing" not in visitor.get("/processes").text


def test_a_process_that_has_left_is_said_to_have(visitor: Visitor, stock: Stock) -> None:
    stock.ruby()
    answer = visitor.post("/processes", identity="gone:1:x", act="stop")
    assert answer.status_code == 404


@pytest.mark.process
def test_an_instance_of_jobd_is_quieted_resumed_and_stopped(
    visitor: Visitor, start_jobd: StartJobd
) -> None:
    server = start_jobd(config={"concurrency": 1})

    def state() -> str:
        return str(visitor.json("/processes")["hosts"][0]["processes"][0]["state"])

    eventually(lambda: state() == "running")
    identity = visitor.json("/processes")["hosts"][0]["processes"][0]["identity"]
    for act, becomes in [("quiet", "quiet"), ("resume", "running")]:
        visitor.post("/processes", identity=identity, act=act)
        eventually(lambda becomes=becomes: state() == becomes)
    visitor.post("/processes", identity="all", act="stop")
    assert server.wait() == 0


@pytest.mark.process
def test_a_real_ruby_process_obeys(visitor: Visitor, redis_url: str, tmp_path: Any) -> None:
    with Ruby(redis_url, tmp_path).worker(["HardJob"], queues=["ruby"]):
        rows = eventually(lambda: visitor.json("/processes")["hosts"][0]["processes"])
        visitor.post("/processes", identity=rows[0]["identity"], act="quiet")
        eventually(
            lambda: visitor.json("/processes")["hosts"][0]["processes"][0]["state"] == "quiet",
        )


@pytest.mark.process
def test_a_job_of_rubys_is_retried_and_run_by_ruby(
    visitor: Visitor, redis_url: str, raw: Raw, stock: Stock, tmp_path: Any
) -> None:
    stock.sorted("retry", a_failed_job("HardJob", 1, queue="ruby"))
    visitor.post(
        "/retries", id=[row["id"] for row in visitor.json("/retries")["rows"]], act="retry"
    )
    with Ruby(redis_url, tmp_path).worker(["HardJob"], queues=["ruby"]):
        eventually(lambda: raw.llen("queue:ruby") == 0 and raw.get("stat:processed"))
