"""Which Redis, from where, and how the command ends."""

import subprocess
from pathlib import Path

import pytest

from jobd import ctl
from jobd.embedded import EmbeddedStore
from tests.ctl.conftest import COMMAND, Captured, Say, answer, environment
from tests.support import wire
from tests.support.eventually import PATIENCE_S
from tests.support.servers import Raw


@pytest.mark.parametrize("words", [("-e", "other", "status"), ("status", "-e", "other")])
def test_settings_may_stand_before_or_after_the_command(
    outside: Say, redis_url: str, capsys: Captured, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "my.yml").write_text(f"other:\n  redis: {{url: {redis_url[:-1]}3}}\n")
    assert outside("-C", "my.yml", *words, "--json") == 0
    assert answer(capsys)["redis"]["database"] == 3


def test_the_private_store_is_found_by_its_directory(
    outside: Say, capsys: Captured, tmp_path: Path
) -> None:
    (tmp_path / "jobd.yml").write_text("development: {redis: embedded}\n")
    store = EmbeddedStore(tmp_path)
    store.start()
    try:
        assert outside("push", "Echo") == 0
        assert outside("redis", "LLEN", "queue:default") == 0
        assert capsys.readouterr().out.splitlines()[1:] == ["1"]
    finally:
        store.stop()


def test_a_private_store_that_does_not_run_says_how_to_start_it(
    outside: Say, capsys: Captured, tmp_path: Path
) -> None:
    (tmp_path / "jobd.yml").write_text("development: {redis: embedded}\n")
    assert outside("status") == 69
    text = capsys.readouterr().err
    assert f"the private store of {tmp_path} does not run" in text
    assert "start bin/jobd (or jobd) in this directory" in text


def test_an_unreachable_server_ends_with_69_and_no_password(
    outside: Say, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    assert outside("status") == 69
    text = capsys.readouterr().err
    assert "redis://:***@127.0.0.1:1/0" in text
    assert "secret" not in text


def test_a_wrong_configuration_ends_with_78(outside: Say, capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "jobd.yml").write_text("concurency: 3\n")
    assert outside("status") == 78
    assert capsys.readouterr().err.startswith("jobctl: jobd.yml:1: ")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [(["statsu"], "No such command 'statsu'"), (["status", "now"], "unexpected extra argument")],
)
def test_a_wrong_command_line_ends_with_64(
    outside: Say, capsys: Captured, words: list[str], complaint: str
) -> None:
    assert outside(*words) == 64
    text = capsys.readouterr().err
    assert complaint in text
    assert "see jobctl --help" in text


def test_version_and_help_need_nothing(outside: Say, capsys: Captured) -> None:
    assert outside("-V") == 0
    assert capsys.readouterr().out == "jobctl 0.1.0\n"
    assert outside("--help") == 0
    assert outside("push", "-h") == 0


def test_help_has_every_command_with_a_whole_sentence(outside: Say, capsys: Captured) -> None:
    assert outside("--help") == 0
    text = capsys.readouterr().out
    listed = text.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == list(ctl.jobctl.commands)
    assert all(line.endswith(".") and "..." not in line for line in listed)


def test_shells_can_complete_commands_and_options(tmp_path: Path) -> None:
    def complete(words: str) -> list[str]:
        asked = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        env = {**environment("redis://127.0.0.1:1"), "_JOBCTL_COMPLETE": "bash_complete", **asked}
        done = subprocess.run(COMMAND, cwd=tmp_path, env=env, capture_output=True, check=False)
        return [line.partition(",")[2] for line in done.stdout.decode().splitlines()]

    assert complete("jobctl re") == ["retry", "reschedule", "resume", "reload", "redis"]
    assert complete("jobctl retry --ma") == ["--match"]


def test_letters_that_the_terminal_has_not_are_replaced(
    redis_url: str, raw: Raw, tmp_path: Path
) -> None:
    wire.push(raw, "Echo", "日本")
    env = {**environment(redis_url), "PYTHONIOENCODING": "latin-1"}
    command = [*COMMAND, "jobs", "default"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b'["??"]' in done.stdout


def test_a_reader_that_leaves_early_is_not_complained_about(
    redis_url: str, raw: Raw, tmp_path: Path
) -> None:
    for number in range(900):
        wire.push(raw, "Echo", number)
    process = subprocess.Popen(
        [*COMMAND, "jobs", "default", "--size", "900"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(redis_url),
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(PATIENCE_S)
