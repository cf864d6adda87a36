"""Every page, as HTML and as its JSON twin, of ordinary and of hostile data."""

import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from jobd.api import Access
from jobd.config import RedisSettings
from jobd.errors import ConfigError
from jobd.pool import Pool
from jobd.web import create_app
from jobd.web.pages import find
from tests.support.eventually import eventually
from tests.support.servers import Raw
from tests.web.stock import Stock, a_failed_job, a_job, fill
from tests.web.visitor import Visitor

PAGES = (
    *("/", "/processes", "/running", "/queues", "/queues/default", "/scheduled", "/retries"),
    *("/queues/default?group=class", "/retries?group=error"),
    *("/retries?q=class:ChargeCard", "/dead", "/find?jid=abc", "/jump?q=a"),
    *(
        "/metrics",
        "/metrics?by=queue",
        "/metrics/ChargeCard",
        "/metrics/ChargeCard?hours=24",
        "/configuration",
        "/audit",
        "/trash",
    ),
)
HOSTILE = '"><svg onload=alert(1)><script>alert(2)</script>{{7*7}}\u202egnp.exe\u2066\u0000\u200b'


class Elements(HTMLParser):
    """The elements of a page, and the handlers among their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.ids += [value or "" for name, value in attrs if name == "id"]


# All pages


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_an_empty_redis_says_what_would_stand_there(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 200
    assert "<h1>" in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_html_with_every_id_once(visitor: Visitor, stock: Stock, path: str) -> None:
    fill(stock)
    answer = visitor.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    ids = Elements(answer.text).ids
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_a_json_twin(visitor: Visitor, stock: Stock, path: str) -> None:
    fill(stock)
    twin = visitor.json(path)
    assert twin["page"]
    mark = "&" if "?" in path else "?"
    assert visitor.get(f"{path}{mark}format=json").json()["page"] == twin["page"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_works_under_any_prefix(make: Callable[..., Any], stock: Stock, path: str) -> None:

    fill(stock)
    app = Starlette(routes=[Mount("/admin/jobs", make())])
    text = Visitor(app).get(f"/admin/jobs{path}").text
    links = re.findall(r'(?:href|src|action)="(/[^"]*)"', text)
    assert links
    assert [link for link in links if not link.startswith("/admin/jobs/")] == []


def test_a_page_that_does_not_exist_says_so(visitor: Visitor) -> None:
    answer = visitor.get("/nowhere")
    assert answer.status_code == 404
    assert "no such page" in answer.text


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-1", "page=1e9", "page=999999999999999", "page=٣", "count=100000", "from=-5"],
)
def test_a_senseless_number_counts_as_not_given(visitor: Visitor, stock: Stock, query: str) -> None:
    fill(stock)
    for path in ("/retries", "/queues", "/queues/default", "/running", "/audit", "/?days=0"):
        mark = "&" if "?" in path else "?"
        assert visitor.get(f"{path}{mark}{query}").status_code == 200


def test_a_redis_that_is_away_is_said_in_so_many_words(make: Callable[..., Any]) -> None:

    settings = RedisSettings(url="redis://:s3cret@127.0.0.1:1/0", network_timeout=0.5)
    answer = Visitor(create_app(access=Access(redis=Pool(settings)))).get("/")
    assert answer.status_code == 503
    assert "Redis cannot be reached" in answer.text
    assert "s3cret" not in answer.text


# Queues of any name


@pytest.mark.parametrize(
    "name",
    [
        *(b"a\nb", b"..", b"a/../b", b"../../etc", b".", b"", b" a ", b"\xff\xfe", b"x" * 5000),
        *("größe/µ".encode(), b"a?b#c&d=e%41+", b"sha1:abc", b"a\xe2\x80\xaeb", b"<b>", b"a\x00"),
    ],
)
def test_a_queue_of_any_name_has_its_pages_and_acts(
    visitor: Visitor, raw: Raw, name: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "_BUDGET_S", 60.0)  # time for both queues, however busy we are
    raw.sadd("queues", name)
    jobs = [a_job("Echo", number) for number in range(3)]
    raw.lpush(b"queue:" + name, *map(json.dumps, jobs))
    listed = visitor.get("/queues")
    path = html.unescape(re.findall(r'href="(/queues/[^"?]*)"', listed.text)[0])
    own = visitor.get(path)
    assert [row["jid"] for row in visitor.json(path)["rows"]] == [job["jid"] for job in jobs]
    assert visitor.json("/queues")["rows"][0]["size"] == 3
    for page in (listed, own):
        hidden = html.unescape(re.findall(r'name="queue" value="([^"]*)"', page.text)[0])
        visitor.post("/queues", queue=hidden, act="pause")
        assert raw.smembers("paused") == {name}
        visitor.post("/queues", queue=hidden, act="unpause")
        assert raw.smembers("paused") == set()
    visitor.post(path, id=jobs[0]["jid"], act="kill")
    assert (raw.zcard("dead"), raw.llen(b"queue:" + name)) == (1, 2)
    link = html.unescape(re.findall(r'href="(/job\?[^"]*)"', own.text)[1])
    form = visitor.get(link).text
    place = html.unescape(re.findall(r'name="in" value="([^"]*)"', form)[0])
    visitor.post("/job", page="/", **{"in": place}, id=jobs[1]["jid"], act="move", target="low")
    assert (raw.llen("queue:low"), raw.llen(b"queue:" + name)) == (1, 1)
    # On a busy machine the time for a look may be over before it has come to the queues.
    (found,) = eventually(lambda: visitor.json(f"/find?jid={jobs[2]['jid']}")["places"])
    assert found["source"] == place
    assert visitor.get("/").status_code == visitor.get("/?format=json").status_code == 200
    visitor.post("/queues", queue=hidden, act="clear")
    assert raw.smembers("queues") == {b"low"}
    assert not raw.exists(b"queue:" + name)
    assert len(visitor.json("/audit")["rows"]) == 7


def test_a_queue_that_has_gone_is_said_to_have(visitor: Visitor) -> None:
    answer = visitor.get("/queues/sha1:" + 40 * "0")
    assert answer.status_code == 404
    assert "no such queue" in answer.text


@pytest.mark.parametrize("jid", ["a\nb", "a\u202eb", " a ", "x" * 201, "ä", '"<b>'])
def test_a_job_of_any_jid_can_be_acted_on(visitor: Visitor, stock: Stock, jid: str) -> None:
    stock.sorted("retry", a_failed_job("Echo", jid=jid), a_failed_job("Echo"))
    boxes = re.findall(r'name="id" value="([^"]*)"', visitor.get("/retries").text)
    visitor.post("/retries", id=html.unescape(boxes[0]), act="delete")
    assert [row["jid"] for row in visitor.json("/retries")["rows"]] != [jid[:200]]
    assert len(visitor.json("/retries")["rows"]) == 1


# What others may have written


def test_hostile_text_in_every_field_stays_text(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    fields: dict[str, Any] = {
        "jid": HOSTILE,
        "tags": [HOSTILE],
        "error_class": HOSTILE,
        "error_message": HOSTILE,
        "note": HOSTILE,
    }
    job = a_failed_job(HOSTILE, HOSTILE, {HOSTILE: [HOSTILE]}, **fields)
    stock.queue(job, name=HOSTILE)
    for place in ("schedule", "retry", "dead"):
        stock.sorted(place, {**job, "queue": HOSTILE})
    identity = stock.ruby(f"{HOSTILE}:1:x")
    info = {"hostname": HOSTILE, "tag": HOSTILE, "labels": [HOSTILE], "queues": [HOSTILE]}
    raw.hset(identity, "info", json.dumps({**info, "identity": identity, "version": HOSTILE}))
    work = {"queue": HOSTILE, "payload": json.dumps(job), "run_at": 1}
    raw.hset(f"{identity}:work", HOSTILE, json.dumps(work))
    jobs = [f"/job?in={place}" for place in ("schedule", "retry", "dead")]
    for path in (*PAGES, *jobs):
        text = visitor.get(path).text
        found = Elements(text)
        assert found.handlers == [], path
        assert found.names.count("script") == 1, path
        for letter in "\u202e\u2066\u0000\u200b":
            assert letter not in text, (path, letter)


def test_the_page_of_a_hostile_job_stays_text_too(visitor: Visitor, stock: Stock) -> None:
    job = a_failed_job(HOSTILE, HOSTILE, jid=HOSTILE, error_message=HOSTILE)
    stock.sorted("retry", job)
    row = visitor.json("/retries")["rows"][0]
    answer = visitor.get("/job", params={"in": "retry", "id": row["id"]})
    assert answer.status_code == 200
    assert Elements(answer.text).handlers == []
    assert "⟨U+202E⟩" in answer.text
    assert "\u202e" not in answer.text


@pytest.mark.parametrize(
    "raw_job",
    [b"\xff\xfe\x00", b"not json", b"[]", b"{}", b"null", b'{"class":1,"args":{}}', b"[" * 9000],
)
def test_what_is_no_job_is_shown_and_can_be_deleted(
    visitor: Visitor, raw: Raw, raw_job: bytes
) -> None:
    raw.zadd("retry", {raw_job: 2e9})
    raw.sadd("queues", "default")
    raw.lpush("queue:default", raw_job)
    row = visitor.json("/retries")["rows"][0]
    assert row["is_malformed"]
    assert visitor.get("/queues/default").status_code == 200
    assert visitor.get("/retries?group=error").status_code == 200
    page = visitor.get("/job", params={"in": "retry", "id": row["id"]})
    assert "not a job" in page.text
    assert visitor.post("/retries", id=row["id"], act="delete").status_code == 303
    assert raw.zcard("retry") == 0


def test_a_megabyte_in_every_argument_does_not_reach_the_browser(
    visitor: Visitor, stock: Stock
) -> None:
    for _ in range(10):
        stock.sorted("retry", a_failed_job("Big", "x" * 1_000_000, {"k": "y" * 100_000}))
    answer = visitor.get("/retries")
    assert len(answer.text) < 100_000
    row = visitor.json("/retries")["rows"][0]
    page = visitor.get("/job", params={"in": "retry", "id": row["id"]})
    assert len(page.text) < 200_000


def test_a_value_of_the_wrong_type_anywhere_does_not_break_a_page(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    for odd in (None, 5, 1e308, "x", [], {}, [[["x"]]], True):
        job = a_failed_job("Odd", 1)
        for name in ("jid", "tags", "queue", "error_class", "error_backtrace", "created_at"):
            stock.sorted("retry", {**job, name: odd})
    raw.sadd("processes", "broken")
    raw.hset("broken", "info", "{not json")
    raw.hset("broken:work", "t", "[]")
    for path in PAGES:
        assert visitor.get(path).status_code == 200, path


# Masks


def test_secrets_inside_arguments_are_masked_in_html_and_json(
    visitor: Visitor, stock: Stock
) -> None:
    job = a_failed_job(
        "Login", {"user": "ada", "Password": "hunter2", "deep": [{"api_key": "k3y"}]}
    )
    stock.sorted("retry", job)
    stock.queue(job)
    row = visitor.json("/retries")["rows"][0]
    assert row["is_masked"]
    page = {"in": "retry", "id": row["id"]}
    texts = [
        visitor.get(path).text for path in ("/retries", "/queues/default", "/retries?format=json")
    ]
    texts += [visitor.get("/job", params=page).text]
    texts += [visitor.get("/job", params={**page, "format": "json"}).text]
    for text in texts:
        assert "ada" in text
        assert "hunter2" not in text
        assert "k3y" not in text


def test_the_settings_file_masks_further_fields_whatever_the_app_says(
    make: Callable[..., Any], stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock.sorted("retry", a_failed_job("Pay", {"IBAN_no": "AT61", "card": "4111", "to": "Ada"}))
    (tmp_path / "jobd.yml").write_text("web: {redact: ['*iban*']}\n")
    monkeypatch.chdir(tmp_path)
    for settings in ({}, {"redact": ("card",)}):
        text = Visitor(make(**settings)).get("/retries").text
        assert "Ada" in text
        assert "AT61" not in text
        assert ("4111" in text) is (settings == {})
    (tmp_path / "jobd.yml").write_text("web: {redct: ['*iban*']}\n")
    with pytest.raises(ConfigError, match='did you mean "redact"'):
        make()


@pytest.mark.parametrize("place", ["retry", "dead"])
def test_what_is_masked_cannot_be_guessed_by_searching(
    make: Callable[..., Any], stock: Stock, raw: Raw, place: str
) -> None:
    page = {"retry": "/retries", "dead": "/dead"}[place]

    def redactor(name: str, args: list[Any]) -> list[Any]:
        return [*args[:1], "***"] if name == "Login" else args

    stock.sorted(
        place,
        a_failed_job("Login", {"user": "ada", "password": "hunter2"}, "0x5ecret"),
        a_failed_job("Sealed", 1, "Q0lQSEVSVEVYVA==", encrypt=True, note={"api_key": "k3y"}),
    )
    raw.zadd(place, {'{"class": "Torn", "args": [{"token": "t0ken"}], "jid"': 1.0})
    visitor = Visitor(make(redactor=redactor))
    for text in ("hunter2", "hunt", "0x5", "Q0lQ", "k3y", "t0ken", '"password":"h'):
        for group in ("", "&group=error"):
            told = visitor.json(f"{page}?{urlencode({'q': text})}{group}")
            assert (told["groups"] or told["rows"]) == [], text
        visitor.post(page, scope="all", q=text, act="delete")
    assert raw.zcard(place) == 3
    for text, count in (("ada", 1), ("user ada Login", 1), ("Sealed", 1), ("declined", 0)):
        assert len(visitor.json(f"{page}?{urlencode({'q': text})}")["rows"]) == count, text
    visitor.post(page, scope="all", q="ada", act="delete")
    assert raw.zcard(place) == 2


def test_what_is_masked_is_no_argument_to_search_for(visitor: Visitor, stock: Stock) -> None:
    stock.sorted("retry", a_failed_job("Login", {"password": "hush", "user": "ada"}))
    stock.sorted("retry", a_failed_job("Sealed", 1, "Q0lQSEVSVEVYVA==", encrypt=True))
    words = {
        ":ada": 1,
        ":hush": 0,
        ".user:ada": 1,
        ".password:hush": 0,
        ".password:*": 0,
        ".password:[redacted]": 0,
        ".0.*:*": 1,
        ".1:Q0*": 0,
        ".1:*": 0,
    }
    told = {word: len(visitor.json(f"/retries?q=arg{word}")["rows"]) for word in words}
    assert told == words


def test_a_function_masks_what_names_cannot_tell(make: Callable[..., Any], stock: Stock) -> None:
    stock.sorted("retry", a_failed_job("Login", "ada", "hunter2"), a_failed_job("Other", "shown"))

    def redactor(name: str, args: list[Any]) -> list[Any]:
        return [args[0], "***"] if name == "Login" else args

    text = Visitor(make(redactor=redactor)).get("/retries").text
    assert "hunter2" not in text
    assert "shown" in text


def test_an_encrypted_argument_is_masked(visitor: Visitor, stock: Stock) -> None:
    stock.sorted("retry", a_failed_job("Secret", 1, "Q0lQSEVSVEVYVA==", encrypt=True))
    assert "Q0lQ" not in visitor.get("/retries").text


def test_masked_arguments_cannot_be_edited_by_mistake(visitor: Visitor, stock: Stock) -> None:
    stock.sorted("retry", a_failed_job("Login", {"password": "hunter2"}))
    row = visitor.json("/retries")["rows"][0]
    twin = visitor.json(f"/job?in=retry&id={row['id']}")
    assert twin["edit"] is None
    assert "[redacted]" in twin["python"]
