"""The files of ``systemd/``: what systemd itself says of them, without running it."""

import re
import subprocess
from pathlib import Path

import pytest

from jobd.cli import EX_CONFIG, EX_USAGE
from jobd.ctl.operator import EX_CANTCREAT
from tests.support import leash

UNITS = Path(__file__).parent.parent / "systemd"
STRICT = (UNITS / "drop-ins" / "strict.conf").read_text()
COMPATIBLE_AT_MOST, STRICT_AT_MOST = 1.6, 1.2


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The files, with a program that exists; the template as an instance of it."""
    for path in UNITS.glob("jobd*.*"):
        text = path.read_text().replace("/srv/app/.venv/bin/jobd", "/bin/true")
        text = text.replace("/srv/app/.venv/bin/jobctl", "/bin/true")
        (tmp_path / path.name.replace("@.", "@blue.")).write_text(text)
    return tmp_path


def analyze(*words: str) -> "subprocess.CompletedProcess[str]":
    program = leash.needs("systemd-analyze", "systemd")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


def exposure(unit: Path) -> float:
    done = analyze("security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    return float(found[1])


def add_drop_in(unit: Path, text: str) -> None:
    directory = unit.with_name(f"{unit.name}.d")
    directory.mkdir()
    (directory / "strict.conf").write_text(text)


services = pytest.mark.parametrize("name", ["jobd.service", "jobd@blue.service"])


@pytest.mark.parametrize("name", ["jobd.service", "jobd@blue.service", "jobd.target", "jobd.slice"])
def test_systemd_has_nothing_to_say_against_a_unit(units: Path, name: str) -> None:
    # Without the flag a misspelt directive is only worth a line on stderr.
    done = analyze("verify", "--recursive-errors=no", str(units / name))
    assert (done.returncode, done.stderr) == (0, "")


@services
def test_little_of_the_machine_is_exposed_to_a_service(units: Path, name: str) -> None:
    assert exposure(units / name) <= COMPATIBLE_AT_MOST


@services
def test_the_strict_drop_in_is_understood_and_exposes_less(units: Path, name: str) -> None:
    add_drop_in(units / name, STRICT)
    done = analyze("verify", "--recursive-errors=no", str(units / name))
    assert (done.returncode, done.stderr) == (0, "")
    assert exposure(units / name) <= STRICT_AT_MOST


def test_what_would_fail_again_is_not_started_again() -> None:
    for name in ("jobd.service", "jobd@.service"):
        listed = re.search(
            r"^RestartPreventExitStatus=(.*)$", (UNITS / name).read_text(), re.MULTILINE
        )
        assert listed is not None
        assert {EX_USAGE, EX_CANTCREAT, EX_CONFIG} <= set(map(int, listed[1].split()))


def test_the_template_differs_from_the_service_by_names_only() -> None:
    one = directives((UNITS / "jobd.service").read_text())
    template = directives((UNITS / "jobd@.service").read_text())
    named = {"Description", "PartOf", "ExecStart", "ExecReload", "EnvironmentFile"}
    differ = {line.partition("=")[0] for line in one ^ template}
    assert differ <= named | {"SyslogIdentifier", "RuntimeDirectory", "WantedBy"}


def directives(text: str) -> set[str]:
    return {line for line in text.splitlines() if line and not line.startswith(("#", "["))}
