"""The manners of open pages in Chromium: live updates, themes, keys, the palette."""

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support.servers import Raw
from tests.web.conftest import OpenPage, arrived
from tests.web.stock import Stock, a_job

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

Serve = Callable[..., str]

FOCUSED = """() => {
  const element = document.activeElement;
  if (element === document.body) return "BODY";
  const isBare = getComputedStyle(element).outlineStyle === "none";
  return `${element.tagName} ${element.textContent.trim()}${isBare ? " bare" : ""}`;
}"""

HIDE = """isHidden => {
  Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""

# Live


def test_a_page_follows_what_happens_without_losing_what_is_open(
    serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw
) -> None:
    page = open_page(serve() + "/queues/mailers")
    row = page.locator("#rows tbody tr").first.get_attribute("id")
    page.evaluate("document.querySelector('#rows tbody tr').mine = 'kept'")
    shop.queue(a_job("Fresh"), name="urgent")
    shop.queue(*(a_job("More") for _ in range(7)), name="mailers")
    expect(page.locator("#summary")).to_contain_text("47 jobs wait")
    expect(page.locator('nav a[data-key="q"] .count')).to_have_text("48")
    kept = page.locator("#rows tbody tr").first
    assert (kept.get_attribute("id"), kept.evaluate("each => each.mine")) == (row, "kept")


def test_a_selection_holds_the_page_still(
    serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw
) -> None:
    page = open_page(serve(refresh_s=60) + "/retries", has_clock=True)
    page.click('input[name="id"] >> nth=2')
    raw.delete("retry")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(300_000)  # five refreshes long
    assert asked == []
    expect(page.locator("#rows tbody tr")).to_have_count(25)
    page.click('input[name="id"] >> nth=2')
    page.clock.run_for(61_000)
    expect(page.locator("#rows .nothing")).to_be_visible()
    assert asked != []


def test_live_updates_can_be_paused_and_stay_so(
    serve: Serve, open_page: OpenPage, shop: Stock
) -> None:
    page = open_page(serve() + "/queues")
    page.click("#live")
    expect(page.locator("#live")).to_have_text("Paused")
    page.reload()
    expect(page.locator("#live")).to_have_text("Paused")
    shop.queue(a_job(), name="urgent")
    page.keyboard.press("l")
    expect(page.locator("#rows")).to_contain_text("urgent")
    expect(page.locator("#live")).to_have_text("Live")


def test_a_hidden_page_asks_nothing_and_catches_up_when_it_is_seen(
    serve: Serve, open_page: OpenPage, shop: Stock
) -> None:
    page = open_page(serve(refresh_s=60) + "/queues", has_clock=True)
    page.evaluate(HIDE, True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    shop.queue(a_job(), name="urgent")
    page.clock.run_for(300_000)  # five refreshes long
    # The browser itself fetches the icon when it likes.
    assert [url for url in asked if "/static/" not in url] == []
    page.evaluate(HIDE, False)
    expect(page.locator("#rows")).to_contain_text("urgent")


# Themes and keys


def test_a_chosen_theme_beats_the_systems_and_is_remembered(
    serve: Serve, open_page: OpenPage, shop: Stock
) -> None:
    page = open_page(serve() + "/retries?q=class:ChargeCard", color_scheme="light")
    page.click('button[value="dark"]')
    expect(page.locator("html")).to_have_css("background-color", "rgb(14, 15, 17)")
    expect(page).to_have_url(re.compile(r"/retries\?q=class:ChargeCard$"))
    page.goto(page.url)
    expect(page.locator("html")).to_have_css("background-color", "rgb(14, 15, 17)")


def test_the_keys_go_everywhere(
    serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw, shoot: Callable[[Page, str], None]
) -> None:
    page = open_page(serve())
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    shoot(page, "keys-light")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("r")
    arrived(page, "Retries")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator('input[name="id"] >> nth=1')).to_be_checked()
    page.keyboard.press("/")
    page.keyboard.type("class:Nothing?")
    page.keyboard.press("Enter")
    expect(page.locator("#rows .nothing")).to_be_visible()


def test_the_palette_leads_to_a_queue_a_class_and_a_job(
    serve: Serve, open_page: OpenPage, shop: Stock, shoot: Callable[[Page, str], None]
) -> None:
    page = open_page(serve() + "/retries")
    page.keyboard.press("Control+k")
    targets = page.locator("#palette .targets")
    expect(targets).to_contain_text("Overview")
    assert Axe().run(page).response["violations"] == []
    page.keyboard.type("mail")
    expect(targets).to_contain_text("mailers")
    shoot(page, "palette-light")
    page.keyboard.press("Enter")
    arrived(page, "mailers")
    page.keyboard.press("Control+k")
    page.keyboard.type("chargec")
    expect(targets).to_contain_text("ChargeCard")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    arrived(page, "ChargeCard")
    page.keyboard.press("Control+k")
    page.keyboard.type("0" * 24)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/find[?]jid={'0' * 24}$"))
    arrived(page, "Find a job")
    page.click("#jump-link")
    expect(page.locator("#palette-q")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()


def test_a_jump_works_without_javascript(serve: Serve, open_page: OpenPage, shop: Stock) -> None:
    page = open_page(serve() + "/dead", java_script_enabled=False)
    page.click("#jump-link")
    page.fill("#q", "mailers")
    page.keyboard.press("Enter")
    page.click("#targets a >> nth=0")
    expect(page.locator("h1")).to_contain_text("mailers")


def test_the_keyboard_alone_reaches_and_shows_every_control(
    serve: Serve, open_page: OpenPage, shop: Stock
) -> None:
    page = open_page(serve() + "/queues")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    seen: list[str] = []
    while not seen or seen[-1] != "BODY":
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
    assert [each for each in seen if "bare" in each] == []
    words = {" ".join(each.split()) for each in seen}
    assert {"A Audit log", "A mailers", "BUTTON Pause", "SUMMARY Purge"} <= words
