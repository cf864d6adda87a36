"""Which revision of an application runs, as its surroundings tell."""

import subprocess
from pathlib import Path

import pytest

from jobd.config import app_revision

HASH = "1a2b3c4d5e" * 4


def git(directory: Path, *words: str) -> str:
    name = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "gc.auto=0")
    command = ["git", "-C", str(directory), *name, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main", "app")
    app = tmp_path / "app"
    git(app, "commit", "-q", "--allow-empty", "-m", "first")
    return app


def test_a_variable_beats_a_file_and_that_beats_git(checkout: Path):
    environ = {"SOURCE_VERSION": "second", "GIT_SHA": "third", "REVISION": ""}
    assert app_revision({}, checkout) == git(checkout, "rev-parse", "HEAD")
    (checkout / "REVISION").write_text("fourth\n")
    assert app_revision({}, checkout) == "fourth"
    assert app_revision(environ, checkout) == "second"
    assert app_revision({**environ, "REVISION": "first"}, checkout) == "first"


def test_a_commit_is_found_however_git_keeps_it(checkout: Path, tmp_path: Path):
    commit = git(checkout, "rev-parse", "HEAD")
    below = checkout / "jobs"
    below.mkdir()
    assert app_revision({}, below) == commit
    git(checkout, "pack-refs", "--all")
    assert not (checkout / ".git/refs/heads/main").exists()
    assert app_revision({}, checkout) == commit
    git(checkout, "worktree", "add", "-q", "-b", "other/branch", str(tmp_path / "beside"))
    assert app_revision({}, tmp_path / "beside") == commit
    git(checkout, "checkout", "-q", "--detach")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    assert app_revision({}, checkout) == git(checkout, "rev-parse", "HEAD") != commit


def test_where_nothing_tells_there_is_no_revision(tmp_path: Path):
    (tmp_path / ".git").mkdir()
    assert app_revision({}, tmp_path) == ""
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    assert app_revision({}, tmp_path) == ""


def test_a_revision_is_one_short_line(tmp_path: Path):
    assert app_revision({"REVISION": f" a\n b {HASH}"}, tmp_path) == f"a b {HASH}"[:40]
