"""The files of docs/django.md are a project that works, and its table is that of the settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import django
import pytest

from jobd.contrib.django import preferences
from tests.contrib.conftest import MANAGE
from tests.support.jobd_process import StartJobd

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "django.md").read_text()
FILE = re.compile(r"^```py\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What startproject has made.
PROJECT = {
    "mysite/settings.py": f"""
from pathlib import Path
SECRET_KEY = "of the page"
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = {["shop"] if django.VERSION >= (6,) else ["django_tasks", "shop"]}
DATABASES = {{
    "default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).parents[1] / "db"}}
}}
ROOT_URLCONF = "mysite.urls"
USE_TZ = True
""",
    "mysite/urls.py": """
from django.urls import path
from shop.views import create
urlpatterns = [path("orders", create)]
""",
}
VISIT = """
from django.test import Client
from shop.tasks import remind
answer = Client().post("/orders", {"email": "ada@example.com"}).json()
print(answer["jid"], remind.enqueue(answer["order"]).id)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name, text in [*PROJECT.items(), *FILE.findall(PAGE)]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)
    (folder / "manage.py").write_text(Path(MANAGE[1]).read_text())
    return folder


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.process
def test_the_project_of_the_page_runs(project: Path, redis_url: str, start_jobd: StartJobd) -> None:
    ours = {"DJANGO_SETTINGS_MODULE": "mysite.settings", "REDIS_URL": redis_url}
    env = {**os.environ, **ours, "PYTHONPATH": str(ROOT)}  # noqa: TID251 - handed on

    def manage(*words: str) -> str:
        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(
            command, cwd=project, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    manage("migrate", "--run-syncdb")
    manage("check")
    assert "Found 1 test(s)" in manage("test", "shop")
    visited = manage("shell", "-c", VISIT).split()
    assert len(visited[-1]) == len(visited[-2]) == 24
    (line,) = re.findall(r"^python manage\.py (jobd .*)$", PAGE, re.MULTILINE)
    words = [sys.executable, str(project / "manage.py"), *line.split()]
    server = start_jobd(command=words, env=ours, config="log: {format: logfmt}\n")
    for jid in visited[-2:]:
        server.wait_for_log(rf"done.*{jid}")
    assert "confirming to ada@example.com" in server.log()


def test_the_table_of_settings_is_whole() -> None:
    table = PAGE.partition("| key | default | what it is |\n")[2].partition("\n\n")[0]
    keys = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    assert sorted(keys) == sorted(preferences.KEYS)
