"""Lists as files: CSV for spreadsheets, JSON lines for programs.

A spreadsheet takes what begins like a formula for one, and what stands in Redis was written by
others: so such a text gets an apostrophe in front, which shows it as it is.

Source: RFC 4180; OWASP, CSV Injection.
"""

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from starlette.responses import Response

from jobd.web.inert import inert
from jobd.web.site import Table

MOST_ROWS: Final = 10_000
EXPORT_S: Final = 2.0
# Also behind blanks, which spreadsheets drop, and in the wide letters that some take for these.
_FORMULA: Final = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")


def as_csv(name: str, table: Table) -> Response:
    """The file, called ``NAME.csv``, or ``NAME-part.csv`` if it does not hold everything."""
    columns = [each.name for each in dataclasses.fields(table.of)]
    text = io.StringIO()
    # All in quotes: a comma is not what every country's spreadsheets split at.
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows(_cells(row, columns) for row in table.rows)
    return _file(text.getvalue().encode(errors="backslashreplace"), "text/csv", table, name, "csv")


def as_json_lines(name: str, table: Table) -> Response:
    """The same rows as ``NAME.jsonl``, one JSON object a line, for programs."""
    # Not by msgspec alone, which refuses the half of a letter that a payload may hold.
    lines = (json.dumps(msgspec.to_builtins(row)) for row in table.rows)
    text = "".join(f"{line}\n" for line in lines).encode()
    return _file(text, "application/jsonl", table, name, "jsonl")


def _file(content: bytes, media_type: str, table: Table, name: str, kind: str) -> Response:
    file = f"{name}.{kind}" if table.is_whole else f"{name}-part.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(content, media_type=media_type, headers=headers)


def _cells(row: object, columns: Iterable[str]) -> list[str | float]:
    return [_cell(getattr(row, column)) for column in columns]


def _cell(value: Any) -> str | float:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int() | float():
            return value
        case datetime():
            return value.isoformat()
        case str():
            return harmless(value)
        case _:
            return harmless(msgspec.json.encode(value).decode())


def harmless(text: str) -> str:
    """The text so that no spreadsheet calculates it, and without letters that mislead."""
    return f"'{inert(text)}" if _FORMULA.match(text) else inert(text)
