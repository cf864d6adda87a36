"""Where settings come from, and which of several wins."""

from pathlib import Path

import pytest

from jobd.config import (
    Capsule,
    Config,
    Flags,
    LogSettings,
    RedisSettings,
    client_redis,
    load,
)
from jobd.errors import ConfigError
from jobd.places import embedded_url
from tests.config.settled import FIXTURES, ROOT, URL, Load, Problems, queues

# Without a file


def test_a_fresh_folder_needs_no_setting_in_development(settle: Load, tmp_path: Path) -> None:
    config = settle()
    assert config == Config(
        environment="development",
        concurrency=4,
        timeout=25.0,
        capsules=(Capsule(name="default", concurrency=4, queues=queues(default=0)),),
        redis=RedisSettings(url=embedded_url(tmp_path), embedded=True),
        tag=tmp_path.name,
    )
    assert (config.source, config.notes, config.worker_count) == (None, (), 4)


def test_a_configuration_cannot_be_changed(settle: Load) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        settle().concurrency = 9  # pyright: ignore[reportAttributeAccessIssue] - that is the test


def test_flags_are_enough(settle: Load, tmp_path: Path) -> None:
    config = settle(
        environ={"REDIS_URL": URL},
        environment="production",
        require=("app.jobs", "more.py"),
        concurrency=2,
        queues=("high", "default,2"),
        timeout=2.5,
        tag="shop",
        pidfile="run/jobd.pid",
        logfile="/var/log/jobd.log",
        verbose=True,
    )
    assert config.capsules == (
        Capsule(name="default", concurrency=2, queues=queues(high=0, default=2)),
    )
    assert config.capsules[0].mode == "weighted"
    assert (config.environment, config.require) == ("production", ("app.jobs", "more.py"))
    assert (config.timeout, config.tag, config.redis.url) == (2.5, "shop", URL)
    assert config.pidfile == str(tmp_path / "run/jobd.pid")
    assert config.log == LogSettings(file="/var/log/jobd.log", level="debug")


def test_the_process_s_own_environment_and_directory_are_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBD_ENV", "production")
    monkeypatch.setenv("REDIS_URL", URL)
    assert load(Flags()).environment == "production"
    assert client_redis().url == URL


# Precedence


def test_a_flag_beats_the_section_beats_the_top_level_beats_the_default(settle: Load) -> None:
    text = "timeout: 1\nconcurrency: 1\ntag: top\ndevelopment: {concurrency: 2, tag: section}"
    config = settle(text, tag="flag")
    assert (config.tag, config.concurrency, config.timeout) == ("flag", 2, 1.0)
    assert config.wire == 8


@pytest.mark.parametrize("redis", ["embedded", "redis://file/1", "{url: 'redis://file/1'}"])
def test_redis_url_beats_the_file(settle: Load, redis: str) -> None:
    text = f"redis: {redis}\ndevelopment: {{redis: {redis}}}"
    assert settle(text, {"REDIS_URL": URL}).redis == RedisSettings(url=URL)


def test_a_section_may_change_a_part_of_redis(settle: Load) -> None:
    text = "redis: {url: 'redis://a', size: 9, network_timeout: 1}\nproduction: {redis: redis://b}"
    redis = settle(text, environment="production").redis
    assert redis == RedisSettings(url="redis://b", size=9, network_timeout=1.0)


@pytest.mark.parametrize(
    ("flag", "environ", "expected"),
    [
        ("a", {"JOBD_ENV": "b", "APP_ENV": "c"}, "a"),
        (None, {"JOBD_ENV": "b", "APP_ENV": "c"}, "b"),
        (None, {"APP_ENV": "c"}, "c"),
        (None, {"JOBD_ENV": "", "APP_ENV": "c"}, "c"),
        (None, {}, "development"),
    ],
)
def test_the_environment_is_the_first_that_is_named(
    settle: Load, flag: str | None, environ: dict[str, str], expected: str
) -> None:
    environ["REDIS_URL"] = URL
    assert settle(None, environ, environment=flag).environment == expected


@pytest.mark.parametrize("name", ["redis", "two words", ""])
def test_an_environment_has_a_plain_name_that_no_setting_has(problems: Problems, name: str) -> None:
    (problem,) = problems(None, {"REDIS_URL": URL}, environment=name)
    assert problem.startswith(f'-e: environment "{name}": ')


def test_redis_provider_names_the_variable_with_the_url(settle: Load) -> None:
    both = {"REDIS_PROVIDER": "MY_REDIS", "MY_REDIS": URL, "REDIS_URL": "redis://other"}
    assert settle(None, both).redis.url == URL
    unset = {"REDIS_PROVIDER": "MY_REDIS", "REDIS_URL": URL}
    assert settle(None, unset).redis.url == URL


def test_a_redis_provider_that_leads_nowhere_is_refused(problems: Problems) -> None:
    (problem,) = problems(None, {"REDIS_PROVIDER": "MY_REDIS"})
    assert problem == "REDIS_PROVIDER: names MY_REDIS, which is not set; set it or REDIS_URL"
    (problem,) = problems(None, {"REDIS_PROVIDER": "redis://:hunter2@localhost"})
    assert problem.startswith("REDIS_PROVIDER: must be the name of the variable")
    assert "hunter2" not in problem


def test_a_value_of_the_default_is_not_the_same_as_none(settle: Load) -> None:
    config = settle("verbose: true\ntimeout: 3\nlog: {file: a}", verbose=False, timeout=25.0)
    assert (config.log.level, config.timeout) == ("info", 25.0)
    assert settle("log: {file: a}\ndevelopment: {log: {file: null}}").log.file is None


def test_a_key_without_a_value_counts_as_not_set_and_says_so(settle: Load) -> None:
    config = settle("timeout:\nredis:\nqueues: ~\ntag:\nlog: {level: }")
    assert config.notes == (
        "jobd.yml:1: timeout has no value and counts as not set",
        "jobd.yml:2: redis has no value and counts as not set",
        "jobd.yml:3: queues has no value and counts as not set",
        "jobd.yml:5: log.level has no value and counts as not set",
    )
    assert (config.timeout, config.redis.embedded) == (25.0, True)


# Mistakes


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    flags = Flags(config="tests/fixtures/config/mistakes.yml", concurrency=0, timeout=1.0)
    with pytest.raises(ConfigError) as caught:
        load(flags, {"REDIS_PROVIDER": "GONE"}, ROOT)
    expected = (FIXTURES / "mistakes.txt").read_text().splitlines()
    assert list(caught.value.problems) == expected
    assert str(caught.value) == "\n".join(caught.value.problems)


def test_a_key_is_given_once_with_or_without_its_colon(problems: Problems) -> None:
    (problem,) = problems("timeout: 1\nlog: {level: info}\n:timeout: 2")
    assert problem == "jobd.yml:3: timeout: given twice in one mapping, first on line 1"
    assert problems("log: {level: info, :level: debug}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("queue: [a]", 'unknown key "queue"; did you mean "queues"?'),
        ("xyzzy: 1", 'unknown key "xyzzy"; docs/configuration.md lists all'),
        ("xyzzy: [1]", 'unknown key "xyzzy"'),
        ("xyzzy: {a: 1}", 'unknown key "xyzzy"'),
        ("xyzzy:", 'unknown key "xyzzy"'),
        ("development: 3", 'unknown key "development"'),
        ("workers: {max_jobs: 3}", 'unknown key "workers"; did you mean "worker"?'),
        ("capsuls: {a: {queues: [b]}}", 'unknown key "capsuls"; did you mean "capsules"?'),
        ("staging: {timeout: 3, sub: {timeout: 3}}", 'unknown key "sub"'),
        ("development: {xyzzy: 1}", 'unknown key "xyzzy"'),
        ("redis: {urls: a}", 'unknown key "urls"; did you mean "url"?'),
        ("a: &a {timeout: 3, typo: 1}\ndevelopment: {<<: *a}", 'unknown key "typo"'),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(
    problems: Problems, text: str, problem: str
) -> None:
    (found,) = problems(text)
    assert found.startswith(f"jobd.yml:1: {problem}")


def test_the_sections_of_other_environments_are_checked_too(problems: Problems) -> None:
    assert problems("production:\n  wire: 9\n") == ['jobd.yml:2: wire: must be 7 or 8, not "9"']


def test_a_file_without_a_section_for_the_environment_says_so(settle: Load) -> None:
    text = "test: {}\nproduction: {timeout: 3}"
    assert settle(text, {"REDIS_URL": URL}, environment="prod").notes == (
        "jobd.yml: has no section for the environment prod (it has production, test)",
    )
    assert settle("production:\ndevelopment:\n").notes == ()
