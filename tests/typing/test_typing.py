"""The signature of ``perform`` is that of every push, for mypy and for pyright.

Both run as a user's would: strict, and without the settings of this repository.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

Check: TypeAlias = Callable[[Path], dict[int, list[str]]]

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TYPING = HERE / "typing_of_jobs.py"
WRONG = HERE / "wrong_calls.py"


def run(*words: str, cwd: Path) -> str:
    """What a tool writes to stdout, whatever its verdict."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["mypy", "pyright"])
def check(request: pytest.FixtureRequest, tmp_path: Path) -> Check:
    """Gives the errors of a file by line, as one checker sees it."""

    def mypy(file: Path) -> dict[int, list[str]]:
        words = ("--config-file=", "--strict", f"--cache-dir={tmp_path}", "--no-error-summary")
        errors: dict[int, list[str]] = {}
        for line in run("-m", "mypy", *words, str(file), cwd=ROOT).splitlines():
            found = re.match(r"(.+?):(\d+): error: (.*)", line)
            if found:
                errors.setdefault(int(found[2]), []).append(f"{Path(found[1]).name}: {found[3]}")
        return errors

    def pyright(file: Path) -> dict[int, list[str]]:
        settings = {
            "include": [str(file)],
            "typeCheckingMode": "strict",
            "enableTypeIgnoreComments": False,
            "reportUnnecessaryTypeIgnoreComment": "error",
            "extraPaths": [str(ROOT)],
        }
        project = tmp_path / "pyrightconfig.json"
        project.write_text(json.dumps(settings))
        options = ("--outputjson", f"--pythonpath={sys.executable}", f"--project={project}")
        report = json.loads(run("-m", "basedpyright", *options, cwd=tmp_path))
        assert report["summary"]["filesAnalyzed"] == 1
        errors: dict[int, list[str]] = {}
        for found in report["generalDiagnostics"]:
            line = found["range"]["start"]["line"] + 1
            errors.setdefault(line, []).append(found["message"])
        return errors

    return mypy if request.param == "mypy" else pyright


@pytest.mark.slow
def test_calls_have_the_types_that_the_typing_file_says(check: Check) -> None:
    assert check(TYPING) == {}


@pytest.mark.slow
def test_each_wrong_call_is_an_error_and_no_other_is(check: Check) -> None:
    lines = WRONG.read_text().splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if line.endswith("# wrong")]
    assert len(wrong) > 15
    assert sorted(check(WRONG)) == wrong


@pytest.mark.parametrize("file", [TYPING, WRONG], ids=lambda file: file.stem)
def test_jobs_of_the_typing_files_may_be_defined(file: Path) -> None:
    definitions, _, calls = file.read_text().partition("# Calls\n")
    assert calls
    assert run("-c", definitions + "print('defined')", cwd=ROOT) == "defined\n"
