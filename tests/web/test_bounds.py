"""No page costs more as the backlog grows: every command that a page sends is looked at."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.servers import Raw, connect
from tests.web.stock import Stock, a_failed_job, a_job
from tests.web.test_pages import PAGES
from tests.web.visitor import Visitor

FORBIDDEN = {"KEYS", "SORT", "SCAN", "FLUSHALL", "FLUSHDB", "DEBUG", "LREM", "ZSCAN"}
MOST = 1_000


@contextmanager
def listening(redis_url: str, raw: Raw) -> Iterator[list[list[str]]]:
    """The commands that the server got meanwhile."""
    heard: list[list[str]] = []
    other = connect(redis_url, socket_timeout=10)
    with other.monitor() as monitor:
        yield heard
        raw.echo("that is all")
        for line in monitor.listen():
            words = re.findall(r'"((?:[^"\\]|\\.)*)"', f'"{line["command"]}"'.replace(" ", '" "'))
            if "that" in words:
                break
            heard.append(words)


def span(words: list[str]) -> int:
    """How many elements a command of ranks asks for."""
    first, last = int(words[2]), int(words[3])
    return last - first + 1 if (first < 0) == (last < 0) else 10**9


@pytest.mark.parametrize("path", [*PAGES, "/retries?q=nowhere", "/queues/default?page=999999"])
def test_a_page_sends_no_command_that_grows_with_the_backlog(
    visitor: Visitor, stock: Stock, raw: Raw, redis_url: str, path: str
) -> None:
    stock.queue(*(a_job("Echo", n) for n in range(3000)))
    for place in ("retry", "schedule", "dead"):
        stock.sorted(place, *(a_failed_job("Echo", n) for n in range(3000)))
    stock.ruby()
    with listening(redis_url, raw) as heard:
        assert visitor.get(path).status_code == 200
    names = {words[0].upper() for words in heard}
    assert {"ZCARD", "LLEN"} <= names
    assert names.isdisjoint(FORBIDDEN)
    for words in heard:
        if words[0].upper() in {"LRANGE", "ZRANGE", "ZREVRANGE"}:
            assert 0 < span(words) <= MOST, words


def test_a_search_of_many_stops_early_and_goes_on_where_it_stopped(
    visitor: Visitor, stock: Stock
) -> None:
    needle, *_ = stock.sorted("retry", a_failed_job("Needle"), in_s=9e6)
    stock.sorted("retry", *(a_failed_job("Hay", n, "x" * 300) for n in range(20_000)))
    path, asked = "/retries?q=class:Needle", 0
    while True:
        told = visitor.json(path)
        asked += 1
        if told["rows"]:
            break
        assert told["next_rank"] is not None
        assert 0 < told["seen"] < 20_001
        path = f"/retries?q=class:Needle&from={told['next_rank']}"
    assert told["rows"][0]["jid"] == needle["jid"]
    assert asked > 1
