"""The door of the dashboard: who is let in, under which name, and which forms are believed."""

import base64
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from jobd.errors import ConfigError
from jobd.web import ACTS, ROLES, Password, Settings, create_app
from jobd.web.brake import Brake
from jobd.web.catalogue import Catalogue
from jobd.web.guard import Guard
from tests.support.clock import FakeClock
from tests.support.servers import Raw
from tests.web.stock import Stock, a_failed_job, a_job, fill
from tests.web.visitor import Visitor

Make = Callable[..., Any]
OURS = {"Sec-Fetch-Site": "same-origin"}


def basic(password: str, name: str = "ada") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


# Who


def test_without_an_authenticator_only_this_machine_is_let_in(make: Make) -> None:
    assert Visitor(make()).get("/").status_code == 200
    assert Visitor(make(), peer="::1").get("/").status_code == 200
    refused = Visitor(make(), peer="192.0.2.7").get("/")
    assert refused.status_code == 403
    assert "JOBD_WEB_PASSWORD" in refused.text


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_a_proxy_on_this_machine_does_not_open_it_to_the_world(make: Make, header: str) -> None:
    answer = Visitor(make(), headers={header: "192.0.2.7"}).get("/")
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["/", "/retries", "/static/jobd.css", "/nowhere", "/?format=json"])
def test_whatever_is_asked_for_the_door_is_the_same(make: Make, path: str) -> None:
    assert Visitor(make(), peer="192.0.2.7").get(path).status_code == 403


def test_a_password_of_the_environment_is_asked_for_everywhere(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBD_WEB_PASSWORD", "correct horse")
    app = make()
    for peer in ("127.0.0.1", "192.0.2.7"):
        answer = Visitor(app, peer=peer).get("/")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert Visitor(app, peer=peer, headers=basic("wrong")).get("/").status_code == 401
        assert Visitor(app, peer=peer, headers=basic("correct horse")).get("/").status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !!!", "Bearer x", "Basic " + base64.b64encode(b"\xff").decode()]
)
def test_a_broken_login_is_no_login(
    make: Make, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    monkeypatch.setenv("JOBD_WEB_PASSWORD", "correct horse")
    assert Visitor(make(), headers={"Authorization": header}).get("/").status_code == 401


class Guessed:
    """A dashboard behind a password, and how long its wrong ones were waited with."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.clock = FakeClock()
        settings = Settings()
        self.app = Guard(
            PlainTextResponse("in"),
            settings,
            Password("right"),
            Catalogue({}),
            clock=self.clock,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)

    def guess(self, password: str, peer: str = "192.0.2.7") -> int:
        return Visitor(self.app, peer=peer, headers=basic(password)).get("/").status_code


def test_wrong_passwords_are_answered_later_and_later_and_the_right_one_at_once() -> None:
    guessed = Guessed()
    for _ in range(10):
        assert guessed.guess("wrong") == 401
    assert guessed.waited == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert guessed.guess("right") == 200
    assert Visitor(guessed.app, peer="192.0.2.7").get("/").status_code == 401
    assert len(guessed.waited) == 7


def test_who_gives_a_wrong_password_elsewhere_is_not_waited_with() -> None:
    guessed = Guessed()
    for number in range(6):
        guessed.guess("wrong", f"2001:db8:0:1::{number}")
    assert guessed.waited == [0.25, 0.5, 1.0]  # of one network
    guessed.guess("wrong", "2001:db8:0:2::1")
    guessed.guess("wrong", "192.0.2.7")
    assert len(guessed.waited) == 3
    guessed.clock.advance(901)
    guessed.guess("wrong", "2001:db8:0:1::9")
    assert len(guessed.waited) == 3


def test_who_was_not_heard_of_for_longest_is_forgotten_first() -> None:
    brake = Brake(FakeClock())
    assert [brake.delay_s("odd") for _ in range(5)] == [0, 0, 0, 0.25, 0.5]
    for number in range(999):
        brake.delay_s(f"10.0.{number // 256}.{number % 256}")
    assert brake.delay_s("odd") == 1.0
    for number in range(1000):
        brake.delay_s(f"10.1.{number // 256}.{number % 256}")
    assert brake.delay_s("odd") == 0


def test_a_function_decides_by_request_and_act(make: Make, stock: Stock, raw: Raw) -> None:
    stock.queue(a_job())

    def authenticate(request: Request, act: str) -> str | None:
        name = request.headers.get("x-user")
        return name if act == "read" or name == "boss" else None

    app = make(authenticate=authenticate)
    assert Visitor(app).get("/").status_code == 403
    clerk = Visitor(app, peer="192.0.2.7", headers={"X-User": "clerk"})
    assert clerk.get("/").status_code == 200
    assert clerk.post("/queues", queue="default", act="clear").status_code == 403
    assert raw.llen("queue:default") == 1
    boss = Visitor(app, peer="192.0.2.7", headers={"X-User": "boss"})
    assert boss.post("/queues", queue="default", act="clear").status_code == 303
    assert raw.llen("queue:default") == 0
    assert boss.json("/audit")["rows"][0]["who"] == "boss"


def test_a_function_may_be_async(make: Make) -> None:
    async def authenticate(_: Request, act: str) -> bool:
        return act == "read"

    assert Visitor(make(authenticate=authenticate), peer="192.0.2.7").get("/").status_code == 200


@pytest.mark.parametrize("is_async", [False, True])
def test_what_somebody_may_not_do_is_not_offered_to_them(
    make: Make, stock: Stock, raw: Raw, is_async: bool
) -> None:
    fill(stock)
    allowed = {"read", "pause", "retry", "quiet"}

    def authenticate(request: Request, act: str) -> str | None:
        return "clerk" if act in allowed else None

    async def later(request: Request, act: str) -> str | None:
        return authenticate(request, act)

    visitor = Visitor(make(authenticate=later if is_async else authenticate), peer="192.0.2.7")
    link = visitor.json("/retries")["rows"][0]["id"]
    offered = {
        "/queues": {"pause"},
        "/queues/default": {"pause"},
        "/scheduled": set[str](),
        "/retries": {"retry"},
        "/dead": {"retry"},
        "/processes": {"quiet"},
        f"/job?in=retry&id={quote(link)}": {"retry"},
    }
    for path, acts in offered.items():
        text = visitor.get(path).text
        assert set(re.findall(r'name="act" value="([a-z_]+)"', text)) == acts, path
        assert ("/retries" in path or "/dead" in path) is ('type="checkbox"' in text), path
        assert ">clerk<" in text
    assert visitor.json("/retries")["acts"] == ["retry"]
    assert visitor.json("/processes")["hosts"][0]["processes"][0]["acts"] == ["quiet"]


def test_there_are_three_roles_to_decide_by(make: Make, stock: Stock, raw: Raw) -> None:
    stock.queue(a_job())
    assert ROLES["viewer"] < ROLES["operator"] < ROLES["admin"]
    assert ROLES["admin"] == {"read", *ACTS}

    def visitor(role: str) -> Visitor:
        return Visitor(make(authenticate=lambda _, act: act in ROLES[role]))

    for role, acts in {
        "viewer": set[str](),
        "operator": {"pause"},
        "admin": {"pause", "clear"},
    }.items():
        text = visitor(role).get("/queues").text
        assert set(re.findall(r'name="act" value="(\w+)"', text)) == acts
    assert visitor("viewer").post("/queues", queue="default", act="pause").status_code == 403
    assert visitor("operator").post("/queues", queue="default", act="clear").status_code == 403
    assert visitor("admin").post("/queues", queue="default", act="clear").status_code == 303
    assert not raw.exists("queue:default")


def test_an_awaitable_of_a_plain_function_is_waited_for(make: Make, stock: Stock) -> None:
    async def answer(act: str) -> str | None:
        return "ada" if act in {"read", "pause"} else None

    stock.queue(a_job())
    visitor = Visitor(make(authenticate=lambda _, act: answer(act)), peer="192.0.2.7")
    text = visitor.get("/queues").text
    assert 'value="pause"' in text
    assert 'value="clear"' not in text


def test_who_is_refused_an_act_is_still_themselves(make: Make) -> None:
    def authenticate(request: Request, act: str) -> str | None:
        return "clerk" if act == "read" else None

    answer = Visitor(make(authenticate=authenticate)).post("/queues", page="/", act="clear")
    assert answer.status_code == 403
    assert ">clerk<" in answer.text


# Under which name


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:9292"])
def test_a_strange_name_that_leads_here_is_not_answered(make: Make, host: str) -> None:
    assert Visitor(make(), host=host).get("/").status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:9292", "[::1]:9292"])
def test_this_machines_names_are_answered(make: Make, host: str) -> None:
    assert Visitor(make(), host=host).get("/").status_code == 200


def test_names_can_be_allowed_one_by_one_or_by_domain(make: Make) -> None:
    app = make(allowed_hosts=("jobs.example", "*.internal.example"))
    for host, status in [
        ("jobs.example", 200),
        ("a.internal.example:8443", 200),
        ("internal.example", 421),
        ("xinternal.example", 421),
        ("localhost", 421),
    ]:
        assert Visitor(app, host=host).get("/").status_code == status, host


# Which forms


def clear(visitor: Visitor, headers: dict[str, str], **fields: str) -> httpx.Response:
    data = {"queue": "default", "act": "clear", **fields}
    return visitor.request("POST", "/queues", data=data, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9293"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:9292"},
    ],
)
def test_a_form_of_another_site_is_refused_even_with_the_right_token(
    visitor: Visitor, stock: Stock, raw: Raw, headers: dict[str, str]
) -> None:
    stock.queue(a_job())
    answer = clear(visitor, headers, _token=visitor.token("/queues"))
    assert answer.status_code == 403
    assert raw.llen("queue:default") == 1


def test_a_browser_that_tells_only_the_origin_is_believed(
    visitor: Visitor, stock: Stock, raw: Raw
) -> None:
    stock.queue(a_job())
    token = visitor.token("/queues")
    answer = clear(visitor, {"Origin": "http://127.0.0.1:9292"}, _token=token)
    assert answer.status_code == 303
    assert raw.llen("queue:default") == 0


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "ä" * 43])
def test_a_form_without_the_token_of_the_cookie_is_refused(
    visitor: Visitor, stock: Stock, raw: Raw, token: str
) -> None:
    stock.queue(a_job())
    visitor.get("/queues")
    assert clear(visitor, OURS, _token=token).status_code == 403
    assert raw.llen("queue:default") == 1


def test_a_form_without_any_cookie_is_refused(make: Make, stock: Stock, raw: Raw) -> None:
    stock.queue(a_job())
    token = Visitor(make()).token("/queues")
    assert clear(Visitor(make()), OURS, _token=token).status_code == 403
    assert raw.llen("queue:default") == 1


def test_a_stale_cookie_of_whatever_shape_is_shrugged_at(visitor: Visitor, stock: Stock) -> None:
    stock.queue(a_job())
    for name in ("jobd_form", "jobd_theme", "session", "csrftoken"):
        visitor.cookies.set(name, "gAJ9cQEu--garbage\\", domain="127.0.0.1")
    assert visitor.get("/queues").status_code == 200
    assert visitor.post("/queues", queue="default", act="clear").status_code == 303


def test_the_cookie_is_for_us_alone(visitor: Visitor) -> None:
    cookie = visitor.get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_do_nothing(visitor: Visitor, method: str) -> None:
    assert visitor.request(method, "/queues", headers=OURS).status_code == 405


def test_a_get_never_acts(visitor: Visitor, stock: Stock, raw: Raw) -> None:
    stock.queue(a_job())
    visitor.get("/queues?queue=default&act=clear")
    assert raw.llen("queue:default") == 1


def test_a_form_that_is_too_large_or_no_form_is_refused(visitor: Visitor) -> None:
    large = visitor.request("POST", "/queues", content=b"x" * 2_100_000, headers=OURS)
    assert large.status_code == 400
    broken = visitor.request("POST", "/queues", content=b"\xff\xfe", headers=OURS)
    assert broken.status_code == 400
    many = visitor.request("POST", "/queues", content=b"a=1&" * 5000, headers=OURS)
    assert many.status_code == 400


@pytest.mark.parametrize("act", ["", "flushall", "retry_all", "__class__"])
def test_an_act_that_is_none_is_refused(visitor: Visitor, act: str) -> None:
    assert visitor.post("/queues", queue="default", act=act).status_code == 400


# Read-only


def test_a_read_only_dashboard_shows_no_button_and_refuses_every_act(
    make: Make, stock: Stock, raw: Raw
) -> None:
    stock.queue(a_job())
    stock.sorted("retry", a_failed_job())
    stock.ruby()
    visitor = Visitor(make(read_only=True))
    for page in ("/queues", "/queues/default", "/retries", "/processes"):
        assert 'name="act"' not in visitor.get(page).text
    assert visitor.post("/queues", page="/", queue="default", act="clear").status_code == 403
    assert visitor.post("/retries", page="/", scope="all", act="retry").status_code == 403
    assert visitor.post("/processes", page="/", identity="all", act="stop").status_code == 403
    assert (raw.llen("queue:default"), raw.zcard("retry")) == (1, 1)
    assert not raw.exists("ruby-1:900:abc-signals")


# What every answer says


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/jobd.js", "/?format=json"])
def test_every_answer_carries_the_headers_that_browsers_need(visitor: Visitor, path: str) -> None:
    headers = visitor.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_the_nonce_is_new_each_time_and_only_our_file_runs(visitor: Visitor) -> None:
    first, second = (visitor.get("/") for _ in range(2))
    assert first.headers["content-security-policy"] != second.headers["content-security-policy"]
    assert first.text.count("<script") == 1
    assert "<style" not in first.text
    assert " onclick" not in first.text
    assert ' style="' not in first.text


def test_data_is_never_kept_by_a_cache(visitor: Visitor) -> None:
    for path in ("/", "/retries", "/nowhere", "/?format=json"):
        assert visitor.get(path).headers["cache-control"] == "no-store"
    assert "max-age" in visitor.get("/static/jobd.css").headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd"]
)
def test_no_other_file_is_served(visitor: Visitor, path: str) -> None:
    assert visitor.get(path).status_code == 404


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil.example", ""])
def test_choosing_a_theme_never_leads_elsewhere(visitor: Visitor, back: str) -> None:
    answer = visitor.post("/theme", page="/", theme="dark", back=back)
    assert answer.headers["location"] == "/"
    assert 'data-theme="dark"' in visitor.get("/").text


def test_a_link_cannot_put_words_into_our_mouth(visitor: Visitor) -> None:
    text = visitor.get("/?done=<b>evil</b>&n=<i>1</i>").text
    assert "evil" not in text.split("<main")[1].split("</main>")[0]


# Settings


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="refresh_s"):
        create_app(Settings(refresh_s=0.1))
    with pytest.raises(ConfigError, match="back_url"):
        create_app(Settings(back_url="javascript:alert(1)"))


def test_a_password_that_is_no_utf_8_lets_in_who_knows_its_bytes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBD_WEB_PASSWORD", "caf\udce9")
    app = make()
    header = "Basic " + base64.b64encode(b"ada:caf\xe9").decode()
    assert Visitor(app, headers={"Authorization": header}).get("/").status_code == 200
    assert Visitor(app, headers=basic("café")).get("/").status_code == 401
