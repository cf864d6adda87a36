"""The page of a job, and what is told of one that runs."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest

from jobd.errors import ConfigError
from jobd.web import Settings
from tests.support.servers import Raw
from tests.web.stock import Stock, a_failed_job, a_job
from tests.web.visitor import Visitor

pytestmark = pytest.mark.redis

LISTS = {"schedule": "/scheduled", "retry": "/retries", "dead": "/dead"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def page_of(visitor: Visitor, place: str) -> str:
    row = visitor.json(LISTS[place])["rows"][0]
    return f"/job?{urlencode({'in': place, 'id': row['id']})}"


def test_a_job_is_told_as_python(visitor: Visitor, stock: Stock) -> None:
    stock.sorted("retry", a_failed_job("ChargeCard", 7, {"a": [None, True]}, queue="critical"))
    twin = visitor.json(page_of(visitor, "retry"))
    assert twin["python"] == (
        "ChargeCard.set(queue='critical', retry=True).perform_async(7, {'a': [None, True]})"
    )
    kinds = [event["kind"] for event in twin["timeline"]]
    assert kinds == ["created", "queued", "failed", "failed_again", "retried"]


@pytest.mark.parametrize(("failures", "attempts"), [(1, [1]), (2, [1, 2]), (7, [1, 7])])
def test_a_timeline_numbers_the_runs_that_failed(
    visitor: Visitor, stock: Stock, failures: int, attempts: list[int]
) -> None:
    job = a_failed_job(retry_count=failures - 1)
    if failures == 1:
        del job["retried_at"]
    stock.sorted("retry", job)
    page = page_of(visitor, "retry")
    told = [(event["attempt"], event["detail"]) for event in visitor.json(page)["timeline"]]
    failed = [each for each in told if each[0]]
    assert [number for number, _ in failed] == attempts
    assert failed[-1][1] == "CardDeclined: the bank says no (code 51)"
    text = visitor.get(page).text
    assert f"run {failures}</small>" in text
    assert ("Nothing is kept" in text) == (failures > 2)


def test_a_timeline_has_the_error_of_each_attempt_that_is_kept(
    visitor: Visitor, stock: Stock
) -> None:
    job = a_failed_job(retry_count=2)
    stock.sorted("retry", job)
    stock.past_errors(job, ("IOError", job["failed_at"]), ("<b>Late</b>", job["failed_at"] + 9))
    stock.past_errors({**job, "failed_at": 1}, ("OfAnotherRun", 1))
    page = page_of(visitor, "retry")
    told = [event for event in visitor.json(page)["timeline"] if event["attempt"]]
    assert [(each["kind"], each["attempt"], each["detail"]) for each in told] == [
        ("failed", 1, "IOError: told"),
        ("failed_between", 2, "<b>Late</b>: told"),
        ("failed_again", 3, "CardDeclined: the bank says no (code 51)"),
    ]
    text = visitor.get(page).text
    assert "&lt;b&gt;Late" in text
    assert "Nothing is kept" not in text


def the_run(visitor: Visitor, stock: Stock) -> str:
    stock.instance(stock.ruby())
    (row,) = visitor.json("/running")["rows"]
    return f"/job?{urlencode({'in': 'running', 'id': row['job']['id']})}"


def test_a_running_job_shows_where_it_is_and_its_lines_without_secrets(
    visitor: Visitor, stock: Stock
) -> None:
    page = the_run(visitor, stock)
    twin = visitor.json(page)
    assert quote_plus(twin["job"]["id"]) in page
    assert (twin["look"], twin["acts"]) == (None, ["look", "cancel", "kill_running"])
    assert [event["kind"] for event in twin["timeline"]][-1] == "started"
    stock.look("File x in perform", ['sent {"token": "tok_1"}', "printed"])
    look = visitor.json(page)["look"]
    assert look["stacks"] == "File x in perform"
    assert look["lines"][1] == "printed"
    assert "tok_1" not in visitor.get(page).text
    stock.look("File x in perform", None)
    assert "Python code does not go on" in visitor.get(page).text


def test_who_may_not_look_does_not_see_what_others_asked_for(
    make: Callable[..., Any], stock: Stock
) -> None:
    visitor = Visitor(make(authenticate=lambda _request, act: "ada" if act == "read" else None))
    page = the_run(visitor, stock)
    stock.look("File x in perform", ["printed"])
    assert visitor.json(page)["look"] is None
    assert "printed" not in visitor.get(page).text


def test_workers_that_died_with_a_job_are_told(visitor: Visitor, stock: Stock) -> None:
    stock.sorted("retry", a_failed_job(recovered=2))
    page = page_of(visitor, "retry")
    assert visitor.json(page)["lost_workers"] == 2
    assert "2 workers died while they ran it." in visitor.get(page).text


@pytest.mark.parametrize(
    "carried",
    [
        {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        {"trace_propagation_headers": {"sentry-trace": f"{TRACE}-00f067aa0ba902b7-1"}},
    ],
)
def test_a_job_leads_to_its_trace(
    make: Callable[..., Any], stock: Stock, carried: dict[str, Any]
) -> None:
    stock.sorted("retry", a_failed_job(**carried))
    visitor = Visitor(make(trace_url="https://traces.example.com/t/{trace_id}?from=jobd"))
    page = page_of(visitor, "retry")
    assert visitor.json(page)["trace"] == TRACE
    assert f'href="https://traces.example.com/t/{TRACE}?from=jobd"' in visitor.get(page).text


@pytest.mark.parametrize("text", [f'00-{TRACE}"><script>-01', 7, ["00"], None])
def test_what_is_no_trace_leads_nowhere(
    make: Callable[..., Any], stock: Stock, text: object
) -> None:
    headers = {"sentry-trace": text}
    stock.sorted("retry", a_failed_job(traceparent=text, trace_propagation_headers=headers))
    visitor = Visitor(make(trace_url="https://traces.example.com/{trace_id}"))
    page = page_of(visitor, "retry")
    assert visitor.json(page)["trace"] == visitor.json(page)["trace_url"] == ""
    assert "traces.example.com" not in visitor.get(page).text


@pytest.mark.parametrize("url", ["https://traces.example.com/", "javascript:'{trace_id}'"])
def test_the_address_of_traces_is_one_and_has_a_place_for_them(url: str) -> None:
    with pytest.raises(ConfigError, match="trace_url"):
        Settings(trace_url=url)


def test_arguments_are_there_to_be_copied_as_far_as_they_may_be_seen(
    visitor: Visitor, stock: Stock
) -> None:
    stock.sorted("retry", a_failed_job("Echo", 2**70, {"token": "hush"}, "é"))
    twin = visitor.json(page_of(visitor, "retry"))
    assert twin["args_json"] == '[1180591620717411303424, {"token": "[redacted]"}, "é"]'


def test_how_far_a_running_iterable_job_has_come_is_told(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    identity = stock.ruby()
    for jid in ("iterates", "does not"):
        work = {"queue": "ruby", "payload": json.dumps(a_job("Walk", jid=jid)), "run_at": 1}
        raw.hset(f"{identity}:work", jid, json.dumps(work))
    raw.hset("it-iterates", mapping={"ex": 2, "c": '{"user": 4711}', "rt": 3.5, "n": 12_345})
    rows = {row["worker"]: row for row in visitor.json("/running")["rows"]}
    told = {name: (row["got_to"], row["items"]) for name, row in rows.items()}
    nothing = ("", 0)
    assert told == {"iterates": ('{"user": 4711}', 12_345), "does not": nothing, "tid1": nothing}
    assert "got to {&#34;user&#34;: 4711}, 12,345 items done" in visitor.get("/running").text
    query = urlencode({"in": "running", "id": rows["iterates"]["job"]["id"]})
    page = visitor.json(f"/job?{query}")
    assert (page["iteration"], page["items"]) == ('{"user": 4711}', 12_345)
    assert "12,345 items done" in visitor.get(f"/job?{query}").text


def test_the_limit_of_a_running_job_is_told(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    identity = stock.ruby()
    raw.hset(f"jobd:instance:{identity}", "limits", '{"tid1":90}')
    (row,) = visitor.json("/running")["rows"]
    assert row["limit_s"] == 90
    assert "limit 1 min 30 s" in visitor.get("/running").text
    page = f"/job?{urlencode({'in': 'running', 'id': row['job']['id']})}"
    assert visitor.json(page)["limit_s"] == 90
    assert "<dt>Limit</dt><dd>1 min 30 s</dd>" in visitor.get(page).text


def test_a_job_is_slow_if_it_was_so_when_its_process_told_of_it(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    stock.metrics({"HardJob": 0.1}, minutes=5)
    identity = stock.ruby()
    now_s = int(float(raw.hget(identity, "beat")))
    for tid, ago_s in (("long", 60), ("short", 0)):
        work = {"queue": "ruby", "payload": json.dumps(a_job("HardJob")), "run_at": now_s - ago_s}
        raw.hset(f"{identity}:work", tid, json.dumps(work))
    raw.hdel(f"{identity}:work", "tid1")
    rows = {row["worker"]: row for row in visitor.json("/running")["rows"]}
    assert rows["long"]["is_slow"]
    assert not rows["short"]["is_slow"]
    assert rows["long"]["usual"]["p99_s"] < 1
