"""The dashboard in Chromium: acts and their effect, live updates, themes, keys, and pictures."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from jobd.api import Access, Deploy
from jobd.keys import Keys
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw
from tests.web.conftest import OpenPage
from tests.web.shop import SHOP, push_some
from tests.web.stock import Stock, a_failed_job, a_job

pytestmark = [pytest.mark.slow]

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
    "class": "/metrics/ChargeCard",
    "by-queue": "/metrics?by=queue",
    "configuration": "/configuration",
    "audit": "/audit",
    "find": "/find?jid=abc",
    "jump": "/jump?q=mail",
}


def job_ids(raw: Raw, key: str) -> set[str]:
    return {json.loads(job)["jid"] for job in raw.zrange(key, 0, -1)}


@pytest.fixture
def shop(stock: Stock, access: Access, raw: Raw) -> Iterator[Stock]:
    """Something on every page."""
    stock.history()
    stock.metrics({"OrderConfirmationMail": 0.05, "ChargeCard": 0.12, "Thumbnails": 0.9})
    stock.metrics({"critical": 0.12, "mailers": 0.05}, keys=Keys().metrics_by("queue"))
    Deploy.mark("v2.4.1", at=datetime.now(UTC) - timedelta(minutes=22), access=access)
    stock.queue(
        *(a_job("OrderConfirmationMail", f"c{n}@example.com", n + 1) for n in range(40)),
        name="mailers",
    )
    stock.sorted("schedule", *(a_job("Reminder", n) for n in range(30)))
    stock.sorted("retry", *(a_failed_job("ChargeCard", n, {}, tags=["eu"]) for n in range(30)))
    feeds = (f"https://feeds.example.com/{n}.csv" for n in range(5))
    stock.sorted("dead", *(a_failed_job("ImportCatalogue", feed) for feed in feeds), in_s=-90)
    stock.ruby()
    return stock


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

# Every page


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_a_page_is_clean_in_every_look(
    serve: Serve,
    open_page: OpenPage,
    shoot: Callable[[Page, str], None],
    shop: Stock,
    name: str,
    look: str,
) -> None:
    options: dict[str, Any] = {"color_scheme": "dark" if look == "dark" else "light"}
    if look == "phone":
        options |= {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    page = open_page(serve() + PAGES[name], **options)
    expect(page.locator("h1")).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "the page is wider than the window"
    bright = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", bright)[:3])) < 300) is (look == "dark")
    serious = [
        (found["id"], [node["html"][:200] for node in found["nodes"][:3]])
        for found in Axe().run(page).response["violations"]
        if found["impact"] in {"serious", "critical"}
    ]
    assert serious == []
    shoot(page, f"{name}-{look}")


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


# Acts


def test_jobs_are_ticked_and_retried(
    serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw
) -> None:
    page = open_page(serve() + "/retries")
    boxes = page.locator('input[name="id"]')
    boxes.nth(0).click()
    boxes.nth(3).click(modifiers=["Shift"])
    expect(page.locator(".chosen")).to_have_text("4 selected")
    page.click('button[value="retry"]')
    expect(page.locator("#note")).to_have_text("Queued 4 jobs for another try.")
    assert raw.llen("queue:default") == 4
    assert "done=" not in page.url


@pytest.mark.parametrize("path", ["/retries", "/dead", "/scheduled", "/queues/mailers"])
def test_what_acts_on_a_selection_is_there_once_there_is_one(
    serve: Serve, open_page: OpenPage, shop: Stock, path: str
) -> None:
    page = open_page(serve() + path, java_script_enabled=False)
    acts = page.locator("#jobs .selected").locator("button, summary")
    expect(page.locator("#jobs .none")).to_be_visible()
    expect(acts.locator("visible=true")).to_have_count(0)
    page.click('input[name="id"] >> nth=0')
    expect(page.locator("#jobs .none")).to_be_hidden()
    expect(acts.first).to_be_visible()


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


def test_deleting_asks_first(serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw) -> None:
    page = open_page(serve() + "/dead")
    page.click("input.all")
    page.locator("#jobs summary", has_text="Delete").click()
    assert raw.zcard("dead") == 5
    page.locator('#jobs .pop button[value="delete"]:visible').click()
    expect(page.locator("#note")).to_have_text("Deleted 5 jobs.")
    assert raw.zcard("dead") == 0


def test_all_that_match_a_search_are_killed(
    serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw
) -> None:
    shop.sorted("retry", a_failed_job("Other"))
    page = open_page(serve() + "/retries")
    page.fill("#q", "class:ChargeCard")
    page.press("#q", "Enter")
    page.locator("form.all summary", has_text="Kill all").click()
    page.locator("form.all .pop button:visible").click()
    expect(page.locator("#note")).to_have_text("Killed 30 jobs.")
    assert raw.zcard("retry") == 1


def test_a_queue_is_paused_and_purged(
    serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw
) -> None:
    page = open_page(serve() + "/queues")
    page.click('button[value="pause"]')
    expect(page.locator("#rows .state-paused")).to_be_visible()
    assert raw.sismember("paused", "mailers")
    page.locator("#rows summary", has_text="Purge").click()
    expect(page.locator("#rows .pop:visible")).to_contain_text("its 40 jobs")
    expect(page.locator("#rows .pop:visible")).to_contain_text("put back for a day")
    page.locator('#rows button[value="clear"]:visible').click()
    expect(page.locator("#note")).to_have_text("Deleted the queue and its 40 jobs.")
    assert not raw.exists("queue:mailers")
    page.locator(".tools a", has_text="Purged").click()
    page.click('button[value="put_back"]')
    expect(page.locator("#note")).to_have_text("Put back 40 jobs.")
    assert raw.llen("queue:mailers") == 40


def test_a_job_is_moved_to_another_queue(
    serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw
) -> None:
    page = open_page(serve() + "/queues/mailers")
    page.click('input[name="id"] >> nth=0')
    page.locator("#jobs summary", has_text="Move").click()
    page.fill("#target", "slow")
    page.locator('#jobs button[value="move"]').click()
    expect(page.locator("#note")).to_have_text("Moved 1 job.")
    assert raw.llen("queue:slow") == 1


@pytest.mark.parametrize("width", [390, 1360])
def test_a_whole_queue_is_moved_to_another_on_any_screen(
    serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw, width: int
) -> None:
    page = open_page(serve() + "/queues/mailers", viewport={"width": width, "height": 844})
    page.locator(".tools summary", has_text="Move all").click()
    question = page.locator(".tools .pop:visible")
    place = question.bounding_box()
    assert place is not None
    assert 0 <= place["x"] < place["x"] + place["width"] <= width
    expect(question).to_contain_text("Move the 40 jobs to the back of another queue")
    page.fill("#all-target", "slow")
    question.locator("button").click()
    expect(page.locator("#note")).to_have_text("Moved 40 jobs.")
    assert (raw.llen("queue:mailers"), raw.llen("queue:slow")) == (0, 40)


def test_arguments_are_edited_and_the_time_is_in_the_viewers_zone(
    serve: Serve, open_page: OpenPage, stock: Stock, raw: Raw
) -> None:
    stock.sorted("retry", a_failed_job("Echo", "old"))
    url = serve()
    page = open_page(f"{url}/retries")
    page.click("a.job")
    page.locator("summary", has_text="Reschedule").click()
    page.fill("#when", "2033-05-18T05:33")
    page.click('button[value="reschedule"]')
    expect(page.locator("#note")).to_have_text("It has another time now.")
    # Vienna is two hours ahead of UTC in May.
    assert raw.zrange("retry", 0, -1, withscores=True)[0][1] == 2_000_000_000.0 - 20
    page.click("a.job")
    page.locator(".edit summary").click()
    page.fill("#args", '["new"]')
    page.click(".edit button")
    expect(page.locator("#note")).to_have_text("Queued 1 job for another try.")
    assert json.loads(raw.lindex("queue:default", 0))["args"] == ["new"]


def test_rubys_process_is_steered(serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw) -> None:
    page = open_page(serve() + "/processes")
    page.click('button[value="quiet"]')
    expect(page.locator("#note")).to_contain_text("obeys within ten seconds")
    assert raw.lrange("ruby-1:900:abc-signals", 0, -1) == [b"TSTP"]


def test_a_forged_form_is_refused_by_the_browsers_own_word(
    serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw
) -> None:
    url = serve()
    token = open_page(f"{url}/queues").locator('input[name="_token"]').first.get_attribute("value")
    form = (
        f'<form method="post" action="{url}/queues"><input name="_token" value="{token}">'
        '<input name="queue" value="mailers"><button name="act" value="clear">win</button></form>'
    )
    page = open_page(f"{url}/queues", expects="Failed to load resource")
    page.goto("about:blank")
    page.set_content(form)
    with page.expect_response(f"{url}/queues") as answered:
        page.click("button")
    assert answered.value.status == 403
    assert raw.llen("queue:mailers") == 40


def test_a_read_only_dashboard_has_no_button(
    serve: Serve, open_page: OpenPage, shop: Stock
) -> None:
    page = open_page(serve(read_only=True) + "/retries")
    expect(page.locator(".badge", has_text="read-only")).to_be_visible()
    expect(page.locator('main button[name="act"]')).to_have_count(0)
    expect(page.locator('main input[type="checkbox"]')).to_have_count(0)


def test_everything_works_without_javascript(
    serve: Serve, open_page: OpenPage, shop: Stock, raw: Raw
) -> None:
    page = open_page(serve() + "/retries", java_script_enabled=False)
    page.click('input[name="id"] >> nth=0')
    page.locator("#jobs summary", has_text="Delete").click()
    page.click('#jobs .pop button[value="delete"]')
    expect(page.locator("#note")).to_have_text("Deleted 1 job.")
    assert raw.zcard("retry") == 29
    page.click("a.job >> nth=0")
    page.click('button[value="retry"] >> nth=0')
    expect(page.locator("#note")).to_have_text("Queued 1 job for another try.")
    page.click('button[value="dark"]')
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("#live")).to_be_hidden()


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
    expect(page.locator("h1")).to_have_text("Retries")
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
    expect(page.locator("h1")).to_contain_text("mailers")
    page.keyboard.press("Control+k")
    page.keyboard.type("chargec")
    expect(targets).to_contain_text("ChargeCard")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/metrics/ChargeCard$"))
    page.keyboard.press("Control+k")
    page.keyboard.type("0" * 24)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/find[?]jid={'0' * 24}$"))
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


def test_times_are_in_the_viewers_zone(serve: Serve, open_page: OpenPage, stock: Stock) -> None:
    stock.sorted("schedule", a_job())
    page = open_page(serve() + "/scheduled")
    time = page.locator("#rows time").first
    utc = str(time.get_attribute("datetime"))
    title = str(time.get_attribute("title"))
    hour = (int(utc[11:13]) + 1) % 24  # Vienna, or +2 in summer
    assert f"{(hour - 1) % 12 + 1}:" in title or f"{hour % 12 + 1}:" in title


# A busy system


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
    expect(page.locator("#tiles .big").first).not_to_have_text("–")
    for name, path in PAGES.items():
        page.goto(url + path)
        shoot(page, f"busy-{name}")
    page.goto(f"{url}/processes")
    article = page.locator("article", has_text="shop")
    article.locator('button[value="quiet"]').click()
    expect(article.locator(".state-quiet").first).to_be_visible()
    article.locator("summary", has_text="Stop").click()
    article.locator('button[value="stop"]').click()
    assert server.wait(timeout=60) == 0
