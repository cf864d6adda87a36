"""Lists as CSV: what is in the file, and what a spreadsheet would make of it."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from jobd.web.export import harmless
from jobd.web.pages import queue, sets
from tests.web.stock import Stock, a_failed_job, a_job
from tests.web.visitor import Visitor


def exported(visitor: Visitor, path: str) -> tuple[str, list[dict[str, str]]]:
    """The name of the file, and its rows."""
    answer = visitor.get(path)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    kind, _, name = answer.headers["content-disposition"].partition("; filename=")
    assert kind == "attachment"
    return name.strip('"'), list(csv.DictReader(io.StringIO(answer.text, newline="")))


@pytest.mark.parametrize(
    ("path", "place"), [("/retries", "retry"), ("/dead", "dead"), ("/scheduled", "schedule")]
)
def test_a_set_is_exported_beyond_its_first_page(
    visitor: Visitor, stock: Stock, path: str, place: str
) -> None:
    jobs = stock.sorted(place, *(a_failed_job("Echo", n) for n in range(120)))
    name, rows = exported(visitor, f"{path}?format=csv")
    assert name == f"{path[1:]}.csv"
    assert {row["jid"] for row in rows} == {job["jid"] for job in jobs}
    assert {row["args"] for row in rows} == {str(number) for number in range(120)}
    assert set(rows[0]) == set(visitor.json(path)["rows"][0])


def test_an_export_respects_the_search_and_the_masks(
    make: Callable[..., Any], stock: Stock
) -> None:
    visitor = Visitor(make())
    stock.sorted("retry", a_failed_job("Login", {"password": "s3cret"}), a_failed_job("Other"))
    answer = visitor.get("/retries?q=class:Login&format=csv")
    assert "s3cret" not in answer.text
    assert "[redacted]" in answer.text
    _, rows = exported(visitor, "/retries?q=class:Login&format=csv")
    assert [(row["class_name"], row["is_masked"]) for row in rows] == [("Login", "true")]
    assert exported(visitor, "/retries?q=s3cret&format=csv")[1] == []


def test_a_list_is_a_file_of_json_lines_too(visitor: Visitor, stock: Stock) -> None:
    big = 2**70
    stock.sorted("dead", a_failed_job("Echo", big, "a\nb"), a_failed_job("\ud800Half"))
    answer = visitor.get("/dead?format=jsonl")
    assert answer.headers["content-disposition"] == 'attachment; filename="dead.jsonl"'
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [str(big) in row["args"] for row in rows].count(True) == 1
    assert [row["jid"] for row in rows] == [row["jid"] for row in visitor.json("/dead")["rows"]]


@pytest.mark.parametrize("order", ["", "&order=newest"])
def test_a_queue_is_exported_in_its_order(visitor: Visitor, stock: Stock, order: str) -> None:
    jobs = [job["jid"] for job in stock.queue(*(a_job("Echo", n) for n in range(1_200)))]
    name, rows = exported(visitor, f"/queues/default?format=csv{order}")
    assert name == "queue.csv"
    assert [row["jid"] for row in rows] == (jobs[::-1] if order else jobs)


def test_what_does_not_fit_is_said_by_the_name_of_the_file(
    visitor: Visitor, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "MOST_ROWS", 30)
    monkeypatch.setattr(queue, "MOST_ROWS", 30)
    stock.queue(*(a_job("Echo", n) for n in range(40)))
    stock.sorted("retry", *(a_failed_job("Echo", n) for n in range(40)))
    for path in ("/queues/default", "/retries"):
        name, rows = exported(visitor, f"{path}?format=csv")
        assert (name.endswith("-part.csv"), len(rows)) == (True, 30)
    name, rows = exported(visitor, "/retries?format=csv&from=30")
    assert (name, len(rows)) == ("retries-part.csv", 10)


def test_groups_are_exported_as_they_are_shown(visitor: Visitor, stock: Stock) -> None:
    stock.queue(a_job("Mail"), a_job("Mail"), a_job("Echo"))
    stock.sorted("dead", a_failed_job("Mail"), a_failed_job("Mail"))
    _, rows = exported(visitor, "/queues/default?group=class&format=csv")
    assert [(row["class_name"], row["count"]) for row in rows] == [("Mail", "2"), ("Echo", "1")]
    _, rows = exported(visitor, "/dead?group=error&format=csv")
    assert [(row["error_class"], row["count"]) for row in rows] == [("CardDeclined", "2")]


@pytest.mark.parametrize("path", ["/retries?", "/queues/default?", "/queues/default?group=class&"])
def test_an_empty_list_has_its_head(visitor: Visitor, path: str) -> None:
    answer = visitor.get(f"{path}format=csv")
    assert answer.text.startswith('"')
    assert answer.text.count("\r\n") == 1


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", " =1", "\n=1", "\r=1", "\uff1d1", '=cmd|"/c calc"!A1'],
)
def test_what_begins_like_a_formula_is_plain_text(
    visitor: Visitor, stock: Stock, text: str
) -> None:
    stock.sorted("dead", a_failed_job(text, error_class=text, error_message=text, tags=[text]))
    (row,) = exported(visitor, "/dead?format=csv")[1]
    for column in ("class_name", "error_class", "error_message"):
        assert row[column] == f"'{text}".replace("\r\n", "\n")


def test_a_number_and_an_ordinary_text_stay_what_they_are() -> None:
    assert [harmless(text) for text in ("Mail", "a=b", "", "'x", "größe")] == [
        *("Mail", "a=b", "", "'x", "größe"),
    ]
    assert harmless("a\u202eb") == "a⟨U+202E⟩b"


def test_a_page_that_is_no_list_offers_no_file(visitor: Visitor, stock: Stock) -> None:
    stock.sorted("dead", a_failed_job())
    assert "format=csv" in visitor.get("/dead").text
    assert "format=csv" not in visitor.get("/processes").text
    assert visitor.get("/processes?format=csv").headers["content-type"].startswith("text/html")
