"""Acts in Chromium and their effect in Redis: by mouse, by keyboard, without JavaScript."""

import json
import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, expect

from tests.support.servers import Raw
from tests.web.conftest import OpenPage, arrived
from tests.web.stock import Stock, a_failed_job

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

Serve = Callable[..., str]

# Whether two corners of the open question can be pressed
SEEN = """() => {
  const pop = document.querySelector(".confirm[open] .pop");
  pop.scrollIntoView({ block: "nearest" });
  const { left, right, top, bottom } = pop.getBoundingClientRect();
  const corners = [[left + 9, top + 9], [right - 9, bottom - 9]];
  return corners.map(([x, y]) => pop.contains(document.elementFromPoint(x, y)));
}"""


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
    expect(page).not_to_have_url(re.compile("done="))


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


@pytest.mark.parametrize("width", [390, 1100, 1360])
@pytest.mark.parametrize(
    ("path", "last"), [("/queues", "#rows summary"), ("/retries", "form.all summary")]
)
def test_a_question_is_seen_whole_wherever_it_is_asked(
    serve: Serve, open_page: OpenPage, shop: Stock, path: str, last: str, width: int
) -> None:
    page = open_page(serve() + path, viewport={"width": width, "height": 844})
    page.locator(last).last.click()
    assert page.evaluate(SEEN) == [True, True]


def test_arguments_are_edited_and_the_time_is_in_the_viewers_zone(
    serve: Serve, open_page: OpenPage, stock: Stock, raw: Raw
) -> None:
    stock.sorted("retry", a_failed_job("Echo", "old"))
    url = serve()
    page = open_page(f"{url}/retries")
    page.click("a.job")
    arrived(page, "Echo")
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


@pytest.mark.parametrize("has_script", [True, False])
def test_a_running_job_is_looked_at_on_its_page(
    serve: Serve, open_page: OpenPage, stock: Stock, raw: Raw, has_script: bool
) -> None:
    stock.instance(stock.ruby())
    page = open_page(
        serve() + "/running", java_script_enabled=has_script, viewport={"width": 390, "height": 844}
    )
    page.click("a.job")
    page.click('button[value="look"]')
    look = page.locator("#look")
    expect(look).to_contain_text("Asked; the answer is here")
    assert asked(raw) == ["look"]
    stock.look("in perform", ["<b>told</b>", "x" * 900])
    if not has_script:
        page.reload()
    expect(look).to_contain_text("in perform")
    expect(look).to_contain_text("<b>told</b>")
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "the page is wider than the window"
    if has_script:  # which the check is made of
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []


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


# What is ticked first, the page, where its button is, the act, and what is then in Redis
EACH = [
    ("", "/queues", "#rows", "pause", lambda raw: raw.scard("paused") == 1),
    ("", "/queues", "#rows", "unpause", lambda raw: raw.scard("paused") == 0),
    ("tick", "/queues/mailers", "#jobs", "kill", lambda raw: raw.zcard("dead") == 6),
    ("tick", "/queues/mailers", "#jobs", "delete", lambda raw: raw.llen("queue:mailers") == 38),
    ("tick", "/queues/mailers", "#jobs", "move", lambda raw: raw.llen("queue:slow") == 1),
    ("", "/queues/mailers", ".tools", "move", lambda raw: raw.llen("queue:slow") == 38),
    ("", "/queues/slow", ".tools", "clear", lambda raw: raw.llen("queue:slow") == 0),
    ("", "/trash", "#rows", "put_back", lambda raw: raw.llen("queue:slow") == 38),
    ("tick", "/scheduled", "#jobs", "add_to_queue", lambda raw: raw.zcard("schedule") == 29),
    ("tick", "/scheduled", "#jobs", "reschedule", lambda raw: latest(raw) > 2e9),
    ("tick", "/scheduled", "#jobs", "kill", lambda raw: raw.zcard("dead") == 7),
    ("tick", "/scheduled", "#jobs", "delete", lambda raw: raw.zcard("schedule") == 27),
    ("tick", "/retries", "#jobs", "retry", lambda raw: raw.llen("queue:default") == 2),
    ("tick", "/retries", "#jobs", "kill", lambda raw: raw.zcard("dead") == 8),
    ("tick", "/retries", "#jobs", "delete", lambda raw: raw.zcard("retry") == 27),
    ("", "/retries", "form.all", "delete", lambda raw: raw.zcard("retry") == 0),
    ("", "/trash", "#rows", "delete", lambda raw: len(raw.keys("jobd:trash:*")) == 0),
    ("tick", "/dead", "#jobs", "retry", lambda raw: raw.zcard("dead") == 7),
    ("", "/running", "#rows", "cancel", lambda raw: raw.zcard("jobd:cancelled") == 1),
    ("", "/running", "#rows", "kill_running", lambda raw: asked(raw) == ["kill"]),
    ("", "/processes", "article", "quiet", lambda raw: told(raw) == ["TSTP"]),
    ("", "/processes", "article", "dump", lambda raw: told(raw) == ["TTIN", "TSTP"]),
    ("", "/processes", "article", "reload", lambda raw: told(raw)[0] == "HUP"),
    ("", "/processes", "article", "stop", lambda raw: told(raw)[0] == "TERM"),
]


def told(raw: Raw) -> list[str]:
    """What a process was told, the last first."""
    return [each.decode() for each in raw.lrange("ruby-1:900:abc-signals", 0, -1)]


def latest(raw: Raw) -> float:
    """When the last of the scheduled jobs is due."""
    return float(raw.zrange("schedule", -1, -1, withscores=True)[0][1])


def asked(raw: Raw) -> list[str]:
    """What was wanted of the jobs that a process runs."""
    return [json.loads(each)["ask"] for each in raw.lrange("jobd:asks:ruby-1:900:abc", 0, -1)]


def by_mouse(control: Locator) -> None:
    control.click()


def by_keyboard(control: Locator) -> None:
    control.focus()
    is_box = control.get_attribute("type") == "checkbox"
    control.page.keyboard.press("Space" if is_box else "Enter")


@pytest.mark.parametrize(
    ("use", "has_script"), [(by_mouse, True), (by_keyboard, True), (by_mouse, False)]
)
def test_every_act_can_be_done_by_mouse_by_keyboard_and_without_javascript(
    serve: Serve,
    open_page: OpenPage,
    shop: Stock,
    raw: Raw,
    use: Callable[[Locator], None],
    has_script: bool,
) -> None:
    shop.instance("ruby-1:900:abc")
    url = serve(refresh_s=60)
    page = open_page(url, java_script_enabled=has_script)
    for first, path, place, act, is_done in EACH:
        page.goto(url + path)
        if first:
            use(page.locator('input[name="id"]').first)
        wanted = page.locator(f'button[value="{act}"]')
        button = page.locator(place).locator(wanted).first
        question = page.locator(f"{place} details.confirm", has=wanted).first
        if not button.is_visible():
            use(question.locator("summary"))
        if act == "reschedule":
            question.locator('input[name="when"]').fill("2033-06-01T12:00")
        if act == "move":
            question.locator('input[name="target"]').fill("slow")
        use(button)
        expect(page.locator("#note")).not_to_be_empty()
        assert is_done(raw), (path, act)
