"""What a file may look like, and what is said of one that is none."""

import re
from pathlib import Path

import pytest

from jobd.config import (
    FILES,
    Capsule,
    Flags,
    QueueWeight,
    load,
)
from jobd.config.settings import WITHOUT_EFFECT
from jobd.errors import ConfigError
from tests.config.settled import FIXTURES, URL, Load, Problems, queues

# Which file


@pytest.mark.parametrize("count", range(1, 4))
def test_the_first_of_the_usual_files_is_read(tmp_path: Path, count: int) -> None:
    for name in FILES[-count:]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"tag: {name}")
    config = load(Flags(), {}, tmp_path)
    assert (config.tag, config.source) == (FILES[-count], tmp_path / FILES[-count])


def test_a_named_file_is_read_alone(settle: Load, tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("tag: other")
    assert settle("tag: usual", config="other.yml").tag == "other"
    assert settle("tag: usual", config=tmp_path / "other.yml").tag == "other"


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (b"", "f.yml:1: the file holds no settings"),
        (b"# nothing\n---\n", "f.yml:1: the file holds no settings"),
        (b"- a\n- b\n", "f.yml:1: the file is no mapping"),
        (b"hello", "f.yml:1: the file is no mapping"),
        (b"log:\n\tlevel: info\n", "f.yml:2: not YAML: a tab cannot indent; use spaces"),
        (b"a: [1,\n", "f.yml:2: not YAML: while parsing a flow node, expected the node content"),
        (b"tag: a: b\n", "f.yml:1: not YAML: mapping values are not allowed here"),
        (b"tag: a\n---\ntag: b\n", "f.yml:2: not YAML: expected a single document"),
        (b"tag: *gone\n", "f.yml:1: not YAML: found undefined alias"),
        (b"tag: a\n# \xff\n", "f.yml:2: not UTF-8"),
        (b"tag: a\ntag2: \x07\n", "f.yml:2: YAML allows no control characters"),
        (b"[" * 600, "f.yml:1: nested too deeply"),
        (b"{a: " * 600, "f.yml:1: nested too deeply"),
        (b"tag: !!python/object:os.system x\n", "f.yml:1: the tag !!python/object:os.system"),
        (b"tag: !secret x\n", "f.yml:1: the tag !secret is not accepted"),
        (b"? [a]\n: b\n", "f.yml:1: a key must be a name"),
        (b"a: &a\n  <<: *a\n", "f.yml:1: an alias that holds itself"),
        (b"queues: &a [*a]\n", "f.yml:1: an alias that holds itself"),
        (b"<<: 3\n", "f.yml:1: << merges mappings only"),
    ],
)
def test_a_file_that_is_no_settings_is_refused_with_its_line(
    problems: Problems, tmp_path: Path, octets: bytes, problem: str
) -> None:
    (tmp_path / "f.yml").write_bytes(octets)
    assert problems(config="f.yml")[0].startswith(problem)


def test_a_file_that_cannot_be_read_is_refused_once(problems: Problems, tmp_path: Path) -> None:
    sentence = "gone.yml: cannot be read: No such file or directory; name a YAML file with -C"
    # Redis is not called missing: the file might have named it.
    assert problems(config="gone.yml", environment="production") == [sentence]
    (tmp_path / "folder").mkdir()
    assert problems(config="folder")[0].startswith("folder: cannot be read: Is a directory")


def test_windows_files_are_read(settle: Load, tmp_path: Path) -> None:
    (tmp_path / "w.yml").write_bytes(b"\xef\xbb\xbftag: a\r\ntimeout: 3\r\n")
    config = settle(config="w.yml")
    assert (config.tag, config.timeout) == ("a", 3.0)


def test_erb_is_refused_with_each_line_and_a_remedy(problems: Problems) -> None:
    text = "# <%= comment %>\ntag: <%= ENV['X'] %>\ntimeout: 3 # was <%= 4 %>\n<% if true %>\n"
    found = problems(text)
    assert [problem[:11] for problem in found] == ["jobd.yml:2:", "jobd.yml:4:"]
    assert "erb jobd.yml > etc/jobd.yml" in found[0]


# Sidekiq's files


@pytest.mark.parametrize("environment", ["development", "production"])
def test_two_environments_with_symbol_keys(environment: str, tmp_path: Path) -> None:
    flags = Flags(config=FIXTURES / "two_environments.yml", environment=environment)
    config = load(flags, {"REDIS_URL": URL}, tmp_path)
    assert (config.concurrency, config.worker_count, config.redis.url) == (1, 1, URL)
    assert config.capsules[0].queues == queues(default=0)
    assert config.notes == ()


def test_a_file_of_sidekiq_works_as_it_is(tmp_path: Path) -> None:
    config = load(Flags(config=FIXTURES / "sidekiq.yml"), {}, tmp_path)
    assert config.capsules == (
        Capsule(
            name="default",
            concurrency=5,
            queues=queues(critical=6, mailers=3, low=2, default=0, reports=1, on=0),
        ),
        Capsule(name="unsafe", concurrency=1, queues=queues(single=0, other=2)),
    )
    assert (config.timeout, config.log.level, config.tag) == (8.0, "debug", "shop")
    assert (config.labels, config.require) == (("blue", "green"), ("./app.rb",))
    dead = (config.max_retries, config.dead_max_jobs, config.dead_timeout_s)
    assert dead == (10, 500, 86400)
    assert [re.sub(r".*:(\d+): (\w+).*", r"\1 \2", note) for note in config.notes] == [
        "7 strict",
        "16 average_scheduled_poll_interval",
        "17 environment",
    ]
    production = load(
        Flags(config=FIXTURES / "sidekiq.yml", environment="production"),
        {"REDIS_URL": URL},
        tmp_path,
    )
    assert (production.concurrency, production.timeout, production.log.level) == (10, 8.0, "info")
    assert production.worker_count == 11


@pytest.mark.parametrize("key", WITHOUT_EFFECT)
def test_a_key_of_sidekiq_s_without_effect_is_noted(settle: Load, key: str) -> None:
    assert settle(f":{key}: 1").notes[0].startswith(f"jobd.yml:1: {key} has no effect in jobd")
    assert settle(f"{key}: 1\nproduction: {{{key}: 2}}").notes[0].startswith("jobd.yml:1: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{:concurrency: 3, :queues: [:a, [:b, 2]]}", queues(a=0, b=2)),
        ("{concurrency: 3, queues: [ :a,[:b,2] ]}", queues(a=0, b=2)),
        ('{"concurrency":3,"queues":["a",["b",2]]}', queues(a=0, b=2)),
        ('{"concurrency":3,"queues":[:"a b",["b",2]]}', None),
        (':concurrency: 3\n:"queues": ["a", !ruby/symbol b]', queues(a=0, b=0)),
    ],
)
def test_symbols_work_in_every_notation(
    settle: Load, text: str, expected: tuple[QueueWeight, ...] | None
) -> None:
    if expected is None:
        with pytest.raises(ConfigError):
            settle(text)
    else:
        config = settle(text)
        assert (config.concurrency, config.capsules[0].queues) == (3, expected)


def test_merges_give_way_to_what_is_written_and_the_first_of_them_wins(settle: Load) -> None:
    text = """
    a: &a {timeout: 1, tag: a, wire: 7}
    b: &b {timeout: 2, tag: b, max_retries: 3}
    development:
      :tag: own
      <<: [*a, *b]
    """
    config = settle(text)
    assert (config.tag, config.timeout, config.wire, config.max_retries) == ("own", 1.0, 7, 3)


def test_aliases_cannot_multiply(problems: Problems) -> None:
    levels = "".join(f"  - &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 60))
    assert problems(f"tag: a\nqueues:\n  - &l0 [x]\n{levels}")
    merges = "".join(
        f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 60)
    )
    assert problems(f"m0: &m0 {{bogus: 1}}\n{merges}")
