"""The manual lists every metric that an instance can tell."""

import re
from pathlib import Path

import jobd.health.figures

ROOT = Path(__file__).parents[2]


def test_the_manual_names_every_metric() -> None:
    source = Path(jobd.health.figures.__file__).read_text()
    told = set(re.findall(r'Family\(\s*"(\w+)"', source))
    page = (ROOT / "docs" / "containers.md").read_text()
    named = set(re.findall(r"`(jobd_\w+)`", page.partition("| metric |")[2]))
    assert named == told
