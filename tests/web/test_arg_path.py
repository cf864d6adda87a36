"""Values inside arguments, as a search names them."""

from typing import Any

import pytest

from jobd.web.arg_path import read_path

ARGS: list[Any] = [
    {"user": {"id": 42, "name": "Ada L", "ok": True, "gone": None}, "first name": "Ada"},
    ["x", {"sku": "A1"}, {"sku": "B2"}],
    2**70,
    1.5,
    {"0": "named", "a.b": "dotted"},
    "",
]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".0.user.id", "42"),
        (".0.user.id", "42.0"),
        ("[0][user][id]", "4?"),
        (".0.user.name", "Ada L"),
        (".0.user.name", "Ada*"),
        (".0.user.ok", "true"),
        (".0.user.gone", "null"),
        ("[0][first name]", "Ada"),
        (".user.id", "42"),
        (".*.user.*", "42"),
        (".1.0", "x"),
        (".1.*.sku", "B2"),
        (".2", str(2**70)),
        (".3", "1.50"),
        (".4.0", "named"),
        (".4[a.b]", "dotted"),
        (".5", ""),
    ],
)
def test_a_path_leads_to_its_value(path: str, value: str) -> None:
    found = read_path(path, value)
    assert found is not None
    assert found.leads_to(ARGS)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".0.user.id", "4"),
        (".0.user.ok", "1"),
        (".0.user.ok", "True"),
        (".0.user.gone", ""),
        (".0.user", "42"),
        (".1.user.id", "42"),
        (".9", "x"),
        (".-1", ""),
        (".1.sku", "B2"),
        (".1.99999999999999999999", "x"),
        (".2", str(2**70 + 1)),
        (".3", "1.5000001"),
        (".0.user.name", "ada*"),
        (".0.user.name.0", "A"),
    ],
)
def test_a_path_does_not_lead_elsewhere(path: str, value: str) -> None:
    found = read_path(path, value)
    assert found is not None
    assert not found.leads_to(ARGS)


@pytest.mark.parametrize("path", ["", ".", "..a", ".a.", "[", "[]", "[a", "[a]b", ".a]", "a"])
def test_what_is_no_path_is_not_read(path: str) -> None:
    assert read_path(path, "x") is None
