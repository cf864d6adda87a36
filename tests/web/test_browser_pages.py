"""Every page in Chromium: in the light, in the dark, on a phone; the pictures of the README."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw
from tests.web.conftest import OpenPage
from tests.web.shop import SHOP, push_some
from tests.web.stock import Stock, a_failed_job, a_job

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

Serve = Callable[..., str]
PAGES = {
    "overview": "/",
    "processes": "/processes",
    "running": "/running",
    "queues": "/queues",
    "queue": "/queues/mailers",
    "classes": "/queues/mailers?group=class",
    "scheduled": "/scheduled",
    "retries": "/retries",
    "errors": "/retries?group=error",
    "dead": "/dead",
    "metrics": "/metrics",
    "by-queue": "/metrics?by=queue",
    "of-queue": "/metrics/mailers?by=queue",
    "configuration": "/configuration",
    "audit": "/audit",
    "find": "/find?jid=abc",
    "jump": "/jump?q=mail",
}


def serious(page: Page, *rules: str) -> list[Any]:
    """What a reader with a disability would stumble over; by all rules, if none is named."""
    only = {"runOnly": rules} if rules else {}
    results = Axe().run(page, options={"resultTypes": ["violations"], **only})
    return [
        (found["id"], [node["html"][:200] for node in found["nodes"][:3]])
        for found in results.response["violations"]
        if found["impact"] in {"serious", "critical"}
    ]


def is_dark(page: Page) -> bool:
    bright = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return sum(map(int, re.findall(r"\d+", bright)[:3])) < 300


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("look", ["light", "phone"])
def test_a_page_is_clean_in_every_look(
    serve: Serve,
    open_page: OpenPage,
    shoot: Callable[[Page, str], None],
    shop: Stock,
    name: str,
    look: str,
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    page = open_page(
        serve() + PAGES[name], color_scheme="light", **(phone if look == "phone" else {})
    )
    expect(page.locator("h1")).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "the page is wider than the window"
    assert not is_dark(page)
    assert serious(page) == []
    shoot(page, f"{name}-{look}")
    if look == "light":
        page.emulate_media(color_scheme="dark")  # changes the colours alone
        assert is_dark(page)
        assert serious(page, "color-contrast") == []
        shoot(page, f"{name}-dark")


def test_the_page_of_a_job_is_clean_too(
    serve: Serve, open_page: OpenPage, shoot: Callable[[Page, str], None], stock: Stock
) -> None:
    frames = [f"/srv/shop/jobs.py:{n}:in `charge'" for n in range(9)]
    args = [{"order": 4711, "holder": "Ada", "token": "tok_1"}, ["a", "b"]]
    stock.sorted("retry", a_failed_job("ChargeCard", *args, error_backtrace=frames))
    page = open_page(serve() + "/retries")
    page.click("a.job")
    expect(page.locator("h1")).to_contain_text("ChargeCard")
    expect(page.locator(".frames")).to_contain_text("jobs.py:8")
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []
    shoot(page, "job-light")


def test_a_phone_shows_the_page_at_once_and_why_a_job_failed(
    serve: Serve, open_page: OpenPage, shop: Stock
) -> None:
    page = open_page(serve() + "/retries", viewport={"width": 390, "height": 844})
    top = page.locator("h1").bounding_box()
    assert top is not None
    assert top["y"] < 130
    error = page.locator("#rows tbody tr").first.locator(".message")
    place = error.bounding_box()
    assert place is not None
    assert place["x"] + place["width"] <= 390
    expect(page.locator(".themes")).to_be_visible()
    # The heads of the columns, which sort them elsewhere, have no room.
    page.goto(page.url.replace("/retries", "/queues"))
    page.locator(".switch.narrow").get_by_text("Size").click()
    expect(page.locator(".switch.narrow [aria-current]")).to_have_text("Size")
    assert "order=size" in page.url


def test_a_chart_that_is_wider_than_a_phone_begins_with_what_is_newest(
    serve: Serve, open_page: OpenPage, shop: Stock
) -> None:
    page = open_page(serve(), viewport={"width": 390, "height": 844}, java_script_enabled=False)
    figure = page.locator(".figure").first
    frame, chart = figure.bounding_box(), figure.locator("svg").bounding_box()
    assert frame is not None
    assert chart is not None
    assert chart["x"] < frame["x"]
    assert abs(chart["x"] + chart["width"] - frame["x"] - frame["width"]) < 2


def test_times_are_in_the_viewers_zone(serve: Serve, open_page: OpenPage, stock: Stock) -> None:
    stock.sorted("schedule", a_job())
    page = open_page(serve() + "/scheduled")
    time = page.locator("#rows time").first
    utc = str(time.get_attribute("datetime"))
    title = str(time.get_attribute("title"))
    hour = (int(utc[11:13]) + 1) % 24  # Vienna, or +2 in summer
    assert f"{(hour - 1) % 12 + 1}:" in title or f"{hour % 12 + 1}:" in title


@pytest.mark.process
def test_a_busy_system_is_shown_live_and_steered(
    serve: Serve,
    open_page: OpenPage,
    shoot: Callable[[Page, str], None],
    start_jobd: StartJobd,
    shop: Stock,
    raw: Raw,
) -> None:
    server = start_jobd(config=SHOP)
    push_some(raw, 400)
    url = serve(environment="staging")
    page = open_page(url)
    before = int(raw.get("stat:processed") or 0)
    eventually(lambda: int(raw.get("stat:processed") or 0) > before + 20)
    expect(page.locator("#tiles")).to_contain_text("/ 9")
    # A rate needs two heartbeats.
    wire.have_them_beat(raw)
    expect(page.locator("#tiles .big").first).not_to_have_text("–")
    for name, path in PAGES.items():
        page.goto(url + path)
        shoot(page, f"busy-{name}")
    page.goto(f"{url}/processes")
    article = page.locator("article", has_text="shop")
    article.locator('button[value="quiet"]').click()
    expect(page.locator("#note")).not_to_be_empty()
    wire.have_them_beat(raw)
    expect(article.locator(".state-quiet").first).to_be_visible()
    article.locator("summary", has_text="Stop").click()
    article.locator('button[value="stop"]').click()
    eventually(lambda: [*raw.scan_iter("*-signals")] or server.returncode is not None)
    wire.have_them_beat(raw)
    assert server.wait(timeout=60) == 0
