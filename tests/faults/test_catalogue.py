"""The table in docs/reliability.md and the tests are the same list."""

import re

from tests.support.jobd_process import REPOSITORY

COUNTS = {"A": 23, "B": 20, "C": 6, "D": 21, "E": 10, "F": 4}
IDS = {f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)}


def test_every_fault_has_a_test_of_its_name():
    table = (REPOSITORY / "docs" / "reliability.md").read_text()
    shown = set(re.findall(r"^\| ([A-F]\d+) \|", table, re.MULTILINE))
    text = "\n".join(path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py"))
    names = re.findall(r"^def (test(?:_[A-F]\d+)+)_", text, re.MULTILINE)
    tested = {name for names_of_one in names for name in names_of_one.split("_")[1:]}

    assert tested == shown == IDS
