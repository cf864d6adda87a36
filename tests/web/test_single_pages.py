"""What single pages of the dashboard tell, in their JSON twins and in words."""

import dataclasses
import html
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from jobd.api import Access, Audit, Deploy
from jobd.config import RedisSettings
from jobd.pool import Pool
from jobd.web import create_app
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.proxy import Proxy
from tests.support.servers import Raw, running
from tests.web.stock import Stock, a_failed_job, a_job, fill
from tests.web.visitor import Visitor


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


def test_a_job_in_a_queue_is_found_though_redis_is_far_away(
    access: Access, raw: Raw, proxy: Proxy
) -> None:
    jid = wire.push(raw, "Echo")
    proxy.latency_s = 0.02
    far = RedisSettings(url=proxy.url(), network_timeout=30)
    visitor = Visitor(create_app(access=dataclasses.replace(access, redis=Pool(far))))
    (place,) = visitor.json(f"/find?jid={jid}")["places"]
    assert place["source"] == "queue:default"


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
        ('arg:"x y"', {"b" * 24}),
        ("arg:busy", set()),
        ('arg:x "no such text"', set()),
        ("after:2001-01-01 class:ChargeCard", {"a" * 24}),
        ("before:2001-01-01", set()),
        ("class:ChargeCard error:SMTPError", set()),
    ]:
        told = visitor.get("/retries", params={"q": search, "format": "json"}).json()
        assert {row["jid"] for row in told["rows"]} == found, search
        assert (told["seen"], told["next_rank"]) == (2, None)


@pytest.mark.parametrize("place", ["retry", "schedule", "dead"])
def test_a_search_finds_by_a_path_inside_arguments(
    visitor: Visitor, stock: Stock, raw: Raw, place: str
) -> None:
    page = {"retry": "/retries", "schedule": "/scheduled", "dead": "/dead"}[place]
    stock.sorted(place, a_job("A", {"user": {"id": 42}}), a_job("B", 1, {"user": {"id": 43}}))
    for search, found in [
        ("arg.0.user.id:42", ["A"]),
        ("arg[0][user][id]:42", ["A"]),
        ("arg.user.id:43", ["B"]),
        ("arg.1.user.id:4?", ["B"]),
        ("arg.user.id:4", []),
        ("arg.user.id:* class:B", ["B"]),
        ("arg.user.id:42 arg.0:1", []),
    ]:
        told = visitor.json(f"{page}?{urlencode({'q': search})}")
        assert [row["class_name"] for row in told["rows"]] == found, search
        assert told["problem"] is None
    visitor.post(page, scope="all", q="arg.user.id:43", act="delete")
    assert raw.zcard(place) == 1


@pytest.mark.parametrize("word", ["arg..id:1", "arg[0:1", "arg.[]:1", "arg[0]x:1", "arg.:1"])
def test_a_path_that_cannot_be_read_is_told_and_nothing_is_done(
    visitor: Visitor, stock: Stock, raw: Raw, word: str
) -> None:
    stock.sorted("retry", a_failed_job("A", 1))
    path = f"/retries?{urlencode({'q': word})}"
    assert visitor.json(path)["problem"] == {"kind": "path", "word": word}
    text = html.unescape(visitor.get(path).text)
    assert f"“{word}” is no way into the arguments: write positions and names" in text
    assert visitor.post("/retries", scope="all", q=word, act="delete").status_code == 400
    assert raw.zcard("retry") == 1


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

    def places(jid: str) -> Any:
        # On a busy machine the time for a look may be over before it has come there.
        return eventually(lambda: visitor.json(f"/find?jid={jid}")["places"])

    jobs = {place: a_job("Echo", place) for place in ("schedule", "retry", "dead")}
    for place, job in jobs.items():
        stock.sorted(place, job)
    (queued,) = stock.queue(a_job("Echo", 1), name="mailers")
    for place, job in jobs.items():
        (found,) = places(job["jid"])
        assert found["source"] == place
    (found,) = places(queued["jid"])
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


def test_stray_keys_are_looked_for_when_asked(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    stock.queue(a_job())
    raw.mset({"celery-task-1": 1, "celery-task-2": 1, "<b>plain\u202e": 1})
    assert visitor.json("/configuration")["strays"] is None
    assert 'href="?strays=0#strays"' in visitor.get("/configuration").text
    told = visitor.json("/configuration?strays=0")["strays"]
    assert (told["count"], told["size"], told["next_cursor"]) == (3, 5, "")
    assert (told["groups"][0]["prefix"], told["groups"][0]["count"]) == ("celery-*", 2)
    page = visitor.get("/configuration?strays=0").text
    assert "3 are neither jobd&#39;s nor Sidekiq&#39;s" in page
    assert "<b>plain" not in page
    for odd in ("x", "-1", "9" * 30):
        assert visitor.json(f"/configuration?strays={odd}")["strays"] is None


def test_processes_of_one_tag_that_run_different_revisions_are_told(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    for identity, revision in (("a:1:x", "1a2b3c" * 6), ("b:1:x", "4d5e6f" * 6), ("c:1:x", "")):
        stock.ruby(identity)
        stock.instance(identity)
        raw.hset(f"jobd:instance:{identity}", "revision", revision)
    told = visitor.json("/configuration")
    assert (told["is_skewed"], told["skewed_tags"]) == (False, ["legacy"])
    assert {row["revision"] for row in told["versions"]} == {"1a2b3c" * 6, "4d5e6f" * 6, ""}
    page = visitor.get("/configuration").text
    assert "Not all processes of legacy run the same revision." in page
    assert "<td>1a2b3c1a2b3c</td>" in page
    assert "revision 1a2b3c1a2b3c" in visitor.get("/processes").text
    raw.hset("jobd:instance:b:1:x", "revision", "1a2b3c" * 6)
    assert visitor.json("/configuration")["skewed_tags"] == []


@pytest.mark.parametrize(
    ("health", "url"),
    [
        ("10.0.0.5:9394", "http://10.0.0.5:9394/metrics"),
        ("0.0.0.0:9394", "http://box:9394/metrics"),
        ("[::1]:9394", "http://[::1]:9394/metrics"),
        ("/run/jobd/health.sock", ""),
        (None, ""),
        ('"><script>:x', ""),
    ],
)
def test_where_prometheus_finds_a_process_is_told(
    visitor: Visitor, stock: Stock, raw: Raw, health: str | None, url: str
) -> None:
    identity = stock.ruby("box:1:x")
    stock.instance(identity)
    raw.hset(f"jobd:instance:{identity}", "config", json.dumps({"health": health}))
    ((row,),) = (host["processes"] for host in visitor.json("/processes")["hosts"])
    assert row["metrics_url"] == url
    assert (f'href="{url}"' in visitor.get("/processes").text) == bool(url)


def test_memory_is_told_with_shared_pages_split(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    identity = stock.ruby()
    stock.instance(identity, workers=1)
    facts = raw.hget(f"jobd:instance:{identity}", "workers")
    workers = [{**worker, "pss_kb": 2_048} for worker in json.loads(facts)]
    told = {"workers": json.dumps(workers), "pss_kb": 4_096}
    raw.hset(f"jobd:instance:{identity}", mapping=told)
    ((row,),) = (host["processes"] for host in visitor.json("/processes")["hosts"])
    assert (row["pss_kb"], row["workers"][0]["pss_kb"]) == (4_096, 2_048)
    page = visitor.get("/processes").text
    assert "PSS 4.2 MB" in page
    assert "PSS 2.1 MB" in page


def test_of_several_jobs_of_a_worker_the_page_tells_the_oldest_and_how_many_more(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    identity = stock.ruby()
    stock.instance(identity, workers=1)
    (worker,) = json.loads(raw.hget(f"jobd:instance:{identity}", "workers"))
    told = json.dumps([{**worker, "jobs": 4}])
    raw.hset(f"jobd:instance:{identity}", "workers", told)
    assert ">and 3 more</a>" in visitor.get("/processes").text


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

    eventually(lambda: server.ran("start"), message=server.log)
    wire.have_them_beat(raw)
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
