"""Loading the user's modules: only what was named, and in a way that hurts nothing else."""

import queue
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd import application
from jobd.errors import ConfigError

LEFT = "import builtins\nbuiltins.loaded = getattr(builtins, 'loaded', []) + [__name__]\n"


@pytest.fixture(autouse=True)
def _modules_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("builtins.loaded", [], raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(directory: Path, name: str, text: str = "") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(LEFT + text)
    return path


def loaded() -> list[str]:
    import builtins  # noqa: PLC0415 - where the modules write

    found: list[str] = builtins.loaded  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize(
    ("entry", "modules"),
    [
        ("app_jobs", ["app_jobs"]),
        ("app_pack.inner", ["app_pack", "app_pack.inner"]),
        ("app_jobs.py", ["app_jobs"]),
        ("./app_jobs.py", ["app_jobs"]),
        ("app_plain/one.py", ["one"]),
        ("app_pack", ["app_pack"]),
        ("./app_pack", ["app_pack"]),
        ("app_plain", ["one", "two"]),
        ("./app_plain/", ["one", "two"]),
    ],
)
def test_an_entry_is_a_module_a_file_or_a_folder(
    tmp_path: Path, entry: str, modules: list[str]
) -> None:
    files = ("app_jobs.py", "app_pack/__init__.py", "app_pack/inner.py")
    for name in (*files, "app_plain/one.py", "app_plain/two.py"):
        write(tmp_path, name)
    application.load([entry], tmp_path)
    assert loaded() == modules


def test_a_file_may_import_its_neighbours_which_are_not_loaded_twice(tmp_path: Path) -> None:
    write(tmp_path, "app_first.py", "import app_second")
    write(tmp_path, "app_second.py")
    application.load(["app_first.py", "app_second.py", "app_first.py"], tmp_path)
    assert loaded() == ["app_first", "app_second"]


def test_a_file_named_like_a_library_module_does_not_replace_it(tmp_path: Path) -> None:
    write(tmp_path, "queue.py")
    application.load(["queue.py"], tmp_path)
    assert loaded() == ["queue_"]
    assert sys.modules["queue"] is queue


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ("absent", 'no module "absent"'),
        ("absent.inner", 'no module "absent.inner"'),
        ("absent.py", "no file absent.py"),
        ("nothing_here", "no Python file in"),
    ],
)
def test_what_is_not_there_is_named_with_the_setting(
    tmp_path: Path, entry: str, named: str
) -> None:
    (tmp_path / "nothing_here").mkdir()
    with pytest.raises(ConfigError, match=r"^require: ") as refusal:
        application.load([entry], tmp_path)
    assert named in str(refusal.value)


def test_an_import_that_fails_inside_the_app_is_the_apps_own_error(tmp_path: Path) -> None:
    write(tmp_path, "app_jobs.py", "import not_installed_here")
    with pytest.raises(ModuleNotFoundError, match="not_installed_here"):
        application.load(["app_jobs"], tmp_path)


@pytest.mark.parametrize("entry", ["app_jobs", "app_jobs.py"])
def test_half_a_module_is_left_to_nobody(tmp_path: Path, entry: str) -> None:
    write(tmp_path, "app_jobs.py", "1 / 0")
    with pytest.raises(ZeroDivisionError):
        application.load([entry], tmp_path)
    assert "app_jobs" not in sys.modules


def test_the_directory_is_put_on_the_path_once(tmp_path: Path) -> None:
    application.load([], tmp_path)
    application.load([], tmp_path)
    assert sys.path.count(str(tmp_path)) == 1
    assert sys.path[0] == str(tmp_path)
