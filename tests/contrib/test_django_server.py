"""Django jobs in a server: connections, settings, `manage.py jobd`; async jobs."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

import jobd
from jobd.app import App
from jobd.config import RedisSettings
from tests.contrib.conftest import MANAGE, SITE, StartSite
from tests.support.eventually import eventually
from tests.support.jobd_process import COMMAND, StartJobd
from tests.support.servers import Raw

# In the server


@pytest.mark.redis
@pytest.mark.process
def test_a_job_pushed_in_a_transaction_finds_its_row(shop: Any, start_site: StartSite) -> None:
    site = start_site()
    with transaction.atomic():
        order = shop.models.Order.objects.create(name="tea")
        jid = shop.jobs.Confirm.perform_async(order.pk)
    (confirmed,) = eventually(lambda: site.ran("confirmed"), message=site.log)
    assert (confirmed["name"], confirmed["jid"]) == ("tea", jid)


@pytest.mark.redis
@pytest.mark.process
def test_each_job_starts_with_usable_connections(shop: Any, start_site: StartSite) -> None:
    site = start_site()
    for how in ("plain", "manual", "broken", "plain"):
        shop.jobs.Connections.perform_async(how)
    found = eventually(
        lambda: (ran := site.ran("connection"))[3:] and [job["found"] for job in ran],
        message=site.log,
    )
    # CONN_MAX_AGE is 0: none is kept, whatever the job before has made of it.
    assert found == [False] * 4
    assert len({job["pid"] for job in site.ran("connection")}) == 1
    assert "msg=fail" not in site.log()


@pytest.mark.redis
@pytest.mark.process
def test_a_transaction_that_a_job_leaves_open_is_not_left_to_the_next(
    shop: Any, start_site: StartSite
) -> None:
    site = start_site("-c", "1")
    shop.jobs.LeavesOpen.perform_async()
    shop.jobs.Loops.perform_async()
    (looped,) = eventually(lambda: site.ran("looped"), message=site.log)
    assert looped["orders"] == shop.models.Order.objects.count() == 4
    assert not shop.models.Order.objects.filter(name="in limbo").exists()
    assert re.search(r"the job left a transaction open.*database=default", site.log())
    assert site.ran("greeted") == []


@pytest.mark.measured
@pytest.mark.redis
@pytest.mark.process
def test_a_connection_is_kept_for_conn_max_age_unless_the_server_dropped_it(
    shop: Any, start_site: StartSite
) -> None:
    site = start_site("-c", "1")
    for how in ("kept", "dropped", "kept", "kept"):
        shop.jobs.Ages.perform_async(how)
    eventually(lambda: site.ran("used")[3:], message=site.log)
    one, two, three, four = (job["connection"] for job in site.ran("used"))
    assert one == two != three == four
    assert "msg=fail" not in site.log()


@pytest.mark.redis
@pytest.mark.process
def test_a_job_that_runs_inline_is_on_the_connection_of_the_job_around_it(
    shop: Any, start_site: StartSite
) -> None:
    site = start_site("-c", "1")
    shop.jobs.Loops.perform_async()
    (looped,) = eventually(lambda: site.ran("looped"), message=site.log)
    assert looped["orders"] == 4
    assert [job["name"] for job in site.ran("confirmed")] == ["a", "b", "c"]


@pytest.mark.redis
@pytest.mark.process
def test_the_child_of_a_job_that_forks_opens_a_connection_of_its_own(
    shop: Any,
    start_site: StartSite,
) -> None:
    site = start_site()
    shop.jobs.Forking.perform_async()
    (parent,) = eventually(lambda: site.ran("parent"), message=site.log)
    (child,) = site.ran("child")
    assert (child["had"], child["same"], child["orders"]) == (False, False, 1)
    assert (parent["same"], parent["orders"]) == (True, 1)


@pytest.mark.redis
@pytest.mark.process
def test_a_plain_jobd_serves_a_project_that_it_is_told_to_require(
    shop: Any, start_jobd: StartJobd, app: App, site: Path, redis_url: str
) -> None:
    app.redis = RedisSettings(url=redis_url)
    env = {"SHOP_DIRECTORY": str(site), "DJANGO_SETTINGS_MODULE": "shop_settings"}
    config = {"require": ["jobd.contrib.django.server"]}
    process = start_jobd(command=COMMAND, config=config, env={**env, "PYTHONPATH": path()})
    shop.jobs.greet.perform_async("Ada")
    eventually(lambda: process.ran("greeted"), message=process.log)


def path() -> str:
    return f"{SITE}:{Path(__file__).parents[2]}"


@pytest.mark.redis
@pytest.mark.process
def test_manage_py_serves_the_redis_of_the_settings(
    shop: Any, start_site: StartSite, redis_url: str, raw: Raw
) -> None:
    settings = json.dumps({"REDIS": {"url": redis_url}})
    site = start_site(env={"SHOP_JOBD": settings}, redis_url=None)
    shop.jobs.greet.perform_async("Ada")
    eventually(lambda: site.ran("greeted"), message=site.log)


@pytest.mark.redis
@pytest.mark.process
def test_manage_py_requires_what_the_file_does_too(start_site: StartSite, redis_url: str) -> None:
    site = start_site(jobs="import jobd\n\n\n@jobd.job\ndef extra():\n    open('extra', 'w')\n",
                      config={"require": ["app_jobs"]})  # fmt: skip
    jobd.push({"class": "extra", "args": []})
    eventually((site.directory / "extra").exists, message=site.log)


def manage(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
    return subprocess.run(
        [*MANAGE, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.measured
@pytest.mark.slow
@pytest.mark.process
def test_manage_py_has_the_flags_of_jobd(site: Path, tmp_path: Path) -> None:
    shown = manage("jobd", "--help", cwd=tmp_path, SHOP_DIRECTORY=str(site))
    assert shown.returncode == 0
    assert "-c, --concurrency N" in shown.stdout
    version = manage("jobd", "-V", cwd=tmp_path, SHOP_DIRECTORY=str(site))
    assert version.stdout.strip() == f"jobd {jobd.__version__}"
    wrong = manage("jobd", "--workers", "3", cwd=tmp_path, SHOP_DIRECTORY=str(site))
    assert wrong.returncode == 64
    helped = manage("help", "jobd", cwd=tmp_path, SHOP_DIRECTORY=str(site))
    assert helped.stdout == shown.stdout


@pytest.mark.redis
@pytest.mark.process
def test_manage_py_checks_with_djangos_flags_among_its_own(
    site: Path, tmp_path: Path, redis_url: str
) -> None:
    words = ["jobd", "--settings", "shop_settings", "--pythonpath=lib", "-q", "low", "--check"]
    done = manage(*words, cwd=tmp_path, SHOP_DIRECTORY=str(site), REDIS_URL=redis_url)
    assert done.returncode == 0, done.stderr
    assert "the application loads" in done.stdout
    assert "DjangoTask" in done.stdout


@pytest.mark.process
@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"DJANGO_SETTINGS_MODULE": ""}, "DJANGO_SETTINGS_MODULE"),
        ({"DJANGO_SETTINGS_MODULE": "django.conf.global_settings"}, "SECRET_KEY|INSTALLED_APPS"),
        (
            {"DJANGO_SETTINGS_MODULE": "shop_settings", "SHOP_JOBD": '{"WIRE": 7}'},
            r'JOBD\["WIRE"\]: 7, but the server writes 8',
        ),
        (
            {
                "DJANGO_SETTINGS_MODULE": "shop_settings",
                "SHOP_JOBD": '{"REDIS": "redis://elsewhere/1"}',
                "REDIS_URL": "redis://here/1",
            },
            "wants Redis at redis://elsewhere/1, but the server works on redis://here/1",
        ),
    ],
)
def test_a_project_that_cannot_be_served_is_refused_at_boot(
    site: Path, tmp_path: Path, variables: dict[str, str], complaint: str
) -> None:
    done = subprocess.run(
        [*COMMAND, "-r", "jobd.contrib.django.server", "--check"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path(), "SHOP_DIRECTORY": str(site)}
        | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert re.search(complaint, done.stderr)


# Async jobs


@pytest.mark.redis
@pytest.mark.process
@pytest.mark.parametrize("places", [10, 0])
def test_an_async_job_awaits_its_queries(shop: Any, start_site: StartSite, places: int) -> None:
    site = start_site(config={"async_concurrency": places})
    order = shop.models.Order.objects.create(name="tea")
    shop.jobs.ConfirmAsync.perform_async(order.pk)
    (confirmed,) = eventually(lambda: site.ran("confirmed"), message=site.log)
    assert confirmed["name"] == "tea"


@pytest.mark.measured
@pytest.mark.redis
@pytest.mark.process
def test_async_jobs_have_connections_of_their_own_and_leave_none(
    shop: Any, start_site: StartSite
) -> None:
    shop.models.Order.objects.bulk_create([shop.models.Order(name=name) for name in "abc"])
    site = start_site("-c", "1")
    for _ in range(3):
        shop.jobs.Meets.perform_async()
    eventually(lambda: site.ran("met")[8:], message=site.log)
    assert [met["closed"] for met in site.ran("met")] == [0] * 9
    shop.jobs.Fails.perform_async()
    eventually(lambda: "msg=fail" in site.log(), message=site.log)
    for _ in range(3):
        shop.jobs.Meets.perform_async()
    eventually(lambda: site.ran("met")[17:], message=site.log)
    assert len({met["closed"] for met in site.ran("met")[9:]}) == 1
    assert site.ran("met")[9]["closed"] == 9 + 1
    assert re.search(r"the job left a transaction open.*database=default", site.log())
    assert not shop.models.Order.objects.filter(name="in limbo").exists()
