"""Which revision of the application runs here, as far as its surroundings tell.

Files are read and git is not asked: a server starts no program to learn this.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

VARIABLES: Final = ("REVISION", "SOURCE_VERSION", "GIT_SHA")
"""Of the environment, in this order; Heroku sets the second, deploy scripts the others."""
_LONGEST: Final = 40


def revision(environ: Mapping[str, str], directory: Path) -> str:
    """A variable, the file REVISION (as Capistrano writes it), or the commit that git has out.

    Args:
        environ: the environment.
        directory: that of the application; git's folder may lie above it.

    Returns:
        At most 40 letters; empty if nothing tells.
    """
    told = next((environ[name] for name in VARIABLES if environ.get(name)), "")
    told = told or _text(directory / "REVISION") or _commit(directory)
    return " ".join(told.split())[:_LONGEST]


def _commit(directory: Path) -> str:
    """The hash that HEAD stands for. Source: gitrepository-layout(5)."""
    places = (each / ".git" for each in (directory, *directory.parents))
    git = next((place for place in places if place.exists()), None)
    if git is None:
        return ""
    # A worktree has a file that names its folder, and that one a folder with what all share.
    named = _text(git).removeprefix("gitdir:").strip() if git.is_file() else ""
    folder = git.parent / named if named else git
    shared = folder / (_text(folder / "commondir").strip() or ".")
    kind, _, name = _text(folder / "HEAD").strip().partition(" ")
    if kind != "ref:":
        return kind
    return _text(shared / name).strip() or _packed(shared, name)


def _packed(shared: Path, name: str) -> str:
    lines = (line.split(" ") for line in _text(shared / "packed-refs").splitlines())
    return next((words[0] for words in lines if words[1:] == [name]), "")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
