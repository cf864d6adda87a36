"""The command line of jobd: what is said on it, and what is complained about."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from jobd import boot, cli, log
from jobd.config import Config, QueueWeight
from jobd.errors import ConfigError

VARIABLES = ("REDIS_URL", "REDIS_PROVIDER", "JOBD_ENV", "APP_ENV", "NO_COLOR")

Say = Callable[..., int]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that were run, instead of being run."""
    configs: list[Config] = []

    def run(config: Config, _read: object) -> int:
        configs.append(config)
        return 0

    monkeypatch.setattr(boot, "run", run)
    return configs


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run the command in an empty directory and environment; returns its exit status."""
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, env: Mapping[str, str] | None = None) -> int:
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["jobd", *words])
        return cli.main()

    return run


def test_every_flag_reaches_the_configuration(say: Say, ran: list[Config], tmp_path: Path) -> None:
    (tmp_path / "my.yml").write_text("concurrency: 9\nqueues: [other]\n")
    words = "-C my.yml -e staging -r shop.jobs -r extra.py -c 3 -q high,6 -q low -t 7.5 -g shop"
    files = "-P run/jobd.pid -L jobd.log -v"
    assert say(*words.split(), *files.split(), env={"REDIS_URL": "redis://db/3"}) == 0
    (config,) = ran
    (capsule,) = config.capsules
    assert (config.environment, config.concurrency, config.timeout) == ("staging", 3, 7.5)
    assert capsule.queues == (QueueWeight(name="high", weight=6), QueueWeight(name="low"))
    assert (config.require, config.tag) == (("shop.jobs", "extra.py"), "shop")
    assert config.pidfile == str(tmp_path / "run" / "jobd.pid")
    assert (config.log.file, config.log.level) == (str(tmp_path / "jobd.log"), "debug")
    assert config.source == tmp_path / "my.yml"


def test_bare_jobd_runs_with_defaults(say: Say, ran: list[Config]) -> None:
    assert say() == 0
    assert ran[0].environment == "development"
    assert ran[0].log.level == "info"


def test_the_exit_status_is_that_of_the_server(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: Config, _read: object) -> int:
        return 73

    monkeypatch.setattr(boot, "run", run)
    assert say() == 73


def test_check_checks_and_runs_nothing(
    say: Say, ran: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(_: Config) -> int:
        return 78

    monkeypatch.setattr(boot, "check", check)
    assert say("--check") == 78
    assert ran == []


def test_version(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    assert say("-V") == 0
    assert capsys.readouterr().out == "jobd 0.1.0\n"


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_names_every_flag(
    say: Say, ran: list[Config], capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert say(word) == 0
    text = capsys.readouterr().out
    assert [flag for flag in "CercqtgPLvVh" if f"-{flag}," not in text] == []
    assert "--check" in text
    assert ran == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--chek"], "Did you mean one of: '--check'"),
        (["-c", "many"], "-c: must be a whole number from 1 or auto, not"),
        (["-t"], "requires an argument"),
        (["start"], "unexpected extra argument (start)"),
        (["-c", "0"], "-c: must be a whole number from 1 or auto, not"),
        (["-t", "-1"], "-t: must be a number of seconds above 0, or unlimited, not"),
        (["-q", "mail box"], "-q: "),
        (["-e", "a b"], '-e: environment "a b"'),
    ],
)
def test_a_wrong_command_line_ends_with_64_and_says_where_help_is(
    say: Say,
    ran: list[Config],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    complaint: str,
) -> None:
    assert say(*words) == 64
    text = capsys.readouterr().err
    assert complaint in text
    assert "see jobd --help" in text
    assert ran == []


def test_a_wrong_flag_beside_a_wrong_file_ends_with_78(
    say: Say, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "jobd.yml").write_text("timeout: soon\n")
    assert say("-c", "0") == 78
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_all_problems_of_a_configuration_are_told_at_once_with_78(
    say: Say, ran: list[Config], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "jobd.yml").write_text("concurency: 3\ntimeout: soon\n")
    assert say() == 78
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("jobd: jobd.yml:1: ")
    assert "concurrency" in lines[0]
    assert lines[1].startswith("jobd: jobd.yml:2: ")
    assert ran == []


def test_what_boot_finds_wrong_is_told_the_same_way(
    say: Say, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: Config, _read: object) -> int:
        raise ConfigError(["shop.jobs: no such module (require)"])

    monkeypatch.setattr(boot, "run", run)
    assert say() == 78
    assert capsys.readouterr().err == "jobd: shop.jobs: no such module (require)\n"


def test_elsewhere_than_on_linux_it_says_what_can_be_done(
    say: Say,
    ran: list[Config],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert say() == 78
    assert "the server runs on Linux only, and this is darwin" in capsys.readouterr().err
    assert ran == []


@pytest.mark.parametrize(("value", "is_forbidden"), [("1", True), ("", False)])
def test_no_color_forbids_colour(
    say: Say,
    ran: list[Config],
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    is_forbidden: bool,
) -> None:
    calls: list[str] = []

    def forbid() -> None:
        calls.append("forbidden")

    monkeypatch.setattr(log, "forbid_color", forbid)
    say(env={"NO_COLOR": value})
    assert bool(calls) is is_forbidden
    assert len(ran) == 1
