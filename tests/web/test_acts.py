"""Every act of the dashboard by plain forms, and what it does in Redis."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from jobd.web import ACTS
from tests.support.servers import Raw
from tests.web.stock import Stock, a_failed_job, a_job
from tests.web.visitor import Visitor


def ids(visitor: Visitor, path: str) -> list[str]:
    return [row["id"] for row in visitor.json(path)["rows"]]


def queued(raw: Raw, name: str = "default") -> list[str]:
    return [json.loads(job)["jid"] for job in reversed(raw.lrange(f"queue:{name}", 0, -1))]


OFFERED = {
    "/queues": {"pause", "unpause", "clear"},
    "/queues/default": {"delete", "kill", "move"},
    "/scheduled": {"add_to_queue", "delete", "kill", "reschedule"},
    "/retries": {"retry", "delete", "kill", "reschedule"},
    "/dead": {"retry", "delete"},
    "/processes": {"quiet", "reload", "resume", "stop", "dump"},
    "queue:default": {"delete", "kill", "move"},
    "schedule": {"add_to_queue", "delete", "kill", "reschedule"},
    "retry": {"retry", "delete", "kill", "reschedule"},
    "dead": {"retry", "delete"},
}


@pytest.mark.parametrize("scope", ["", "all"])
@pytest.mark.parametrize("path", OFFERED)
def test_an_act_that_is_not_offered_somewhere_does_nothing_there(
    visitor: Visitor, stock: Stock, raw: Raw, path: str, scope: str
) -> None:
    (queued_job,) = stock.queue(a_job())
    for place in ("schedule", "retry", "dead"):
        stock.sorted(place, a_failed_job())
    identity = stock.ruby()
    keys = {"queue:default": queued_job["jid"], "/queues/default": queued_job["jid"]}
    pages = {"schedule": "/scheduled", "retry": "/retries", "dead": "/dead"}
    chosen = (
        keys.get(path)
        or ids(visitor, pages.get(path, path if path in pages.values() else "/dead"))[0]
    )
    form = {"id": chosen, "queue": "default", "identity": identity, "scope": scope, "target": "low"}
    to = path if path.startswith("/") else "/job"
    before = {key: raw.dump(key) for key in raw.keys("*")}
    for act in ACTS:
        if act not in OFFERED[path]:
            answer = visitor.post(to, page="/", **form, **{"in": path}, act=act, when="2033-01-01")
            assert answer.status_code == 400, act
    assert {key: raw.dump(key) for key in raw.keys("*")} == before


# Queues


def test_a_queue_is_paused_and_runs_again(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    stock.queue(a_job())
    assert visitor.post("/queues", queue="default", act="pause").status_code == 303
    assert raw.smembers("paused") == {b"default"}
    assert visitor.json("/queues")["rows"][0]["is_paused"]
    visitor.post("/queues", queue="default", act="unpause")
    assert raw.smembers("paused") == set()


def test_who_paused_a_queue_and_when_is_told_until_it_runs_again(
    make: Callable[..., Any], stock: Stock, raw: Raw
) -> None:
    stock.queue(a_job())
    ada = Visitor(make(authenticate=lambda request, act: "ada"))
    bob = Visitor(make(authenticate=lambda request, act: "bob"))
    ada.post("/queues", queue="default", act="pause")
    for _ in range(2):  # he changes nothing
        bob.post("/queues", queue="default", act="pause")
    (told,) = bob.json("/queues")["rows"]
    assert told["paused_by"] == bob.json("/queues/default")["paused_by"]
    assert (told["paused_by"]["who"], told["paused_by"]["at"]) == (
        "ada",
        bob.json("/audit")["rows"][-1]["at"],
    )
    assert "Paused by ada" in bob.get("/queues").text
    assert "Paused by ada" in bob.get("/queues/default").text
    bob.post("/queues", queue="default", act="unpause")
    raw.sadd("paused", "default")  # by a program, which notes nothing
    assert bob.json("/queues")["rows"][0]["is_paused"]
    assert bob.json("/queues")["rows"][0]["paused_by"] is None
    assert "Paused by" not in bob.get("/queues").text


def test_a_pause_is_shown_even_if_the_audit_log_cannot_be_read(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    stock.queue(a_job())
    raw.sadd("paused", "default")
    raw.set("jobd:audit", "no list")
    assert visitor.json("/queues")["rows"][0]["is_paused"]
    assert visitor.json("/queues/default")["paused_by"] is None


def test_a_purge_tells_how_many_jobs_it_deleted(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    stock.queue(a_job(), a_job(), a_job())
    stock.sorted("retry", a_failed_job(queue="default"))
    stock.sorted("schedule", a_job(queue="default"))
    visitor.post("/queues", queue="default", act="pause")
    told = visitor.get("/queues").text
    assert "Delete the queue default and its 3 jobs?" in told
    assert "What waits in it can be put back for a day, and takes memory until then" in told
    assert "wait for another try or are dead stay, and so does a pause." in told
    answer = visitor.post("/queues", queue="default", act="clear")
    assert [raw.zcard(place) for place in ("retry", "schedule", "dead")] == [1, 1, 0]
    assert raw.smembers("paused") == {b"default"}
    assert raw.exists("queue:default") == 0
    assert "Deleted the queue and its 3 jobs." in visitor.get(answer.headers["location"]).text
    noted, _ = visitor.json("/audit")["rows"]
    assert (noted["what"], noted["target"], noted["count"]) == ("clear", "queue default", 3)
    assert noted["who"] == "dashboard from 127.0.0.1"


def test_what_was_purged_is_put_back(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    jobs = stock.queue(a_job(), a_job(), name="mailers")
    stock.sorted("retry", a_failed_job())
    visitor.post("/queues", queue="mailers", act="clear")
    visitor.post("/retries", scope="all", act="delete")
    stock.sorted("retry", a_failed_job())
    of_retry, of_queue = sorted(
        visitor.json("/trash")["rows"], key=lambda row: row["place"], reverse=True
    )
    assert (of_queue["place"], of_queue["queue"], of_queue["size"]) == ("queue", "mailers", 2)
    assert (of_retry["place"], of_retry["queue"], of_retry["size"]) == ("retry", "", 1)
    answer = visitor.post("/trash", id=of_queue["id"], act="put_back")
    assert answer.headers["location"].startswith("/queues/mailers?")
    assert "Put back 2 jobs." in visitor.get(answer.headers["location"]).text
    assert queued(raw, "mailers") == [job["jid"] for job in jobs]
    visitor.post("/trash", id=of_retry["id"], act="put_back")
    assert raw.zcard("retry") == 2
    assert visitor.json("/trash")["rows"] == []
    assert visitor.post("/trash", page="/", id=of_queue["id"], act="put_back").status_code == 404
    assert [row["what"] for row in visitor.json("/audit")["rows"]][:2] == ["put_back"] * 2


def test_what_was_purged_is_deleted_for_good(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    stock.queue(a_job(), a_job())
    visitor.post("/queues", queue="default", act="clear")
    (row,) = visitor.json("/trash")["rows"]
    assert "Delete these 2 jobs for good?" in visitor.get("/trash").text
    answer = visitor.post("/trash", id=row["id"], act="delete")
    assert answer.headers["location"] == "/trash?done=delete&n=2"
    assert raw.keys("jobd:trash*") == []
    assert visitor.json("/audit")["rows"][0]["target"] == "queue default"


def test_jobs_of_a_queue_are_deleted_killed_and_moved(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    one, two, three, four = stock.queue(*(a_job("Echo", n) for n in range(4)))
    path = "/queues/default"
    visitor.post(path, id=[one["jid"], two["jid"]], act="delete")
    assert queued(raw) == [three["jid"], four["jid"]]
    visitor.post(path, id=three["jid"], act="kill")
    assert json.loads(raw.zrange("dead", 0, -1)[0])["jid"] == three["jid"]
    visitor.post(path, id=four["jid"], act="move", target="low")
    assert (queued(raw), queued(raw, "low")) == ([], [four["jid"]])


@pytest.mark.parametrize("target", ["", "no blanks", "a/b"])
def test_a_job_is_not_moved_to_what_is_no_queue(
    visitor: Visitor, stock: Stock, raw: Raw, target: str
) -> None:
    (job,) = stock.queue(a_job())
    answer = visitor.post("/queues/default", id=job["jid"], act="move", target=target)
    assert answer.status_code in {400, 409}
    assert queued(raw) == [job["jid"]]


def test_a_whole_queue_is_moved_or_what_matches_a_search(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    one, two, three = stock.queue(a_job("Echo"), a_job("Sweep"), a_job("Echo"))
    told = visitor.get("/queues/default").text
    assert "Move the 3 jobs to the back of another queue, in their order?" in told
    form = {"scope": "all", "act": "move", "target": "low"}
    visitor.post("/queues/default", **form, q="class:Sweep")
    assert (queued(raw), queued(raw, "low")) == ([one["jid"], three["jid"]], [two["jid"]])
    answer = visitor.post("/queues/default", **form)
    assert "Moved 2 jobs." in visitor.get(answer.headers["location"]).text
    assert queued(raw, "low") == [two["jid"], one["jid"], three["jid"]]
    noted, before = visitor.json("/audit")["rows"]
    assert (noted["what"], noted["target"], noted["count"]) == ("move_all", "queue default", 2)
    assert "low" in noted["detail"]
    assert "class:Sweep" in before["detail"]


def test_what_is_no_job_stays_where_a_queue_is_moved_away(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    stock.queue(a_job())
    raw.rpush("queue:default", "garbage")
    answer = visitor.post("/queues/default", scope="all", act="move", target="low")
    told = visitor.get(answer.headers["location"]).text
    assert "It could not be done for 1 job, which stays." in told
    assert raw.lrange("queue:default", 0, -1) == [b"garbage"]


@pytest.mark.parametrize(
    "fields", [{"target": "no blanks"}, {"target": "default"}, {"target": "low", "q": "after:x"}]
)
def test_a_queue_is_not_moved_by_a_form_that_cannot_be_meant(
    visitor: Visitor, stock: Stock, raw: Raw, fields: dict[str, str]
) -> None:
    (job,) = stock.queue(a_job())
    answer = visitor.post("/queues/default", scope="all", act="move", **fields)
    assert answer.status_code in {400, 409}
    assert queued(raw) == [job["jid"]]


def test_an_act_that_cannot_be_noted_is_still_said_to_be_done(
    visitor: Visitor, stock: Stock, raw: Raw, caplog: pytest.LogCaptureFixture
) -> None:
    stock.queue(a_job())
    raw.set("jobd:audit", "no list")
    answer = visitor.post("/queues", queue="default", act="clear")
    assert (answer.status_code, raw.exists("queue:default")) == (303, 0)
    assert (
        "clear of queue default by dashboard from 127.0.0.1 is not in the audit log" in caplog.text
    )


# Sets


@pytest.mark.parametrize(("place", "page"), [("retry", "/retries"), ("dead", "/dead")])
def test_selected_jobs_are_retried(
    visitor: Visitor, stock: Stock, raw: Raw, place: str, page: str
) -> None:
    jobs = stock.sorted(place, *(a_failed_job("Echo", n) for n in range(3)))
    chosen = [each for each in ids(visitor, page) if jobs[0]["jid"] not in each]
    answer = visitor.post(page, id=chosen, act="retry")
    assert "Queued 2 jobs for another try." in visitor.get(answer.headers["location"]).text
    assert set(queued(raw)) == {jobs[1]["jid"], jobs[2]["jid"]}
    assert raw.zcard(place) == 1


def test_a_scheduled_job_runs_now(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    (job,) = stock.sorted("schedule", a_job())
    visitor.post("/scheduled", id=ids(visitor, "/scheduled"), act="add_to_queue")
    assert queued(raw) == [job["jid"]]


def test_selected_jobs_are_killed_and_deleted(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    stock.sorted("retry", a_failed_job(), a_failed_job())
    first, second = ids(visitor, "/retries")
    visitor.post("/retries", id=first, act="kill")
    visitor.post("/retries", id=second, act="delete")
    assert (raw.zcard("retry"), raw.zcard("dead")) == (0, 1)


def test_nothing_selected_is_nothing_done(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    stock.sorted("retry", a_failed_job())
    answer = visitor.post("/retries", act="delete")
    assert "No job was selected." in visitor.get(answer.headers["location"]).text
    assert raw.zcard("retry") == 1


def test_a_job_that_has_left_meanwhile_is_said_to_have(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    stock.sorted("retry", a_failed_job())
    chosen = ids(visitor, "/retries")
    raw.delete("retry")
    answer = visitor.post("/retries", page="/", id=chosen, act="retry")
    assert "Not there any more" in visitor.get(answer.headers["location"]).text


def test_an_act_on_all_that_match_leaves_the_others(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    stock.sorted("retry", *(a_failed_job("Echo", n) for n in range(300)))
    (other,) = stock.sorted("retry", a_failed_job("Other"))
    answer = visitor.post("/retries", scope="all", q="class:Echo", act="retry")
    assert "Queued 300 jobs for another try." in visitor.get(answer.headers["location"]).text
    assert raw.llen("queue:default") == 300
    assert [json.loads(job)["jid"] for job in raw.zrange("retry", 0, -1)] == [other["jid"]]
    (noted,) = visitor.json("/audit")["rows"]
    assert (noted["what"], noted["count"]) == ("retry_all", 300)


@pytest.mark.parametrize("search", ["before:tomorrow", "queue:default queue:low"])
def test_a_search_that_cannot_be_read_acts_on_nothing(
    visitor: Visitor, stock: Stock, raw: Raw, search: str
) -> None:
    stock.sorted("retry", a_failed_job())
    page = visitor.get("/retries", params={"q": search}).text
    assert search.rpartition(" ")[2].partition(":")[2] in page
    assert 'name="scope"' not in page
    answer = visitor.post("/retries", scope="all", q=search, act="delete")
    assert answer.status_code == 400
    assert raw.zcard("retry") == 1


def test_an_act_on_many_jobs_stops_when_its_time_is_up_and_can_go_on(
    make: Callable[..., Any], stock: Stock, raw: Raw
) -> None:
    stock.sorted("dead", *(a_failed_job("Echo", n) for n in range(1000)), in_s=-5000)
    visitor = Visitor(make(patience_s=0.0))
    answer = visitor.post("/dead", scope="all", q="class:Echo", act="delete")
    assert "Press again to go on" in visitor.get(answer.headers["location"]).text
    assert 0 < raw.zcard("dead") < 1000
    Visitor(make()).post("/dead", scope="all", q="class:Echo", act="delete")
    assert raw.zcard("dead") == 0


# One job


def the_job(visitor: Visitor, path: str, place: str) -> dict[str, str]:
    return {"in": place, "id": ids(visitor, path)[0]}


def test_a_job_is_retried_with_other_arguments(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    (job,) = stock.sorted("retry", a_failed_job("Echo", 1))
    args = '[{"a": 12345678901234567890123}, "ä"]'
    answer = visitor.post(
        "/job", page="/retries", **the_job(visitor, "/retries", "retry"), act="retry", args=args
    )
    assert answer.headers["location"].startswith("/retries")
    again = json.loads(raw.lindex("queue:default", 0))
    assert again["args"] == [{"a": 12345678901234567890123}, "ä"]
    assert again["jid"] == job["jid"]
    assert visitor.json("/audit")["rows"][0]["detail"].count("edited")


@pytest.mark.parametrize("args", ["{", '{"a": 1}', "7", "[" * 5000])
def test_arguments_that_are_no_list_change_nothing(
    visitor: Visitor, stock: Stock, raw: Raw, args: str
) -> None:
    stock.sorted("retry", a_failed_job("Echo", 1))
    job = the_job(visitor, "/retries", "retry")
    assert visitor.post("/job", page="/retries", **job, act="retry", args=args).status_code == 400
    assert raw.zcard("retry") == 1


def test_a_job_gets_another_time(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    stock.sorted("schedule", a_job())
    job = the_job(visitor, "/scheduled", "schedule")
    when = "2033-05-18T03:33:20.000Z"
    visitor.post("/job", page="/scheduled", **job, act="reschedule", when=when)
    assert raw.zrange("schedule", 0, -1, withscores=True)[0][1] == 2_000_000_000.0


def test_a_queued_job_is_moved_from_its_own_page(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    (job,) = stock.queue(a_job())
    place = {"in": "queue:default", "id": job["jid"]}
    visitor.post("/job", page="/queues", **place, act="move", target="low")
    assert queued(raw, "low") == [job["jid"]]


@pytest.mark.parametrize("place", ["schedule", "retry"])
def test_chosen_jobs_and_all_that_match_are_rescheduled(
    visitor: Visitor, stock: Stock, raw: Raw, place: str
) -> None:
    page = {"schedule": "/scheduled", "retry": "/retries"}[place]
    stock.sorted(place, *(a_failed_job("Echo", n) for n in range(3)), a_failed_job("Other"))
    ids = [row["id"] for row in visitor.json(page)["rows"] if row["class_name"] == "Echo"]

    def due(at: float) -> int:
        return int(raw.zcount(place, at, at))

    answer = visitor.post(page, id=ids[:2], act="reschedule", when="2033-05-18T03:33:20+00:00")
    assert (answer.status_code, due(2_000_000_000)) == (303, 2)
    form = {"scope": "all", "q": "class:Echo", "act": "reschedule"}
    assert visitor.post(page, **form, when="2033-05-18T03:33:21+00:00").status_code == 303
    assert (due(2_000_000_001), raw.zcard(place)) == (3, 4)
    assert visitor.post(page, **form, when="soon").status_code == 400
    (everything, chosen) = visitor.json("/audit")["rows"]
    assert (everything["what"], everything["count"]) == ("reschedule_all", 3)
    assert (chosen["what"], chosen["count"]) == ("reschedule", 2)


def test_a_dead_job_is_not_killed_again(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    stock.sorted("dead", a_failed_job())
    job = the_job(visitor, "/dead", "dead")
    assert visitor.post("/job", page="/dead", **job, act="kill").status_code == 400
    assert raw.zcard("dead") == 1


@pytest.mark.parametrize("host", ["ours", "ruby", "iterating ruby"])
def test_a_running_job_is_cancelled_where_that_is_heard_of(
    visitor: Visitor, stock: Stock, raw: Raw, host: str
) -> None:
    identity = stock.ruby()
    if host == "ours":
        stock.instance(identity)
    (row,) = visitor.json("/running")["rows"]
    if host == "iterating ruby":
        raw.hset(f"it-{row['job']['jid']}", "ex", 1)
    can = host != "ruby"
    place = {"in": "running", "id": row["job"]["id"]}
    for page in ("/running", f"/job?{urlencode(place)}"):
        assert visitor.get(page).text.count('value="cancel"') == can
    answer = visitor.post("/job", page="/queues", **place, act="cancel")
    assert answer.status_code == (303 if can else 400)
    assert raw.zcard("jobd:cancelled") == can
    if can:
        assert raw.zscore("jobd:cancelled", row["job"]["jid"]) is not None
        (noted,) = visitor.json("/audit")["rows"]
        assert (noted["what"], noted["target"]) == ("cancel", row["job"]["jid"])
    if host == "iterating ruby":
        assert raw.hexists(f"it-{row['job']['jid']}", "cancelled")


@pytest.mark.parametrize(("act", "marks"), [("look", 0), ("kill_running", 1)])
def test_what_is_wanted_of_a_running_job_is_left_for_its_process(
    visitor: Visitor, stock: Stock, raw: Raw, act: str, marks: int
) -> None:
    identity = stock.ruby()
    place = {"in": "running", "id": visitor.json("/running")["rows"][0]["job"]["id"]}
    assert visitor.post("/job", page="/queues", **place, act=act).status_code == 400  # Ruby's
    stock.instance(identity)
    answer = visitor.post("/job", page="/queues", **place, act=act)
    assert answer.status_code == 303
    (asked,) = map(json.loads, raw.lrange(f"jobd:asks:{identity}", 0, -1))
    jid = visitor.json("/running")["rows"][0]["job"]["jid"]
    wanted = {"look": "look", "kill_running": "kill"}[act]
    assert asked == {"ask": wanted, "processor": "tid1", "jid": jid}
    assert 0 < raw.ttl(f"jobd:asks:{identity}") <= 60
    assert raw.zcard("jobd:cancelled") == marks
    (noted,) = visitor.json("/audit")["rows"]
    assert (noted["what"], noted["target"]) == (act, jid)


def test_an_embedded_process_is_not_looked_into(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    identity = stock.ruby()
    stock.instance(identity)
    info = json.loads(raw.hget(identity, "info"))
    raw.hset(identity, "info", json.dumps({**info, "embedded": True}))
    (row,) = visitor.json("/running")["rows"]
    assert row["acts"] == ["cancel"]


def test_the_job_that_runs_next_is_not_cancelled_in_the_place_of_the_last(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    identity = stock.ruby()
    stock.instance(identity)
    (row,) = visitor.json("/running")["rows"]
    place = {"in": "running", "id": row["job"]["id"]}
    stock.ruby()  # the same thread, another job
    assert visitor.post("/job", page="/queues", **place, act="cancel").status_code == 404
    assert raw.zcard("jobd:cancelled") == 0
    assert visitor.get("/job", params=place).status_code == 404
