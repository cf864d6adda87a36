"""A dashboard on the test's own Redis, and a browser that looks at it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from jobd.api import Access, Deploy
from jobd.config import RedisSettings
from jobd.keys import Keys
from jobd.pool import Pool
from jobd.web import Settings, create_app
from tests.support import leash
from tests.support.servers import Raw
from tests.web.stock import Stock, a_failed_job, a_job
from tests.web.visitor import Served, Visitor

OpenPage: TypeAlias = Callable[..., Page]

expect.set_options(timeout=60_000)  # a busy machine is slow to show a page

SHOTS = Path(os.environ.get("JOBD_SCREENSHOTS", Path(__file__).parents[2] / ".screenshots"))


@pytest.fixture
def access(redis_url: str) -> Access:
    """What the dashboard reads through."""
    # A machine that is busy with other tests may let a server wait for seconds.
    return Access(redis=Pool(RedisSettings(url=redis_url, network_timeout=30)))


@pytest.fixture
def stock(raw: Raw) -> Stock:
    """What stands in Redis."""
    return Stock(raw)


@pytest.fixture
def shop(stock: Stock, access: Access) -> Stock:
    """Something on every page."""
    stock.history()
    stock.metrics({"OrderConfirmationMail": 0.05, "ChargeCard": 0.12, "Thumbnails": 0.9})
    stock.metrics({"critical": 0.12, "mailers": 0.05}, keys=Keys().metrics_by("queue"))
    stock.metrics({"critical": 0.02, "mailers": 7.0}, keys=Keys().metrics_by("wait"))
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


@pytest.fixture
def make(access: Access) -> Callable[..., Any]:
    """A function that makes a dashboard with these settings."""
    return lambda **settings: create_app(Settings(**settings), access=access)


@pytest.fixture
def visitor(make: Callable[..., Any]) -> Visitor:
    """Somebody at this machine who visits a dashboard of default settings."""
    return Visitor(make())


# With a browser


@pytest.fixture
def serve(make: Callable[..., Any]) -> Iterator[Callable[..., str]]:
    """A function that serves a dashboard with these settings, and returns its address."""
    with ExitStack() as running:

        def start(**settings: Any) -> str:
            return running.enter_context(Served(make(**{"refresh_s": 1, **settings}))).url

        yield start


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium.

    Until its end a loop runs in this thread, so that no other test could use `asyncio.run`: in the
    session's last module that was nobody, unless a worker of pytest-xdist stole tests afterwards.
    """
    path = leash.needs("chromium", "chromium")
    with sync_playwright() as playwright:
        # The sandbox needs more rights than a container gives.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"], timeout=120_000
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """A function that opens an address in a fresh browser.

    Whatever a page says on the console, or asks for elsewhere, fails the test; ``expects`` names
    what a test provokes. With ``has_clock`` the test can move the page's time on.
    """
    complaints: list[str] = []
    expected: list[str] = []
    contexts: list[BrowserContext] = []

    def start(url: str, *, expects: str = "", has_clock: bool = False, **options: Any) -> Page:
        context = browser.new_context(
            **{
                "viewport": {"width": 1360, "height": 860},
                "timezone_id": "Europe/Vienna",
                **options,
            }
        )
        contexts.append(context)
        if expects:
            expected.append(expects)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", lambda request: _check(request.url, url, complaints))
        if has_clock:
            page.clock.install()
        page.goto(url)
        return page

    yield start
    for context in contexts:
        context.close()
    unexpected = [each for each in complaints if not any(text in each for text in expected)]
    assert not unexpected


def _check(asked: str, url: str, complaints: list[str]) -> None:
    origin = "/".join(url.split("/")[:3])
    if not asked.startswith(f"{origin}/"):
        complaints.append(f"asked elsewhere: {asked}")


@pytest.fixture
def shoot() -> Callable[[Page, str], None]:
    """A function that keeps a picture of a page, for people to look at."""
    SHOTS.mkdir(exist_ok=True)

    def shot(page: Page, name: str) -> None:
        page.screenshot(path=SHOTS / f"{name}.png")

    return shot


def arrived(page: Page, heading: str) -> None:
    """Wait for a page, and for its script: a key that is pressed before that would be lost."""
    expect(page.locator("h1")).to_contain_text(heading)
    expect(page.locator("#help-button")).to_be_visible()
