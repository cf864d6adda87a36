"""What stands around every page: a way to other dashboards."""

from collections.abc import Callable
from typing import Any

import pytest

from jobd.errors import ConfigError
from jobd.web import Settings
from tests.web.visitor import Visitor

pytestmark = pytest.mark.redis

FLEETS = {"Europe": "/", "Asia": "https://asia.example.com/jobs"}


def test_other_dashboards_can_be_switched_to(make: Callable[..., Any]) -> None:
    page = Visitor(make(instances=FLEETS)).get("/queues").text
    assert "<summary>Europe</summary>" in page
    assert '<a href="/" aria-current="true">Europe</a>' in page
    assert '<a href="https://asia.example.com/jobs">Asia</a>' in page


def test_a_dashboard_that_is_not_among_them_has_no_name_of_its_own(
    make: Callable[..., Any],
) -> None:
    page = Visitor(make(instances={"Asia": "/asia"})).get("/").text
    assert "<summary>Dashboards</summary>" in page


def test_without_others_there_is_nothing_to_switch(visitor: Visitor) -> None:
    assert "Dashboards" not in visitor.get("/").text


def test_a_dashboard_has_a_path_or_an_url() -> None:
    with pytest.raises(ConfigError, match=r"instances\.Asia"):
        Settings(instances={"Asia": "javascript:alert(1)"})
