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

from jobd.api import Access, Audit, Deploy
from jobd.config import RedisSettings
from jobd.errors import ConfigError
from jobd.pool import Pool
from jobd.web import create_app
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.ruby import Ruby
from tests.support.servers import Raw, running
from tests.web.stock import Stock, a_failed_job, a_job, fill
from tests.web.visitor import Visitor

PAGES = (
    *("/", "/processes", "/running", "/queues", "/queues/default", "/scheduled", "/retries"),
    *("/queues/default?group=class", "/retries?group=error"),
    *("/retries?q=class:ChargeCard", "/dead", "/find?jid=abc", "/jump?q=a"),
    *(
        "/metrics",
        "/metrics/ChargeCard",
        "/metrics/ChargeCard?hours=24",
        "/configuration",
        "/audit",
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
    visitor: Visitor, raw: Raw, name: bytes
) -> None:
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
    assert visitor.json(f"/find?jid={jobs[2]['jid']}")["places"][0]["source"] == place
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


# What single pages tell


def test_the_overview_warns_of_a_server_that_may_throw_jobs_away(
    make: Callable[..., Any],
) -> None:

    with running("valkey", settings=("--maxmemory-policy", "allkeys-lru")) as server:
        access = Access(redis=Pool(RedisSettings(url=server.url())))
        visitor = Visitor(create_app(access=access))
        assert "Set it to noeviction" in visitor.get("/").text
        assert visitor.json("/")["health"]["policy"] == "allkeys-lru"


def test_the_overview_tells_the_days_and_the_last_hour(visitor: Visitor, stock: Stock) -> None:
    fill(stock)
    told = visitor.json("/?days=7")
    assert len(told["days"]) == 7
    assert sum(minute["processed"] for minute in told["minutes"]) > 0
    assert {job["name"] for job in told["failing"]} <= {"ChargeCard", "Reminder"}
    assert told["totals"]["retries"] == 2


def test_a_search_finds_by_each_of_its_words(visitor: Visitor, stock: Stock) -> None:
    stock.sorted(
        "retry",
        a_failed_job("ChargeCard", 1, jid="a" * 24, tags=["eu"], queue="critical"),
        a_failed_job(
            "SendMail", "x y", jid="b" * 24, error_class="SMTPError", error_message="busy"
        ),
    )
    for search, found in [
        ("class:ChargeCard", {"a" * 24}),
        ("class:Send*", {"b" * 24}),
        ("queue:critical", {"a" * 24}),
        ("tag:eu", {"a" * 24}),
        ("error:SMTPError", {"b" * 24}),
        ("error:busy", {"b" * 24}),
        ("jid:" + "b" * 24, {"b" * 24}),
        ('"x y"', {"b" * 24}),
        ("after:2001-01-01 class:ChargeCard", {"a" * 24}),
        ("before:2001-01-01", set()),
        ("class:ChargeCard error:SMTPError", set()),
    ]:
        told = visitor.get("/retries", params={"q": search, "format": "json"}).json()
        assert {row["jid"] for row in told["rows"]} == found, search
        assert (told["seen"], told["next_rank"]) == (2, None)


def test_errors_are_grouped_by_what_went_wrong(visitor: Visitor, stock: Stock) -> None:
    declined = [
        a_failed_job("ChargeCard", n, error_message=f"order {n} at 0x{n:08x}: no") for n in range(9)
    ]
    stock.sorted("dead", *declined, a_failed_job("ChargeCard", 1, error_class="Timeout"))
    groups = visitor.json("/dead?group=error")["groups"]
    assert [(group["error_class"], group["count"]) for group in groups] == [
        ("CardDeclined", 9),
        ("Timeout", 1),
    ]
    found = visitor.get("/dead", params={"q": groups[0]["search"], "format": "json"}).json()
    assert len(found["rows"]) == 9


def test_a_queue_can_be_read_from_both_ends(visitor: Visitor, stock: Stock) -> None:
    jobs = stock.queue(*(a_job("Echo", n) for n in range(60)))
    first = visitor.json("/queues/default?count=25")
    assert [row["jid"] for row in first["rows"]] == [job["jid"] for job in jobs[:25]]
    newest = visitor.json("/queues/default?count=25&order=newest&page=2")
    expected = [job["jid"] for job in reversed(jobs)][25:50]
    assert [row["jid"] for row in newest["rows"]] == expected
    last = visitor.json("/queues/default?count=25&order=newest&page=3")
    assert [row["jid"] for row in last["rows"]] == [job["jid"] for job in reversed(jobs)][50:]


def test_a_queue_is_told_by_its_classes(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    stock.queue(*(a_job(name) for name in ["Mail", "Odd\nName", "Mail", "Echo", "Mail"]))
    raw.rpush("queue:default", "no job")
    told = visitor.json("/queues/default?group=class")
    groups = [(each["class_name"], each["count"]) for each in told["classes"]["groups"]]
    assert groups[0] == ("Mail", 3)
    assert sorted(groups[1:]) == [("", 1), ("Echo", 1), ("Odd\nName", 1)]
    assert (told["rows"], told["classes"]["seen"], told["size"]) == ([], 6, 6)
    text = visitor.get("/queues/default?group=class").text
    assert "Looked at 6 of 6 jobs." in text
    assert "the rest was not looked at" not in text
    assert visitor.json("/queues/default")["classes"] is None


def test_a_long_queue_is_told_by_those_that_run_next(visitor: Visitor, stock: Stock) -> None:
    stock.queue(*(a_job("First") for _ in range(9_999)), a_job("Second"), a_job("Last"))
    told = visitor.json("/queues/default?group=class")["classes"]
    assert 500 <= told["seen"] <= 10_000
    assert told["groups"][0] == {
        "class_name": "First",
        "class_address": "First",
        "count": min(told["seen"], 9_999),
    }
    assert "Last" not in {each["class_name"] for each in told["groups"]}
    assert "the rest was not looked at" in visitor.get("/queues/default?group=class").text


def test_many_classes_of_a_queue_are_told_by_their_number(visitor: Visitor, stock: Stock) -> None:
    stock.queue(*(a_job(f"Job{number}") for number in range(203)))
    told = visitor.json("/queues/default?group=class")["classes"]
    assert (len(told["groups"]), told["more"], told["seen"]) == (200, 3, 203)
    assert "3 rarer classes are not shown." in visitor.get("/queues/default?group=class").text
    file = visitor.get("/queues/default?group=class&format=csv").headers["content-disposition"]
    assert file.endswith('-part.csv"')


def test_a_job_is_found_wherever_it_is(visitor: Visitor, stock: Stock) -> None:
    jobs = {place: a_job("Echo", place) for place in ("schedule", "retry", "dead")}
    for place, job in jobs.items():
        stock.sorted(place, job)
    (queued,) = stock.queue(a_job("Echo", 1), name="mailers")
    for place, job in jobs.items():
        (found,) = visitor.json(f"/find?jid={job['jid']}")["places"]
        assert found["source"] == place
    (found,) = visitor.json(f"/find?jid={queued['jid']}")["places"]
    assert found["source"] == "queue:mailers"
    page = visitor.get("/job", params={"in": found["source"], "id": found["job"]["id"]})
    assert "mailers" in page.text


def test_a_jump_goes_to_pages_queues_classes_and_jobs(
    make: Callable[..., Any], stock: Stock
) -> None:
    visitor = Visitor(Starlette(routes=[Mount("/jobs", make())]))
    stock.queue(a_job(), name="mailers")
    stock.queue(a_job(), name="email")
    stock.metrics({"MailJob": 0.1, "Odd\nMail": 0.1}, minutes=2)

    def found(text: str) -> list[tuple[str, str]]:
        told = visitor.json(f"/jobs/jump?{urlencode({'q': text})}")["targets"]
        for each in told:
            assert visitor.get(each["address"]).status_code == 200
        return [(each["kind"], each["name"]) for each in told]

    assert found("mail") == [
        *(("queue", "mailers"), ("queue", "email"), ("class", "MailJob"), ("class", "Odd\nMail")),
        ("job", "mail"),
    ]
    assert found("que") == [("page", "Queues"), ("job", "que")]
    assert found("a" * 24) == [("job", "a" * 24)]
    assert {kind for kind, _ in found("")} == {"page"}
    assert 'href="/jobs/queues/mailers"' in visitor.get("/jobs/jump?q=mailers").text


def test_a_job_is_told_as_python(visitor: Visitor, stock: Stock) -> None:
    stock.sorted("retry", a_failed_job("ChargeCard", 7, {"a": [None, True]}, queue="critical"))
    row = visitor.json("/retries")["rows"][0]
    twin = visitor.get("/job", params={"in": "retry", "id": row["id"], "format": "json"}).json()
    assert twin["python"] == (
        "ChargeCard.set(queue='critical', retry=True).perform_async(7, {'a': [None, True]})"
    )
    kinds = [event["kind"] for event in twin["timeline"]]
    assert kinds == ["created", "queued", "failed", "failed_again", "retried"]


def test_a_class_has_a_heat_map_and_the_deploys(
    visitor: Visitor, stock: Stock, access: Access
) -> None:
    stock.metrics({"ChargeCard": 0.1}, minutes=55)
    Deploy.mark("v1.2.3 <b>", access=access)
    told = visitor.json("/metrics/ChargeCard")
    assert told["executions"] == 55 * 120 + told["failures"]
    assert sum(map(sum, told["heat"])) == 55 * 120
    assert told["usual"]["p50_s"] < told["usual"]["p99_s"]
    text = visitor.get("/metrics/ChargeCard").text
    assert "v1.2.3 &lt;b&gt;" in text
    for path in ("/", "/metrics", "/metrics/ChargeCard"):
        assert 'deploy"' in visitor.get(path).text.split("<svg", 1)[1], path
    assert 'class="heat"' in text


@pytest.mark.parametrize(
    "name", ["Odd\nName", "..", "a/../b", "größe", "x" * 300, "<b>", "a?b#c", "sha1:abc", "A::B"]
)
@pytest.mark.parametrize("page", ["/", "/metrics", "/job"])
def test_a_class_of_any_name_has_its_metrics(
    visitor: Visitor, stock: Stock, name: str, page: str
) -> None:
    stock.metrics({name: 0.1}, minutes=3)
    stock.sorted("retry", a_failed_job(name))
    found = visitor.json("/retries")["rows"][0]["id"]
    text = visitor.get(page, params={"in": "retry", "id": found}).text
    path, _, _ = html.unescape(re.findall(r'href="(/metrics/[^"]*)"', text)[0]).partition("?")
    for hours in (1, 24):
        told = visitor.json(f"{path}?hours={hours}")
        assert told["name"] == name
        assert told["executions"] > 200
    assert visitor.get(path).status_code == 200


def test_a_class_that_has_gone_is_said_to_have(visitor: Visitor) -> None:
    answer = visitor.get("/metrics/sha1:" + 40 * "0")
    assert answer.status_code == 404
    assert "Nothing of that name has run" in answer.text


def test_different_versions_side_by_side_are_pointed_out(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    stock.ruby("ruby-1:1:a")
    assert visitor.json("/configuration")["is_skewed"] is False
    stock.ruby("ruby-2:1:b")
    info = json.loads(raw.hget("ruby-2:1:b", "info"))
    raw.hset("ruby-2:1:b", "info", json.dumps({**info, "version": "8.0.0"}))
    assert visitor.json("/configuration")["is_skewed"] is True


def test_the_audit_log_tells_who_did_what(visitor: Visitor, access: Access) -> None:
    Audit(access=access).record("ada", "clear", target="queue low", count=3, detail={"a": 1})
    (row,) = visitor.json("/audit")["rows"]
    assert (row["who"], row["what"], row["target"], row["count"]) == (
        "ada",
        "clear",
        "queue low",
        3,
    )


# Real processes


@pytest.mark.process
def test_an_instance_of_jobd_is_shown_with_its_workers(
    visitor: Visitor, start_jobd: StartJobd, raw: Raw, redis_url: str
) -> None:
    raw.execute_command("ACL", "SETUSER", "shop", "on", ">s3cret", "~*", "&*", "+@all")
    url = redis_url.replace("redis://", "redis://shop:s3cret@")
    server = start_jobd(config={"concurrency": 2, "tag": "shop"}, redis_url=url)
    raw.sadd("queues", "default")
    raw.lpush("queue:default", json.dumps(a_job("Hold", "a")))

    def busy() -> Any:
        rows = visitor.json("/running")["rows"]
        return rows or None

    (row,) = eventually(busy)
    assert row["job"]["class_name"] == "Hold"
    process = visitor.json("/processes")["hosts"][0]["processes"][0]
    assert (process["tag"], process["is_jobd"], len(process["workers"])) == ("shop", True, 2)
    page = visitor.get("/job", params={"in": "running", "id": row["job"]["id"]})
    assert "Hold" in page.text
    (loaded,) = visitor.json("/configuration")["rows"]
    assert (loaded["settings"]["concurrency"], loaded["settings"]["redis.size"]) == ("2", "5")
    assert "s3cret" not in visitor.get("/configuration").text
    assert "shop:***@" in loaded["settings"]["redis.url"]
    server.release("a")
    server.stop()
    raw.execute_command("ACL", "DELUSER", "shop")


@pytest.mark.process
def test_rubys_jobs_and_processes_are_shown(
    visitor: Visitor, redis_url: str, tmp_path: Any
) -> None:
    ruby = Ruby(redis_url, tmp_path)
    jid = ruby.push("HardJob", 1, {"deep": True}, queue="ruby")
    (row,) = visitor.json("/queues/ruby")["rows"]
    assert (row["jid"], row["class_name"]) == (jid, "HardJob")
    with ruby.worker(["HardJob"], queues=["other"]):
        process = eventually(lambda: visitor.json("/processes")["hosts"][0]["processes"][0])
        assert process["is_jobd"] is False
        assert process["concurrency"] == 1
        assert process["acts"] == ["quiet", "stop", "dump"]


def test_how_far_a_running_iterable_job_has_come_is_told(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    identity = stock.ruby()
    for jid in ("iterates", "does not"):
        work = {"queue": "ruby", "payload": json.dumps(a_job("Walk", jid=jid)), "run_at": 1}
        raw.hset(f"{identity}:work", jid, json.dumps(work))
    raw.hset("it-iterates", mapping={"ex": 2, "c": '{"user": 4711}', "rt": 3.5})
    told = {row["worker"]: row["got_to"] for row in visitor.json("/running")["rows"]}
    assert told == {"iterates": '{"user": 4711}', "does not": "", "tid1": ""}
    assert "got to {&#34;user&#34;: 4711}" in visitor.get("/running").text


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
    assert rows["long"]["usual"]["p95_s"] < 1


@pytest.mark.parametrize(
    "text",
    [
        '{"class": "A", "args": [{"password": "hush"}], "jid": "x"',
        '{"args": [{"pass\\u0077ord": "a \\" hush"}]}',
        '{"args": [{"token": ["hush"]}], "jid": "x"}',
        '{"args": [{"token": "hush',
    ],
)
def test_secrets_in_what_is_no_job_are_masked_too(visitor: Visitor, raw: Raw, text: str) -> None:
    raw.zadd("dead", {text: 1.0})
    link = html.unescape(re.findall(r'href="(/job\?[^"]*)"', visitor.get("/dead").text)[0])
    for path in ("/dead", link):
        for accepted in ("text/html", "application/json"):
            page = visitor.get(path, headers={"Accept": accepted})
            assert page.status_code == 200
            assert "[redacted]" in page.text
            assert "hush" not in page.text


def test_a_megabyte_in_names_does_not_reach_the_browser(visitor: Visitor, stock: Stock) -> None:
    long = "x" * 1_000_000
    job = a_failed_job(long, *range(10_000), jid=long, error_class=long, error_message=long)
    stock.sorted("retry", job)
    link = html.unescape(re.findall(r'href="(/job\?[^"]*)"', visitor.get("/retries").text)[0])
    for path in ("/retries", "/retries?group=error", link):
        page = visitor.get(path)
        assert page.status_code == 200
        assert len(page.content) < 300_000
    group = visitor.json("/retries?group=error")["groups"][0]
    assert len(visitor.json("/retries?" + urlencode({"q": group["search"]}))["rows"]) == 1
