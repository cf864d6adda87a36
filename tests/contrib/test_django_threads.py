"""Django's connections where jobs run side by side: each thread has its own, and leaves none."""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess

StartSite: TypeAlias = Callable[..., JobdProcess]

pytestmark = [pytest.mark.redis, pytest.mark.process]


def test_jobs_side_by_side_have_a_connection_each_and_leave_none(
    shop: Any, start_site: StartSite
) -> None:
    site = start_site(config={"threads": 3})
    for _ in range(2):
        for _ in range(3):
            shop.jobs.Beside.perform_async()
    sides = eventually(
        lambda: (ran := site.ran("beside")) and len(ran) == 6 and ran, message=site.log
    )
    assert len({job["pid"] for job in sides}) == 1
    for three in (sides[:3], sides[3:]):
        assert len({job["connection"] for job in three}) == 3
        assert len({job["thread"] for job in three}) == 3
    assert [job["found"] for job in sides] == [False] * 6  # CONN_MAX_AGE is 0
    assert " fail" not in site.log()


def test_a_transaction_left_open_in_one_thread_is_rolled_back_and_harms_no_other(
    shop: Any, start_site: StartSite
) -> None:
    site = start_site(config={"threads": 3})
    shop.jobs.LeavesOpen.perform_async()
    site.wait_for_log("the job left a transaction open")
    for _ in range(3):
        shop.jobs.Beside.perform_async()
    sides = eventually(
        lambda: (ran := site.ran("beside")) and len(ran) == 3 and ran, message=site.log
    )
    assert [job["found"] for job in sides] == [False] * 3
    assert not shop.models.Order.objects.filter(name="in limbo").exists()
    assert re.search(r"the job left a transaction open.*database=default", site.log())
