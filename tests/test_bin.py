"""The commands of a fresh clone: what they do before jobd runs, with a stand-in for Python.

That they work on a bare Debian is shown by hand: an install takes half a minute and the network.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent

# Makes an environment in which pip writes down that it was called, and jobd says what it was given.
PYTHON = r"""#!/bin/sh
case "$*" in
  *version_info*) [ ! -f "$ROOT/is-old" ] ;;
  *ensurepip*) [ ! -f "$ROOT/no-venv" ] ;;
  *base_prefix*) echo 3.11 "$ROOT" ;;
  *"import pip"*) [ -f "$ROOT/.venv/has-pip" ] ;;
  *"-m venv"*)
    echo venv "$*" >>"$ROOT/calls"; mkdir -p "$ROOT/.venv/bin"
    cp "$0" "$ROOT/.venv/bin/python" 2>/dev/null; touch "$ROOT/.venv/has-pip" ;;
  *"-m pip install"*)
    echo pip >>"$ROOT/calls"
    [ ! -f "$ROOT/no-network" ] || exit 1
    printf '#!/bin/sh\necho "jobd got $*"\n' >"$ROOT/.venv/bin/jobd"
    chmod 755 "$ROOT/.venv/bin/jobd" ;;
  -V) echo Python 3.9.2 ;;
esac
"""


class Clone:
    """A checkout with a stand-in for python3 on its PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(REPOSITORY / "bin", root / "bin")
        for name in ("setup.cfg", "pyproject.toml"):
            shutil.copy(REPOSITORY / name, root)
        (root / "path").mkdir()
        python = root / "path" / "python3"
        python.write_text(PYTHON)
        python.chmod(0o755)
        # No apt-get: a test that runs as root must install nothing.
        for tool in ("sh", "cat", "cksum", "readlink", "dirname", "basename", "mkdir", "cp"):
            (root / "path" / tool).symlink_to(str(shutil.which(tool)))
        for tool in ("rm", "mv", "touch", "chmod", "id", "flock", "tail"):
            (root / "path" / tool).symlink_to(str(shutil.which(tool)))

    def start(self, *words: str, **variables: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(self.root / "bin" / "jobd"), *words],
            env={"PATH": str(self.root / "path"), "ROOT": str(self.root), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def run(self, *words: str, **variables: str) -> tuple[int, str, str]:
        process = self.start(*words, **variables)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def have(self, name: str) -> None:
        (self.root / name).touch()

    @property
    def calls(self) -> list[str]:
        path = self.root / "calls"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "my clone")


def test_the_first_start_installs_says_so_and_hands_all_words_on(clone: Clone) -> None:
    status, out, err = clone.run("-q", "a b")
    assert (status, out) == (0, "jobd got -q a b\n")
    assert clone.calls == ["venv", "pip"]
    assert [line.split(" ")[1] for line in err.splitlines()] == ["making", "installing", "done"]


def test_a_later_start_says_and_does_nothing_more(clone: Clone) -> None:
    clone.run()
    assert clone.run("-V") == (0, "jobd got -V\n", "")
    assert clone.calls == ["venv", "pip"]


@pytest.mark.parametrize("name", ["setup.cfg", "pyproject.toml"])
def test_a_change_of_the_requirements_installs_again(clone: Clone, name: str) -> None:
    clone.run()
    with (clone.root / name).open("a") as file:
        file.write("# more\n")
    clone.run()
    assert clone.calls == ["venv", "pip", "pip"]


def test_an_install_that_failed_is_taken_up_by_the_next_start(clone: Clone) -> None:
    clone.have("no-network")
    status, out, err = clone.run()
    assert (status, out) == (69, "")
    assert "pip could not install jobd" in err
    (clone.root / "no-network").unlink()
    assert clone.run()[0] == 0
    assert clone.calls == ["venv", "pip", "pip"]


def test_an_environment_that_was_interrupted_before_pip_is_mended(clone: Clone) -> None:
    clone.run()
    (clone.root / ".venv" / ".jobd-run").unlink()
    (clone.root / ".venv" / "has-pip").unlink()
    assert clone.run()[0] == 0
    assert clone.calls == ["venv", "pip", "venv", "pip"]


def test_two_starts_at_once_install_once(clone: Clone) -> None:
    both = [clone.start(), clone.start()]
    assert [process.communicate(timeout=60)[0] for process in both] == ["jobd got \n"] * 2
    assert clone.calls == ["venv", "pip"]


def test_a_checkout_that_was_moved_gets_a_new_environment(clone: Clone, tmp_path: Path) -> None:
    clone.run()
    clone.root = clone.root.rename(tmp_path / "moved")
    assert clone.run()[0] == 0
    assert clone.calls == ["venv", "pip", "venv", "pip"]


def test_without_ensurepip_the_package_is_named(clone: Clone) -> None:
    clone.have("no-venv")
    status, _, err = clone.run()
    assert status == 69
    assert "Debian has that in the package python3-venv" in err
    assert clone.calls == []


def test_an_old_python_is_refused_in_a_sentence(clone: Clone) -> None:
    clone.have("is-old")
    status, _, err = clone.run()
    assert status == 69
    assert "needs Python 3.11 or newer, and python3 is Python 3.9.2 (PYTHON= names another)" in err


def test_python_names_the_interpreter(clone: Clone) -> None:
    status, _, err = clone.run(PYTHON="python3.14")
    assert status == 69
    assert "finds no python3.14" in err
    assert clone.run(PYTHON=str(clone.root / "path" / "python3"))[0] == 0


def test_a_link_to_the_command_works(clone: Clone, tmp_path: Path) -> None:
    link = tmp_path / "jobd"
    link.symlink_to(clone.root / "bin" / "jobd")
    done = subprocess.run(
        [link, "-V"],
        env={"PATH": str(clone.root / "path"), "ROOT": str(clone.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "jobd got -V\n"
