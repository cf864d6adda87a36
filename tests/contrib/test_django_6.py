"""The tests of this folder once more, on Django 6 and a newer Python, if they are at hand.

Django 6 needs Python 3.12. It is looked for in ``.venv-django6`` of this checkout, and under what
``JOBD_DJANGO6_PYTHON`` names; that Python needs jobd, pytest and its plugins too. What was tried is
in the summary of the test run.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import django
import pytest

from tests.conftest import FOR_THE_SUMMARY

ROOT = Path(__file__).parents[2]
SUITE = (
    "tests/contrib/test_django.py",
    "tests/contrib/test_django_server.py",
    "tests/contrib/test_django_tasks.py",
    "tests/contrib/test_django_tasks_server.py",
    "tests/contrib/test_django_task_results.py",
    "tests/contrib/test_django_page.py",
)
TELL = """
import django, jobd, platform, pytest, pytest_timeout, xdist
assert django.VERSION >= (6,), django.__version__
print(f"Django {django.__version__} on Python {platform.python_version()}")
"""


def candidates() -> Iterator[str]:
    named = os.environ.get("JOBD_DJANGO6_PYTHON")  # noqa: TID251 - of the tests, not of jobd
    if named:
        yield named
    yield str(ROOT / ".venv-django6" / "bin" / "python")
    yield from ("python3.14", "python3.13", "python3.12")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def version_of(python: str) -> str | None:
    """What it has, or None if it is not there or has no Django 6."""
    try:
        done = run(python, "-c", TELL)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.process
@pytest.mark.timeout(300)
def test_all_is_the_same_on_django_6(record_property: Callable[[str, object], None]) -> None:
    here = f"Django {django.__version__} on Python {sys.version.split()[0]}"
    if django.VERSION >= (6,):
        pytest.skip(f"jobd.contrib.django was tried on {here} only, which is the newer one")
    found = ((python, version) for python in candidates() if (version := version_of(python)))
    python, version = next(found, (None, None))
    if python is None or version is None:
        alone = f"jobd.contrib.django was tried on {here} only: no Python here has Django 6"
        record_property(FOR_THE_SUMMARY, alone)
        pytest.skip(alone)
    done = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITE)
    summary = done.stdout.strip().splitlines()[-1:]
    tried = f"jobd.contrib.django was tried on {here}, and on {version}: {' '.join(summary)}"
    record_property(FOR_THE_SUMMARY, tried)
    assert done.returncode == 0, done.stdout
    assert "passed" in summary[0]
    # Of Django 6.0, which cannot pickle tasks, one test is skipped.
    assert "skipped" not in summary[0] or version.startswith("Django 6.0")
