"""Which Redis a server and a client use, and what is shown of its URL."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jobd import places
from jobd.app import App, Configuration
from jobd.config import (
    Flags,
    RedisSettings,
    client_redis,
    client_wire,
    load,
    mask_url,
    sentinels_of,
)
from jobd.errors import ConfigError
from jobd.places import embedded_url, socket_path, state_directory
from tests.config.settled import URL, Load, Problems

# Redis


@pytest.mark.parametrize("environment", ["production", "staging", "prod"])
def test_outside_development_a_server_must_be_named(problems: Problems, environment: str) -> None:
    (problem,) = problems("concurrency: 1", environment=environment)
    assert problem.startswith(f"redis: no server is named for the environment {environment}; set")
    assert problems(environment=environment)[0].startswith("redis: no server is named")


def test_embedded_is_never_inherited_outside_development(settle: Load, problems: Problems) -> None:
    (problem,) = problems("redis: embedded", environment="production")
    assert problem.startswith("redis: embedded is for development and tests")
    (problem,) = problems(None, {"REDIS_URL": "embedded"}, environment="production")
    assert problem.startswith("redis: embedded is for development and tests")
    own = settle("production: {redis: embedded}", environment="production")
    assert own.redis.embedded


@pytest.mark.parametrize("environment", ["development", "test"])
def test_embedded_is_the_default_in_development_and_tests(
    settle: Load, tmp_path: Path, environment: str
) -> None:
    redis = settle("redis: {size: 2}", environment=environment).redis
    assert redis == RedisSettings(url=embedded_url(tmp_path), size=2, embedded=True)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:p%40ss@[::1]:6379/15",
        "rediss://user:pw@redis.example.com:6380/0?ssl_cert_reqs=none",
        "unix:///run/redis.sock?db=1",
        "unix://user:pw@/run/redis.sock",
    ],
)
def test_urls_of_redis_are_taken_as_they_are(settle: Load, url: str) -> None:
    assert settle(None, {"REDIS_URL": url}).redis == RedisSettings(url=url)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("localhost:6379", "a Redis URL begins with redis://"),
        ("http://u:hunter2@localhost", "a Redis URL begins with redis://"),
        ("redis://:hunter2@localhost:port/0", "its host or port cannot be read"),
        ("redis://:hunter2@localhost:99999", "its host or port cannot be read"),
        ("redis://[::1", "its host or port cannot be read"),
        ("redis://:hunter2@localhost/jobs", "what follows the host is no database number"),
        ("redis://:hunt/er2@localhost/0", "its host or port cannot be read"),
        ("redis://hunt/er2@localhost/0", "what follows the host is no database number"),
        ("redis://:12#hunter2@localhost/0", "what follows the # would be left out"),
        ("unix://", "it names no socket"),
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(
    problems: Problems, url: str, fault: str
) -> None:
    (problem,) = problems(None, {"REDIS_URL": url}, environment="production")
    assert problem.startswith('REDIS_URL: "')
    assert fault in problem
    assert "er2" not in problem


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:secret@host:1/2", "redis://:***@host:1/2"),
        ("redis://user:secret@host", "redis://user:***@host"),
        ("redis://secret@host", "redis://***@host"),
        ("redis://u:s@cr@t@host/0", "redis://u:***@host/0"),
        ("redis://u:sec/ret@host/0", "redis://u:***@host/0"),
        ("redis://u:sec?ret@host/0", "redis://u:***@host/0"),
        ("redis://u:sec#ret@host/0", "redis://u:***@host/0"),
        ("redis://u:12/34@host/0", "redis://u:***@host/0"),
        ("redis://host:1/0?client_name=a@b", "redis://host:1/0?client_name=a@b"),
        ("redis://host?password=secret&db=1", "redis://host?password=***&db=1"),
        ("redis://host?p%61ssword=secret", "redis://host?p%61ssword=***"),
        ("rediss://host?ssl_password=s&b", "rediss://host?ssl_password=***&b"),
        ("unix:///run/a@b.sock?db=1", "unix:///run/a@b.sock?db=1"),
        ("unix://u:secret@/run/r.sock", "unix://u:***@/run/r.sock"),
        (":secret@host:6379", ":***@host:6379"),
        ("embedded", "embedded"),
        ("", ""),
    ],
)
def test_passwords_are_masked_even_in_broken_urls(url: str, masked: str) -> None:
    assert mask_url(url) == masked
    assert RedisSettings(url=url).masked_url == masked


def test_settings_show_no_password_in_a_traceback() -> None:
    settings = RedisSettings(url="redis://u:secret@host/0", size=2)
    assert repr(settings) == (
        "RedisSettings(url='redis://u:***@host/0', size=2, network_timeout=5.0, embedded=False)"
    )


# Clients


@pytest.mark.parametrize("environ", [{}, {"JOBD_ENV": "test"}, {"REDIS_URL": URL}])
def test_a_client_without_a_file_uses_what_a_bare_jobd_would(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    assert not state_directory(tmp_path).exists(), "jobd has never run here"
    assert client_redis(environ, tmp_path) == load(Flags(), environ, tmp_path).redis


def test_a_client_writes_times_as_the_server_beside_it(settle: Load, tmp_path: Path) -> None:
    assert client_wire({}, tmp_path) == 8
    assert settle("wire: 7\nproduction: {wire: 8}").wire == 7
    assert client_wire({}, tmp_path) == 7
    assert client_wire({"JOBD_ENV": "production"}, tmp_path) == 8
    with pytest.raises(ConfigError, match="wire"):
        settle("wire: 9")
    with pytest.raises(ConfigError, match="wire"):
        client_wire({}, tmp_path)


def test_a_client_uses_what_the_server_beside_it_would(settle: Load, tmp_path: Path) -> None:
    text = "redis: {size: 3}\nproduction: {redis: {url: 'redis://a'}}"
    config = settle(text)
    assert client_redis({}, tmp_path) == config.redis
    assert config.redis.embedded
    assert client_redis({"JOBD_ENV": "production"}, tmp_path).url == "redis://a"
    assert client_redis({"REDIS_URL": URL}, tmp_path) == RedisSettings(url=URL, size=3)


@pytest.mark.parametrize("text", ["timeout: 5", "redis: {size: 3}", "redis: embedded"])
def test_where_jobd_refuses_to_guess_a_client_refuses_too(tmp_path: Path, text: str) -> None:
    (tmp_path / "jobd.yml").write_text(text)
    environ = {"JOBD_ENV": "production"}
    with pytest.raises(ConfigError, match="set REDIS_URL, or redis: ") as refused:
        client_redis(environ, tmp_path)
    with pytest.raises(ConfigError) as refused_by_jobd:
        load(Flags(), environ, tmp_path)
    assert refused.value.problems == refused_by_jobd.value.problems


def test_a_client_is_told_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "jobd.yml").write_text("redis: {sise: 3}")
    with pytest.raises(ConfigError, match='did you mean "size"'):
        client_redis({}, tmp_path)


@pytest.mark.parametrize("squat", [lambda path: path.symlink_to("/tmp"), lambda path: path.mkdir()])
def test_nobody_trusts_a_directory_below_tmp_that_others_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, squat: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(places, "_FALLBACK", tmp_path / "tmp")
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    state_directory(deep).mkdir(parents=True)
    assert client_redis({}, deep).embedded, "no store has run yet"
    parent = socket_path(deep).parent
    parent.parent.mkdir()
    squat(parent)
    with pytest.raises(ConfigError, match="is not a directory of this user alone"):
        client_redis({}, deep)
    with pytest.raises(ConfigError, match="is not a directory of this user alone"):
        load(Flags(), {}, deep)
    if not parent.is_symlink():
        parent.chmod(0o700)
        assert client_redis({}, deep).embedded


# Sentinels


def test_sentinels_are_named_in_the_file_and_beaten_by_the_environment(settle: Load) -> None:
    text = "redis: {sentinels: ['10.0.0.1:26380', ten.example], master: jobs, size: 7}"
    named = settle(text).redis
    assert (named.url, named.size) == ("redis+sentinel://10.0.0.1:26380,ten.example/jobs/0", 7)
    assert settle(text, environ={"REDIS_URL": URL}).redis.url == URL


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{sentinels: [a]}", "sentinels and master belong together"),
        ("{master: jobs}", "sentinels and master belong together"),
        ("{sentinels: [a], master: jobs, url: redis://b}", "and stand for url: name both, or url"),
        ("{sentinels: [a b], master: jobs}", "the sentinels are named as HOST:PORT"),
        ("{sentinels: [a], master: my jobs}", "comes the name of the primary"),
        ("redis+sentinel://u:hunter2@a:26379", "comes the name of the primary"),
        ("redis+sentinel://u:hunter2@a:b/jobs", "the sentinels are named as HOST:PORT"),
        ("redis+sentinel://a/jobs/first", "no database number"),
    ],
)
def test_what_names_no_primary_is_refused(problems: Problems, text: str, says: str) -> None:
    (problem,) = problems(f"redis: {text}")
    assert says in problem
    assert "hunter2" not in problem


def test_a_url_of_sentinels_has_the_logins_of_both_and_shows_neither() -> None:
    url = (
        "rediss+sentinel://u:hunter2@a,[::1]:7/jobs/3?ssl_cert_reqs=none&sentinel_password=own%2F1"
    )
    found = sentinels_of(url)
    assert found is not None
    assert found.nodes == (("a", 26379), ("::1", 7))
    assert found.url == "rediss://u:hunter2@sentinel/3?ssl_cert_reqs=none"
    assert (found.master, found.login) == ("jobs", {"password": "own/1"})
    masked = RedisSettings(url=url).masked_url
    assert "hunter2" not in masked
    assert "own" not in masked
    assert sentinels_of("redis://localhost:6379/0") is None


def test_a_client_may_name_sentinels() -> None:
    app = App()
    config = Configuration(app)
    config.redis = {"sentinels": ["a:1"], "master": "jobs", "size": 2}
    assert app.redis == RedisSettings(url="redis+sentinel://a:1/jobs/0", size=2)
    with pytest.raises(ConfigError, match="sentinels and master belong together"):
        config.redis = {"sentinels": ["a:1"]}
    with pytest.raises(ConfigError, match="named as HOST:PORT"):
        config.redis = {"sentinels": ["a b"], "master": "jobs"}
