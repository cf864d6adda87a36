"""Without an access, everything uses the Redis of the current app, as a shell would."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobd.api import Access, DeadSet, RetrySet
from jobd.app import App
from jobd.config import RedisSettings, client_dead_limits
from jobd.errors import ConfigError
from jobd.payload import Payload
from tests.api.parts import a_failed_job, fill
from tests.support import wire
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

SHELL = """
import jobd

@jobd.configure_client
def client(config):
    config.redis = {{"url": {url!r}, "size": 1}}
    config.wire = 7
    config.death_handlers.append(lambda job, error: print("dead:", job["jid"], error))

from jobd.api import Filter, ProcessSet, Queue, RetrySet, ScheduledSet, Stats, WorkSet

print(Queue("mailers").size)
print(len([r for r in RetrySet() if r.class_name == "MoodSenderJob"]))
print(RetrySet().retry_all(Filter(class_name="MoodSenderJob")).done)
print(Stats().totals().enqueued, list(ScheduledSet()), list(ProcessSet()), list(WorkSet()))
print(Queue().page(1, 1)[0]["enqueued_at"] < 1e11)
print(next(iter(RetrySet())).kill())
"""


def test_a_shell_needs_no_more_than_the_imports(raw: Raw, redis_url: str, tmp_path: Path):
    wire.push(raw, "Echo", queue="mailers")
    fill(raw, "retry", 300, "MoodSenderJob")
    raw.zadd("retry", {a_failed_job(jid="abc"): 5})

    done = subprocess.run(
        [sys.executable, "-c", SHELL.format(url=redis_url)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "1",
        "300",
        "300",
        "301 [] [] []",
        "True",
        "dead: abc Echo was killed by an operator",
        "True",
    ]


def an_app(redis_url: str) -> App:
    app = App()
    app.redis = RedisSettings(url=redis_url, size=1)
    return app


def test_all_objects_of_an_app_share_its_connections(raw: Raw, redis_url: str):
    app = an_app(redis_url)
    app.client.push({"class": "Echo", "args": []})
    before = raw.info("clients")["connected_clients"]

    for _ in range(20):
        assert RetrySet(access=Access.of(app)).size == 0

    assert raw.info("clients")["connected_clients"] == before


def test_the_dead_set_keeps_what_the_settings_file_says(
    raw: Raw, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "jobd.yml").write_text("dead_max_jobs: 3\ndead_timeout_in_seconds: 1000\n")
    monkeypatch.chdir(tmp_path)
    fill(raw, "retry", 10)
    access = Access.of(an_app(redis_url))

    assert client_dead_limits() == (3, 1000)
    assert RetrySet(access=access).kill_all().done == 10
    assert DeadSet(access=access).size == 3


class Nowhere:
    """A writer that is no Redis."""

    def push(self, batches: dict[str, list[bytes]]) -> None: ...
    def schedule(self, entries: list[tuple[float, bytes]]) -> None: ...


def test_an_app_that_writes_elsewhere_has_nothing_to_look_at():
    app = App(open_store=lambda _: Nowhere())

    with pytest.raises(ConfigError, match=r"pass it an Access"):
        Access.of(app)


def test_a_test_mode_does_not_hide_the_real_redis(raw: Raw, redis_url: str):
    app = an_app(redis_url)
    raw.zadd("retry", {a_failed_job(): 5})

    class Kept:
        def writer(self) -> Nowhere:
            return Nowhere()

    app.stand_in = Kept()
    pushed: Payload = {"class": "Echo", "args": []}
    app.client.push(pushed)

    assert RetrySet(access=Access.of(app)).size == 1
    assert not raw.exists("queue:default")
