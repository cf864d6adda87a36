"""The peers' virtual environments: one for each section of ``peers.txt``, made when needed."""

import compileall
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

_STAMP = "installed-from"
PINNED = Path(__file__).with_name("peers.txt")


class Unavailable(Exception):
    """A side cannot take part; says why."""


def sections(text: str) -> dict[str, list[str]]:
    """The requirements by ``[section]``; comments and blank lines are dropped.

    Raises:
        ValueError: a requirement stands before the first section or is not pinned by ``==``.
    """
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            current = found.setdefault(line.strip("[]"), [])
        elif current is None:
            raise ValueError(f"{line}: no [section] before it")
        elif "==" not in line:
            raise ValueError(f"{line}: not pinned; write name==version")
        else:
            current.append(line)
    return found


class Environments:
    """Makes and finds them.

    Args:
        root: folder that holds one folder for each.
        say: told of each step.
    """

    def __init__(self, root: Path, say: Callable[[str], None]) -> None:
        self._root = root
        self._say = say
        self._pinned = sections(PINNED.read_text())

    def programs(self, section: str) -> Path:
        """The folder of an environment's programs, made if it is missing or of other versions.

        Raises:
            Unavailable: it could not be made.
        """
        wanted = "\n".join([sys.version, *self._pinned[section]])
        folder = self._root / section
        stamp = folder / _STAMP
        if not stamp.exists() or stamp.read_text() != wanted:
            self._say(f"installing {section} into {folder}")
            self._make(folder, self._pinned[section])
            stamp.write_text(wanted)
        return folder / "bin"

    def versions(self, section: str) -> Mapping[str, str]:
        """Of all that was installed; nothing if that failed."""
        if not (self._root / section / _STAMP).exists():
            return {}
        listed = _output(
            self._root / section / "bin" / "python", "-m", "pip", "list", "--format=json"
        )
        return {entry["name"]: entry["version"] for entry in json.loads(listed)}

    def _make(self, folder: Path, requirements: list[str]) -> None:
        _output(Path(sys.executable), "-m", "venv", "--clear", str(folder))
        pip = ("-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input")
        _output(folder / "bin" / "python", *pip, *requirements)


def compile_here(*folders: Path) -> None:
    """Compile what is run where it lies, as pip does with all that it installs.

    Where Python may not write bytecode, each start would compile it.
    """
    for folder in folders:
        compileall.compile_dir(folder, quiet=2)


def _output(program: Path, *arguments: str) -> str:
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    except OSError as err:
        raise Unavailable(str(err)) from err
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise Unavailable(f"{' '.join(arguments[1:3])} failed: {last[0]}")
    return done.stdout
