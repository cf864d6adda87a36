"""The app that makes clients, and pushing to a real server."""

import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobd.app import App, Configuration, open_store
from jobd.config import RedisSettings, client_redis
from jobd.errors import (
    ConfigError,
    InvalidJob,
    RedisUnavailable,
)
from tests.client.parts import IN_2030, an_item, lists, with_locale
from tests.support.recording_store import RecordingStore

# the app that makes clients


def an_app(store: RecordingStore) -> App:
    return App(open_store=lambda redis: store)


def test_an_app_opens_one_store_however_many_threads_push_first() -> None:
    opened: list[RedisSettings] = []

    def open_store(redis: RedisSettings) -> RecordingStore:
        opened.append(redis)
        return RecordingStore()

    app = App(open_store=open_store)
    barrier = threading.Barrier(16)

    def push() -> None:
        barrier.wait()
        app.client.push(an_item())

    threads = [threading.Thread(target=push) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1


def test_the_store_is_opened_at_the_first_push_and_again_for_another_redis() -> None:
    opened: list[str] = []

    def open_store(redis: RedisSettings) -> RecordingStore:
        opened.append(redis.url)
        return RecordingStore()

    app = App(open_store=open_store)
    client = app.client
    Configuration(app).redis = "redis://one:1/0"
    assert opened == []
    client.push(an_item())
    client.push(an_item())
    Configuration(app).redis = {"url": "redis://two:2/0"}
    client.push(an_item())
    assert opened == ["redis://one:1/0", "redis://two:2/0"]


def test_what_is_configured_reaches_the_next_push(store: RecordingStore) -> None:
    app = an_app(store)
    app.client.push(an_item())
    config = Configuration(app)
    config.wire = 7
    config.strict = "off"
    config.default_job_options = {"queue": "low"}
    config.client_middleware.add(with_locale)
    app.client.push(an_item(args=[(1,)]))
    assert isinstance(store.pushed[1]["created_at"], float)
    assert (store.pushed[1]["queue"], store.pushed[1]["locale"]) == ("low", "de")


def test_times_are_written_as_the_settings_file_says_unless_told_otherwise(
    store: RecordingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobd.yml").write_text("wire: 7")
    monkeypatch.chdir(tmp_path)
    app, told = an_app(store), an_app(store)
    Configuration(told).wire = 8
    for each in (app, told):
        each.client.push(an_item())
    floats = [isinstance(payload["created_at"], float) for payload in store.pushed]
    assert (floats, app.wire, told.wire) == ([True, False], 7, 8)


def test_redis_is_given_as_a_url_a_dict_or_settings() -> None:
    app = App()
    config = Configuration(app)
    config.redis = {"url": "redis://h:1/2", "size": 4, "network_timeout": 2.5}
    assert app.redis_settings == RedisSettings(url="redis://h:1/2", size=4, network_timeout=2.5)
    config.redis = "rediss://h"
    assert config.redis == RedisSettings(url="rediss://h")
    config.redis = RedisSettings(size=9)
    assert app.redis_settings.size == 9


def test_a_dict_without_a_url_keeps_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    app = App()
    config = Configuration(app)
    config.redis = {"size": 4}
    assert app.redis_settings == msgspec.structs.replace(client_redis(), size=4)
    assert app.redis_settings.embedded
    config.redis = "redis://h:1/2"
    config.redis = {"network_timeout": 1}
    assert app.redis_settings == RedisSettings(url="redis://h:1/2", network_timeout=1)


def test_without_settings_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://from-environment:1/3")
    assert App().redis_settings.url == "redis://from-environment:1/3"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ulr": "redis://h"}, 'no setting "ulr".*did you mean "url"'),
        (
            {"timeout": 1},
            'no setting "timeout": there are url, .*network_timeout',
        ),
        ({"size": 0}, "redis.size: a number of connections, not 0"),
        ({"size": "4"}, "redis.size: .*not '4'"),
        ({"size": True}, "redis.size"),
        ({"network_timeout": 0}, "redis.network_timeout: seconds above 0"),
        ({"network_timeout": float("nan")}, "redis.network_timeout"),
        ({"url": "localhost:6379"}, 'redis.url: "localhost:6379": a Redis URL begins with'),
        ({"url": None}, "redis.url: a URL"),
        (5, "a URL or a dict"),
    ],
)
def test_wrong_redis_settings_are_refused_by_name(given: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Configuration(App()).redis = given


@pytest.mark.parametrize(
    "url", [":s3cret@host", "redis://u:s3cret#x@host:6379/0", "redis://u:12#s3cret@host:6379/0"]
)
@pytest.mark.parametrize("kind", [str, lambda url: RedisSettings(url=url)])
def test_a_url_that_cannot_be_read_is_refused_at_once_without_its_password(
    url: str, kind: Callable[[str], Any]
) -> None:
    with pytest.raises(ConfigError, match=r"\*\*\*@host.*write one such as redis://") as caught:
        Configuration(App()).redis = kind(url)
    assert "s3cret" not in str(caught.value)


def test_what_only_the_redis_library_finds_wrong_with_a_url_hides_its_password_too() -> None:
    url = "redis://u:s3cret@host:6379/0?socket_timeout=soon"
    with pytest.raises(ConfigError, match=r"u:\*\*\*@host.*write one such as") as caught:
        open_store(RedisSettings(url=url))
    assert caught.value.__suppress_context__
    assert "s3cret" not in str(caught.value)


def test_all_wrong_redis_settings_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Configuration(App()).redis = {"size": 0, "sise": 1}
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("wire", 9, ConfigError),
        ("strict", True, ConfigError),
        ("default_job_options", {"retry": -1}, InvalidJob),
        ("default_job_options", {"queues": "low"}, InvalidJob),
        ("reddis", {}, AttributeError),
    ],
)
def test_a_wrong_setting_is_refused(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        setattr(Configuration(App()), name, value)


def test_events_and_handlers_are_the_hooks_of_the_app() -> None:
    app, ran = App(), list[str]()
    config = Configuration(app)

    @config.on("startup")
    def boot() -> None:
        ran.append("boot")

    config.error_handlers.append(lambda error, context: ran.append("error"))
    config.death_handlers.append(lambda payload, error: ran.append("death"))
    app.hooks.fire("startup")
    app.hooks.report_error(ValueError(), {})
    app.hooks.report_death({}, ValueError())
    boot()
    assert ran == ["boot", "error", "death", "boot"]
    assert config.server_middleware is app.server_middleware
    with pytest.raises(ConfigError, match="no event"):
        config.on("boot")  # type: ignore[arg-type]


# with a real server


@pytest.mark.redis
def test_a_push_stands_in_redis_as_sidekiq_would_have_written_it(redis_url: str, raw: Any) -> None:
    app = App()
    app.redis = RedisSettings(url=redis_url)
    app.client.push(an_item(queue="low"))
    app.client.push(an_item(at=IN_2030))
    assert raw.smembers("queues") == {b"low"}
    assert raw.llen("queue:low") == 1
    assert raw.zrange("schedule", 0, -1, withscores=True)[0][1] == IN_2030


@pytest.mark.redis
def test_a_bulk_runs_in_the_order_in_which_it_was_given(redis_url: str, raw: Any) -> None:
    app = App()
    app.redis = RedisSettings(url=redis_url)
    app.client.push_bulk(an_item(args=lists(1_500)))
    assert raw.llen("queue:default") == 1_500
    assert b'"args":[0]' in raw.lindex("queue:default", -1)
    assert b'"args":[1499]' in raw.lindex("queue:default", 0)


@pytest.mark.redis
def test_fifty_threads_never_open_more_connections_than_the_size_says(
    redis_url: str, raw: Any
) -> None:
    app = App()
    app.redis = RedisSettings(url=redis_url, size=4)

    def push() -> None:
        for _ in range(20):
            app.client.push(an_item())

    before = raw.info("stats")["total_connections_received"]
    threads = [threading.Thread(target=push) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raw.llen("queue:default") == 1_000
    assert raw.info("stats")["total_connections_received"] - before <= 4


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    app = App()
    app.redis = RedisSettings(url="redis://:secret@127.0.0.1:1/0", network_timeout=0.5)
    with pytest.raises(RedisUnavailable) as caught:
        app.client.push(an_item(jid="7"))
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.jid == "7"


def test_a_private_store_that_does_not_run_is_named_with_what_starts_it(tmp_path: Path) -> None:
    app = App()
    app.redis = client_redis({}, tmp_path)
    with pytest.raises(RedisUnavailable) as caught:
        app.client.push(an_item())
    message = str(caught.value)
    assert f"cannot use Redis at unix://{tmp_path}/.jobd/redis.sock?db=0: " in message
    assert "start jobd in that directory, or name another Redis (redis.url or REDIS_URL)" in message


def test_a_push_that_fails_shows_one_traceback_and_not_those_of_the_library() -> None:
    app = App()
    app.redis = RedisSettings(url="redis://127.0.0.1:1/0", network_timeout=0.5)
    with pytest.raises(RedisUnavailable) as caught:
        app.client.push(an_item())
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.count("Traceback") == 1
    assert "site-packages" not in shown
    assert "Connection refused" in shown
