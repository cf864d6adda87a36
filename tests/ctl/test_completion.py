"""What the shell is offered at Tab; the line that switches it on is in docs/jobctl.md."""

import subprocess
from pathlib import Path

import pytest

from tests.ctl.conftest import COMMAND, environment


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("jobctl pa", "plain,pause"), ("jobctl retry --ma", "plain,--match")],
)
def test_commands_and_options_are_completed(tmp_path: Path, typed: str, offered: str) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = subprocess.run(
        [*COMMAND],
        env={**environment("redis://127.0.0.1:1"), "_JOBCTL_COMPLETE": "bash_complete", **words},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert offered in done.stdout.splitlines()
