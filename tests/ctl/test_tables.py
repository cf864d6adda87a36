"""Tables and words: what fits, what is cut, what cannot be printed."""

from datetime import UTC, datetime, timedelta

import pytest

from jobd.ctl.tables import table
from jobd.ctl.words import count_of, cut, duration, safe, since, utc, width_of

HEAD = ("jid", "class", "arguments", "error")


def test_texts_stand_under_each_other() -> None:
    rows = [("1", "Echo", "[]", ""), ("22", "Sweep", "[1]", "no")]
    assert table(HEAD, rows, width=None).splitlines() == [
        "jid  class  arguments  error",
        "1    Echo   []",
        "22   Sweep  [1]        no",
    ]


def test_letters_of_two_cells_and_of_none_keep_the_columns() -> None:
    rows = [("日本", "a"), ("e\N{COMBINING ACUTE ACCENT}", "b")]
    lines = table(("name", "x"), rows, width=None).splitlines()
    assert lines == ["name  x", "日本  a", "e\N{COMBINING ACUTE ACCENT}     b"]


def test_a_column_without_head_and_words_is_left_out() -> None:
    rows = [("a", "", "b")]
    assert table(("x", "", "y"), rows, width=None) == "x  y\na  b"
    rows.append(("c", "paused", "d"))
    assert table(("x", "", "y"), rows, width=None) == "x          y\na          b\nc  paused  d"


@pytest.mark.parametrize("width", [120, 80, 60, 50, 40, 30])
def test_a_table_fits_the_terminal(width: int) -> None:
    rows = [
        ("0123456789", "MoodSenderJob", '["ada@example.com", "happy"]' * 9, "日本" * 50),
        ("0123456789", "E", "[]", ""),
    ]
    lines = table(HEAD, rows, width=width, long=2).splitlines()
    assert max(map(width_of, lines)) <= width
    assert any("0123456789" in line for line in lines)
    assert any('["ada@' in line for line in lines)


def test_long_columns_stand_below_where_nothing_could_be_read_beside() -> None:
    rows = [("0123456789", "MoodSenderJob", '["ada@example.com"]', "OSError: smtp is down")]
    assert table(HEAD, rows, width=50, long=2).splitlines() == [
        "jid         class",
        "    arguments  error",
        "0123456789  MoodSenderJob",
        '    ["ada@example.com"]  OSError: smtp is down',
    ]


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("hello", 5, "hello"),
        ("hello!", 5, "he..."),
        ("日本日本", 8, "日本日本"),
        ("日本日本", 7, "日本..."),
        ("a\x1b[2J\r\n\u202eb", 20, "a\ufffd[2J\ufffd\ufffd\ufffdb"),
        ("\ud800", 5, "\ufffd"),
        ("x" * 10**7, 6, "xxx..."),
        ("e" + "\N{COMBINING ACUTE ACCENT}" * 100, 6, None),
    ],
)
def test_a_cell_is_cut_and_safe(text: str, width: int, shown: str | None) -> None:
    assert width_of(cut(text, width)) <= width
    assert shown is None or cut(text, width) == shown


def test_what_moves_a_cursor_is_not_printed() -> None:
    moving = "".join(map(chr, [*range(32), 0x7F, *range(0x80, 0xA0), 0x200F, 0x202E, 0x2066]))
    assert safe(f"a{moving}b日") == "a" + "\N{REPLACEMENT CHARACTER}" * len(moving) + "b日"


def test_counts_times_and_ages_are_words() -> None:
    now = datetime(2026, 12, 24, 18, 0, tzinfo=UTC)
    assert [count_of(number, "job") for number in (0, 1, 1234)] == ["0 jobs", "1 job", "1,234 jobs"]
    assert count_of(2, "process", "processes") == "2 processes"
    assert [duration(s) for s in (0, 4.62, 119, 121, 7_300, 200_000)] == [
        "0 s",
        "4.6 s",
        "119.0 s",
        "2 min",
        "2 h",
        "2 d",
    ]
    assert since(now - timedelta(minutes=5), now) == "5 min ago"
    assert since(now + timedelta(hours=5), now) == "in 5 h"
    assert utc(now.astimezone()) == "2026-12-24T18:00:00Z"
    assert utc(None) == ""
