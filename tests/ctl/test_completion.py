"""What the shell is offered at Tab; the line that switches it on is in docs/jobctl.md."""

import subprocess
from pathlib import Path

import pytest

from tests.ctl.conftest import COMMAND, a_process, environment
from tests.support import wire
from tests.support.servers import Raw

NOBODY = "redis://127.0.0.1:1"


def offered_at(typed: str, url: str, directory: Path) -> list[str]:
    """What follows what was typed so far."""
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = subprocess.run(
        [*COMMAND],
        env={**environment(url), "_JOBCTL_COMPLETE": "bash_complete", **words},
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("jobctl pa", "plain,pause"), ("jobctl retry --ma", "plain,--match")],
)
def test_commands_and_options_are_completed(tmp_path: Path, typed: str, offered: str) -> None:
    assert offered in offered_at(typed, NOBODY, tmp_path)


@pytest.mark.redis
def test_queues_sets_and_processes_are_completed(raw: Raw, redis_url: str, tmp_path: Path) -> None:
    wire.push(raw, "Echo", queue="retries")
    wire.push(raw, "Echo", queue="low")
    a_process(raw, "app-1:7:abc")
    assert offered_at("jobctl pause re", redis_url, tmp_path) == ["plain,retries"]
    assert offered_at("jobctl jobs re", redis_url, tmp_path) == ["plain,retries", "plain,retry"]
    assert offered_at("jobctl quiet a", redis_url, tmp_path) == ["plain,all", "plain,app-1:7:abc"]


def test_where_no_server_answers_nothing_is_offered(tmp_path: Path) -> None:
    assert offered_at("jobctl pause re", NOBODY, tmp_path) == []
