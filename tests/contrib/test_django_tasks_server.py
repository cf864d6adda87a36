"""Tasks of django.tasks in a server."""

import asyncio
import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from tests.contrib.conftest import StartSite
from tests.support.eventually import eventually
from tests.support.servers import Raw


@pytest.fixture(autouse=True)
def shop(shop: Any) -> Any:
    return shop


@pytest.mark.measured
@pytest.mark.redis
@pytest.mark.process
def test_a_server_runs_tasks_and_tells_their_signals(shop: Any, start_site: StartSite) -> None:
    site = start_site()
    results = [
        shop.tasks.add.enqueue(40),
        shop.tasks.slowly.enqueue("Ada"),
        asyncio.run(shop.tasks.introspect.aenqueue("x")),
    ]
    eventually(lambda: site.ran("finished")[2:], message=site.log)
    for result, value in zip(results, (42, "Ada", None), strict=True):
        (started,) = [line for line in site.ran("started") if line["id"] == result.id]
        (finished,) = [line for line in site.ran("finished") if line["id"] == result.id]
        assert (started["status"], started["sender"]) == ("RUNNING", "JobdBackend")
        assert (finished["status"], finished["value"]) == ("SUCCESSFUL", value)
        assert finished["started_at"] <= finished["finished_at"]
        eventually(lambda r=result: site.log().count(f"Task id={r.id}") == 2, message=site.log)
    assert site.ran("introspected")[0]["id"] == results[2].id


@pytest.mark.redis
@pytest.mark.process
def test_lines_come_once_each_with_djangos_own_logging_too(
    shop: Any, start_site: StartSite
) -> None:
    site = start_site(env={"SHOP_DEBUG": "1"})
    result = shop.tasks.add.enqueue(40)
    eventually(lambda: site.ran("finished"), message=site.log)
    site.wait_for_log(rf"done .*{result.id}")
    for state in ("RUNNING", "SUCCESSFUL"):
        assert site.log().count(f"Task id={result.id} path=shop.tasks.add state={state}") == 1


@pytest.mark.redis
@pytest.mark.process
def test_failures_are_finished_with_their_error_and_the_worker_lives(
    shop: Any, start_site: StartSite, raw: Raw
) -> None:
    site = start_site()
    names = ("wrong", "wrong_inside", "leave", "unfit")
    ids = {name: getattr(shop.tasks, name).enqueue().id for name in names}
    eventually(lambda: site.ran("finished")[3:], message=site.log)
    lines = {line["path"].rpartition(".")[2]: line for line in site.ran("finished")}
    assert {name: line["id"] for name, line in lines.items()} == ids
    assert {line["status"] for line in lines.values()} == {"FAILED"}
    assert all(line["finished_at"] >= line["started_at"] for line in lines.values())
    errors = {name: line["errors"][0] for name, line in lines.items()}
    assert {name: kind for name, (kind, _) in errors.items()} == {
        "wrong": "ValueError",
        "wrong_inside": "RuntimeError",
        "leave": "SystemExit",
        "unfit": "UnfitReturnValue",
    }
    assert "wrong order" in errors["wrong"][1]
    for part in ("the inner one", "direct cause", "the outer one"):
        assert part in errors["wrong_inside"][1]
    assert len({line["pid"] for line in lines.values()}) == 1
    for name, task_id in ids.items():
        line = f"Task id={task_id} path=shop.tasks.{name} state=FAILED"
        eventually(lambda text=line: site.log().count(text) == 1, message=site.log)
    eventually(lambda: raw.zcard("dead") == 4, message=site.log)
    assert len(site.ran("unfit")) == 1  # done once, and not tried again
    assert raw.zcard("retry") == 0


@pytest.mark.measured
@pytest.mark.redis
@pytest.mark.process
def test_a_coroutine_that_takes_too_long_is_cancelled(
    shop: Any, start_site: StartSite, raw: Raw
) -> None:
    site = start_site()
    shop.tasks.linger.enqueue()
    (finished,) = eventually(lambda: site.ran("finished"), timeout=30, message=site.log)
    assert [kind for kind, _ in finished["errors"]] == ["JobTimeout"]
    assert len(site.ran("lingered")) == 1


@pytest.mark.measured
@pytest.mark.redis
@pytest.mark.process
def test_a_failure_that_is_tried_again_is_not_finished(
    shop: Any, start_site: StartSite, raw: Raw
) -> None:
    site = start_site()
    shop.tasks.wrong.using(backend="default").enqueue()
    eventually(lambda: raw.zcard("retry"), message=site.log)
    assert len(site.ran("started")) == 1
    assert site.ran("finished") == []


@pytest.mark.redis
@pytest.mark.process
def test_a_server_runs_the_tasks_of_its_queues_only(
    shop: Any, start_site: StartSite, raw: Raw
) -> None:
    site = start_site("-q", "default")
    shop.tasks.lowly.enqueue()
    shop.tasks.add.enqueue(1)
    eventually(lambda: site.ran("finished"), message=site.log)
    assert (site.ran("lowly"), raw.llen("queue:low")) == ([], 1)


@pytest.mark.redis
@pytest.mark.process
def test_a_task_does_not_run_before_its_time(shop: Any, start_site: StartSite) -> None:
    site = start_site()
    moment = timezone.now() + dt.timedelta(seconds=1.5)
    shop.tasks.add.using(run_after=moment).enqueue(1)
    (finished,) = eventually(lambda: site.ran("finished"), message=site.log)
    assert finished["started_at"] >= moment.timestamp()


@pytest.mark.redis
@pytest.mark.process
def test_a_task_whose_worker_is_killed_runs_again(shop: Any, start_site: StartSite) -> None:
    site = start_site()
    result = shop.tasks.mortal.enqueue()
    (finished,) = eventually(lambda: site.ran("finished"), message=site.log)
    assert (finished["id"], finished["status"]) == (result.id, "SUCCESSFUL")
    assert [line["attempt"] for line in site.ran("mortal")] == [1, 2]
    assert len({line["pid"] for line in site.ran("mortal")}) == 2
