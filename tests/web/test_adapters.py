"""The dashboard inside other frameworks, each as it really is."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from werkzeug.test import Client

from jobd.api import Access
from jobd.web import Settings, beside, create_app, create_wsgi_app
from tests.support.servers import Raw
from tests.web.stock import Stock, a_job
from tests.web.visitor import Visitor

OURS = {"Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize("framework", [FastAPI, Starlette])
def test_it_mounts_in_starlette_and_fastapi(
    framework: Callable[[], Any], access: Access, stock: Stock, raw: Raw
) -> None:
    stock.queue(a_job())
    app = framework()
    app.mount("/jobs", create_app(access=access))
    visitor = Visitor(app)
    assert 'href="/jobs/static/jobd.css' in visitor.get("/jobs/").text
    answer = visitor.post("/jobs/queues", queue="default", act="clear")
    assert answer.headers["location"].startswith("/jobs/queues?")
    assert raw.llen("queue:default") == 0


# WSGI


@pytest.fixture
def shop(access: Access) -> Any:
    """A Flask app with the dashboard beside it."""
    app = flask.Flask("shop")
    app.config["TESTING"] = True

    @app.get("/")
    def home() -> str:
        return "the shop"

    app.wsgi_app = beside(app.wsgi_app, "/jobs", access=access)  # type: ignore[method-assign]
    return app


def form_token(text: str) -> str:
    return text.split('name="_token" value="')[1].split('"', maxsplit=1)[0]


def test_it_stands_beside_a_flask_app_in_one_line(shop: Any, stock: Stock, raw: Raw) -> None:
    stock.queue(a_job())
    client = shop.test_client()
    assert client.get("/").text == "the shop"
    assert client.get("/jobsearch").status_code == 404
    page = in_thread(lambda: client.get("/jobs/queues"))
    assert page.status_code == 200
    assert 'href="/jobs/queues/default"' in page.text
    style = in_thread(lambda: client.get("/jobs/static/jobd.css"))
    assert style.headers["content-length"] == str(len(style.data))
    assert b"@media" in style.data
    form = {"_token": form_token(page.text), "queue": "default", "act": "clear"}
    answer = in_thread(lambda: client.post("/jobs/queues", data=form, headers=OURS))
    assert (answer.status_code, answer.location) == (303, "/jobs/queues?done=clear&n=1")
    assert raw.llen("queue:default") == 0


def test_a_wsgi_visitor_from_elsewhere_is_refused(shop: Any) -> None:
    client = shop.test_client()
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert in_thread(lambda: client.get("/jobs/", environ_base=elsewhere)).status_code == 403


def test_a_wsgi_authenticator_finds_the_environ(access: Access) -> None:
    def authenticate(request: Any, _: str) -> str | None:
        return request.scope["jobd.host_request"].get("REMOTE_USER")

    client = Client(create_wsgi_app(Settings(authenticate=authenticate), access=access))
    assert in_thread(lambda: client.get("/")).status_code == 403
    known = {"REMOTE_USER": "ada"}
    assert in_thread(lambda: client.get("/", environ_overrides=known)).status_code == 200


# Django, in a process of its own: it can be set up only once in each

DJANGO = """
import asyncio, json, sys
from urllib.parse import urlencode
import django
from django.conf import settings
from django.urls import re_path

settings.configure(
    SECRET_KEY="x" * 50,
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[2]}},
    INSTALLED_APPS=[f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions")],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
)
django.setup()

import jobd, jobd.web
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import AsyncClient, Client

jobd.configure_client(lambda config: setattr(config, "redis", sys.argv[1]))
urlpatterns = [re_path(r"^jobs/(?P<path>.*)$", jobd.web.django_view())]
call_command("migrate", verbosity=0)
staff = User.objects.create_user("ada", is_staff=True)
guest = User.objects.create_user("bob")
told = {}
csrf = Client(enforce_csrf_checks=True)
for name, client in [("nobody", Client()), ("guest", Client()), ("staff", csrf)]:
    if name != "nobody":
        client.force_login(guest if name == "guest" else staff)
    told[name] = client.get("/jobs/queues").status_code
page = csrf.get("/jobs/queues")
told["style"] = b"@media" in csrf.get("/jobs/static/jobd.css").content
told["link"] = 'href="/jobs/queues/default"' in page.content.decode()
token = page.content.decode().split('name="_token" value="')[1].split('"')[0]
kind = "application/x-www-form-urlencoded"  # as browsers send it
form = urlencode({"_token": token, "queue": "default", "act": "clear"})
ours = {"Sec-Fetch-Site": "same-origin"}
theirs = {"Sec-Fetch-Site": "cross-site"}
answer = csrf.post("/jobs/queues", form, content_type=kind, headers=ours)
told["post"] = [answer.status_code, answer.headers.get("Location")]
told["cross"] = csrf.post("/jobs/queues", form, content_type=kind, headers=theirs).status_code

async def over_asgi():
    client = AsyncClient()
    await client.aforce_login(staff)
    return (await client.get("/jobs/?days=7")).status_code

told["asgi"] = asyncio.run(over_asgi())
print(json.dumps(told))
"""


def test_it_is_a_view_of_django_for_the_staff(
    redis_url: str, stock: Stock, raw: Raw, tmp_path: Path
) -> None:
    stock.queue(a_job())
    script = tmp_path / "site.py"
    script.write_text(DJANGO)
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error::RuntimeWarning",
            str(script),
            redis_url,
            str(tmp_path / "db"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "nobody": 403,
        "guest": 403,
        "staff": 200,
        "link": True,
        "style": True,
        "post": [303, "/jobs/queues?done=clear&n=1"],
        "cross": 403,
        "asgi": 200,
    }
    assert raw.llen("queue:default") == 0
    (noted,) = raw.lrange("jobd:audit", 0, -1)
    assert json.loads(noted)["who"] == "ada"


def in_thread(function: Callable[[], Any]) -> Any:
    """A WSGI server answers in a thread without a loop; Playwright has one in ours."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(function()))
    thread.start()
    thread.join()
    return answers[0]
