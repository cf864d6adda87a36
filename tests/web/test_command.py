"""``jobctl web``, as a process."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.web.stock import Stock, a_job

pytestmark = pytest.mark.process


@contextmanager
def jobctl_web(
    redis_url: str, *args: str, said: list[str] | None = None, **env: str
) -> Iterator[str]:
    """Its address, while it runs; its first lines are added to ``said``."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from jobd.ctl import main; main()", "web", "--port", "0", *args],
        env={**os.environ, "REDIS_URL": redis_url, "JOBD_ENV": "test", **env},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline()]
        while lines[-1] and "http://" not in lines[-1]:
            lines.append(process.stderr.readline())
        found = re.search(r"http://\S+", lines[-1])
        assert found, lines
        if said is not None:
            said += lines
        yield found[0]
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stderr.close()


def test_it_serves_the_dashboard_of_the_configured_store(redis_url: str, stock: Stock) -> None:
    stock.queue(a_job(), name="mailers")
    with jobctl_web(redis_url) as url:
        page = httpx.get(f"{url}/queues")
        assert page.status_code == 200
        assert "mailers" in page.text
        # Whatever a proxy says, this server looks at who connects.
        assert httpx.get(url, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403
        assert "server" not in page.headers


def test_it_masks_what_its_file_and_its_line_say(
    redis_url: str, stock: Stock, tmp_path: Path
) -> None:
    stock.queue(a_job("Pay", {"iban": "AT61", "card": "4111", "password": "hush", "to": "Ada"}))
    settings = tmp_path / "other.yml"
    settings.write_text("test: {web: {redact: iban}}\n")
    with jobctl_web(redis_url, "-C", str(settings), "--redact", "card") as url:
        text = httpx.get(f"{url}/queues/default").text
        assert "Ada" in text
        assert [word for word in ("AT61", "4111", "hush") if word in text] == []
        assert "iban" in httpx.get(f"{url}/configuration").text


def test_it_may_be_read_only_behind_a_password(redis_url: str) -> None:
    with jobctl_web(redis_url, "--read-only", JOBD_WEB_PASSWORD="s3cret") as url:
        assert httpx.get(url).status_code == 401
        assert "read-only" in httpx.get(url, auth=("ada", "s3cret")).text


@pytest.mark.parametrize(("host", "is_warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_it_warns_of_plain_http_where_others_may_listen(
    redis_url: str, host: str, *, is_warned: bool
) -> None:
    said: list[str] = []
    with jobctl_web(redis_url, "--host", host, said=said, JOBD_WEB_PASSWORD="s3cret"):
        pass
    assert ("plain HTTP" in "".join(said)) is is_warned


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_it_does_not_open_to_others_without_a_password(redis_url: str, host: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from jobd.ctl import main; main()", "web", "--host", host],
        env={**os.environ, "REDIS_URL": redis_url, "JOBD_ENV": "test", "JOBD_WEB_PASSWORD": ""},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 78
    assert "JOBD_WEB_PASSWORD" in done.stderr


def test_a_port_that_is_taken_is_said_to_be(redis_url: str) -> None:
    with jobctl_web(redis_url) as url:
        port = url.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-c", "from jobd.ctl import main; main()", "web", "--port", port],
            env={**os.environ, "REDIS_URL": redis_url, "JOBD_ENV": "test"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port}: Address already in use; --host and --port name another" in done.stderr
    assert done.stderr.count(port) == 1
