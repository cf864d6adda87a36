"""Arguments: what JSON can carry exactly, and what is refused with the place named."""

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections import OrderedDict, defaultdict
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pytest

from jobd.errors import InvalidArguments
from jobd.payload import (
    MAX_NESTING,
    check_arguments,
    check_values,
    decode,
    encode,
    loosen,
)


class Mood(enum.Enum):
    HAPPY = "happy"


class TextMood(str, enum.Enum):  # noqa: UP042 - the older form must be recognised too
    HAPPY = "happy"


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Fraction(float):
    pass


class Plain:
    pass


@dataclasses.dataclass
class Letter:
    to: str


class Point(NamedTuple):
    x: int
    y: int


def nested(levels: int) -> Any:
    value: Any = "core"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**53 + 1,
        2**64,
        10**200,
        -(10**40),
        0.1,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        1e22,
        "",
        "grün ☃ 😀 \u2028 \x00",
        [],
        {},
        [[], {}],
        {"": {"ü": [1, "x", None]}},
    ],
    ids=repr,
)
def test_a_json_value_comes_back_exactly(value: Any) -> None:
    check_arguments([value])
    back = decode(encode({"class": "Echo", "args": [value]}))["args"][0]
    assert repr(back) == repr(value)
    assert json.loads(encode({"class": "Echo", "args": [value]}))["args"] == [value]


@pytest.mark.parametrize(
    ("value", "kind", "way_out"),
    [
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "datetime.datetime", "value.isoformat()"),
        (dt.date(2026, 1, 1), "datetime.date", "value.isoformat()"),
        (dt.time(1), "datetime.time", "value.isoformat()"),
        (dt.timedelta(1), "datetime.timedelta", "value.total_seconds()"),
        (decimal.Decimal("1.5"), "decimal.Decimal", "str(value)"),
        (uuid.UUID(int=1), "uuid.UUID", "str(value)"),
        (PurePosixPath("/x"), "PurePosixPath", "str(value)"),
        (Mood.HAPPY, "Mood", "value.value"),
        (TextMood.HAPPY, "TextMood", "value.value"),
        (Letter("a"), "Letter", "dataclasses.asdict(value)"),
        (Text("x"), "Text", "str(value)"),
        (Whole(1), "Whole", "int(value)"),
        (Fraction(1), "Fraction", "float(value)"),
        ((1, 2), "tuple", "list(value)"),
        (Point(1, 2), "Point", "list(value)"),
        ({1}, "set", "list(value)"),
        (frozenset({1}), "frozenset", "list(value)"),
        (range(3), "range", "list(value)"),
        (OrderedDict[str, int](a=1), "collections.OrderedDict", "dict(value)"),
        (defaultdict[str, int](int), "collections.defaultdict", "dict(value)"),
        (b"x", "bytes", "value.decode()"),
        (Plain(), "Plain", "its id, or a dict"),
        (Plain, "type", "its id"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_an_argument_that_json_would_change_is_refused_with_path_type_and_conversion(
    value: Any, kind: str, way_out: str
) -> None:
    with pytest.raises(InvalidArguments) as caught:
        check_arguments([{"when": value}])
    text = str(caught.value)
    assert text.startswith('args[0]["when"] is a ')
    assert kind in text
    assert way_out in text


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ([(1,)], "args[0]"),
        ([1, 2, {"a": [0, {"b": (1,)}]}], 'args[2]["a"][1]["b"]'),
        ([{'say "hi"': (1,)}], 'args[0]["say \\"hi\\""]'),
        ([{"ü": (1,)}], 'args[0]["ü"]'),
        ([{"k" * 100: (1,)}], f'args[0]["{"k" * 49}..."]'),
    ],
)
def test_the_path_leads_to_the_offender(args: list[Any], path: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        check_arguments(args)
    assert str(caught.value).startswith(f"{path} is a tuple")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused(value: float) -> None:
    with pytest.raises(InvalidArguments, match=r"args\[0\] is -?(nan|inf), which JSON does not"):
        check_arguments([value])


@pytest.mark.parametrize("key", [1, None, (1, 2), Text("x")])
def test_keys_that_are_no_strings_are_refused(key: Any) -> None:
    with pytest.raises(InvalidArguments, match=r"args\[0\] has the key .* pass str\(key\)"):
        check_arguments([{key: 1}])


@pytest.mark.parametrize("value", ["\ud800", ["a\udfff"], {"k": "\ud83d"}, {"\ud800": 1}])
def test_half_a_surrogate_pair_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArguments, match="half of a surrogate pair"):
        check_arguments([value])


def test_a_value_under_a_key_with_a_surrogate_still_gets_a_printable_message() -> None:
    with pytest.raises(InvalidArguments) as caught:
        check_arguments([{"\ud800": (1,)}])
    str(caught.value).encode()


def test_arguments_may_be_nested_as_deep_as_ruby_parses() -> None:
    args = [nested(MAX_NESTING - 2)]
    check_arguments(args)
    assert decode(encode({"class": "Echo", "args": args}))["args"] == args


@pytest.mark.parametrize("levels", [MAX_NESTING - 1, MAX_NESTING, 5_000])
def test_deeper_arguments_are_refused_in_a_short_sentence(levels: int) -> None:
    with pytest.raises(InvalidArguments, match=r"nested too deeply.*98 inside args") as caught:
        check_arguments([nested(levels)])
    assert len(str(caught.value)) < 200


def test_a_list_that_holds_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidArguments, match="nested too deeply"):
        check_arguments([circle])


def test_an_integer_that_python_would_not_print_is_refused() -> None:
    with pytest.raises(InvalidArguments, match=r"Echo cannot be written as JSON.*4300 digits"):
        encode({"class": "Echo", "args": [10**5000]})


def test_further_keys_of_a_payload_are_checked_like_arguments() -> None:
    with pytest.raises(InvalidArguments, match=r'^cattr\["at"\] is a datetime.date,'):
        check_values({"class": "Echo", "args": [], "cattr": {"at": dt.date(2026, 1, 1)}})


def test_loose_arguments_are_what_the_json_module_makes_of_them() -> None:
    assert loosen([(1, Text("x")), {1: Whole(2)}]) == [[1, "x"], {"1": 2}]


@pytest.mark.parametrize("value", [math.nan, Plain(), {(1,): 2}])
def test_what_even_the_json_module_refuses_is_refused_loosely_too(value: Any) -> None:
    with pytest.raises(InvalidArguments, match="args cannot be written as JSON"):
        loosen([value])
