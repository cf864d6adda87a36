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

Errors: TypeAlias = dict[str, dict[int, list[str]]]
"""What is said, by the name of the file and the line."""

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


def mypy(place: Path) -> Errors:
    """What it says of both files."""
    words = ("--config-file=", "--strict", f"--cache-dir={place}", "--no-error-summary")
    errors: Errors = {}
    for line in run("-m", "mypy", *words, str(TYPING), str(WRONG), cwd=ROOT).splitlines():
        found = re.match(r"(.+?):(\d+): error: (.*)", line)
        if found:
            name = Path(found[1]).name
            errors.setdefault(name, {}).setdefault(int(found[2]), []).append(found[3])
    return errors


def pyright(place: Path) -> Errors:
    """What it says of both files."""
    settings = {
        "include": [str(TYPING), str(WRONG)],
        "typeCheckingMode": "strict",
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": "error",
        "extraPaths": [str(ROOT)],
    }
    project = place / "pyrightconfig.json"
    project.write_text(json.dumps(settings))
    options = ("--outputjson", f"--pythonpath={sys.executable}", f"--project={project}")
    report = json.loads(run("-m", "basedpyright", *options, cwd=place))
    assert report["summary"]["filesAnalyzed"] == 2
    errors: Errors = {}
    for found in report["generalDiagnostics"]:
        line = found["range"]["start"]["line"] + 1
        errors.setdefault(Path(found["file"]).name, {}).setdefault(line, []).append(
            found["message"]
        )
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("check", [mypy, pyright])
def test_calls_have_the_types_that_the_typing_file_says_and_each_wrong_one_is_an_error(
    check: Callable[[Path], Errors], tmp_path: Path
) -> None:
    """Of both files at once: each run looks through all of jobd."""
    lines = WRONG.read_text().splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if line.endswith("# wrong")]
    assert len(wrong) > 15
    found = check(tmp_path)
    assert sorted(found.pop(WRONG.name)) == wrong
    assert found == {}


@pytest.mark.parametrize("file", [TYPING, WRONG], ids=lambda file: file.stem)
def test_jobs_of_the_typing_files_may_be_defined(file: Path) -> None:
    definitions, _, calls = file.read_text().partition("# Calls\n")
    assert calls
    assert run("-c", definitions + "print('defined')", cwd=ROOT) == "defined\n"
