"""What an iterable job may go through: each gives pairs of an item and the cursor to begin with it.

    def build_enumerator(self, cursor, shop_id: int):
        return enumerators.queryset(Product.objects.filter(shop=shop_id), cursor)

Every function takes the cursor that ``build_enumerator`` was given, None at first. None of them
imports the library whose objects it goes through. Rows that are added or deleted meanwhile are seen
or missed like in any query; none that stays is left out.

Source: Sidekiq's lib/sidekiq/job/iterable/enumerators.rb; cursors are the same where it has them.
"""

import csv
import itertools
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from jobd.errors import InvalidJob

T = TypeVar("T")
C = TypeVar("C")
Key: TypeAlias = int | str
Level: TypeAlias = Callable[..., Iterable[tuple[Any, Any]]]


def sequence(items: Sequence[T], cursor: int | None) -> Iterator[tuple[T, int]]:
    """The items of a list that is the same in each run; the cursor is the index."""
    return ((items[index], index) for index in range(cursor or 0, len(items)))


def queryset(queryset: Any, cursor: Key | None, *, page: int = 500) -> Iterator[tuple[Any, Key]]:
    """The objects of a Django queryset by their primary key, which is the cursor.

    Args:
        queryset: of models, in any order and not sliced; it is read page by page, by the key and
            not by an offset, so the last page costs what the first does.
        cursor: of the first object.
        page: objects in a query.
    """
    ordered = queryset.order_by("pk")
    rows = list(ordered[:page] if cursor is None else ordered.filter(pk__gte=cursor)[:page])
    while rows:
        for row in rows:
            yield row, _key(row.pk)
        rows = list(ordered.filter(pk__gt=rows[-1].pk)[:page])


def select(
    session: Any, statement: Any, cursor: Key | None, *, by: Any, page: int = 500
) -> Iterator[tuple[Any, Key]]:
    """The rows of an SQLAlchemy select by a unique column, whose value is the cursor.

    Args:
        session: a ``Session`` or a ``Connection``.
        statement: ``select(User)`` gives users, ``select(User.name, User.email)`` gives rows; its
            own order is dropped.
        cursor: of the first row.
        by: a column that is unique and never NULL, such as ``User.id``.
        page: rows in a query; read by the column and not by an offset.
    """
    ordered = statement.add_columns(by).order_by(None).order_by(by).limit(page)
    first = ordered if cursor is None else ordered.where(by >= _value(by, cursor))
    rows = session.execute(first).all()
    while rows:
        last = rows[-1][-1]  # before the caller has the rows: a commit may expire them
        for *columns, key in rows:
            yield columns[0] if len(columns) == 1 else tuple(columns), _key(key)
        rows = session.execute(ordered.where(by > last)).all()


def csv_rows(
    path: str | os.PathLike[str],
    cursor: int | None,
    *,
    encoding: str = "utf-8-sig",
    dialect: str = "excel",
    **format_: Any,
) -> Iterator[tuple[dict[str, str], int]]:
    """The rows of a CSV file with a header, as dicts; the cursor is the number of the row, from 0.

    Rows before the cursor are read again and passed over.

    Args:
        path: of the file, which is the same in each run and on each machine.
        cursor: of the first row.
        encoding: of the file; by default a byte order mark is taken off.
        dialect: as for ``csv.reader``.
        format_: likewise: ``delimiter`` and its like.
    """
    with Path(path).open(encoding=encoding, newline="") as file:
        rows = csv.DictReader(file, dialect=dialect, **format_)
        yield from zip(
            itertools.islice(rows, cursor or 0, None), itertools.count(cursor or 0), strict=False
        )


def batches(pairs: Iterable[tuple[T, C]], size: int) -> Iterator[tuple[list[T], C]]:
    """Lists of up to ``size`` items of another enumerator; the cursor is that of the first item.

    A list that was begun is done again as a whole, from that item on.
    """
    if size < 1:
        raise InvalidJob(f"size: at least 1, not {size!r}")
    pairs = iter(pairs)
    while batch := list(itertools.islice(pairs, size)):
        yield [item for item, _ in batch], batch[0][1]


def nested(levels: Sequence[Level], cursor: list[Any] | None) -> Iterator[tuple[Any, list[Any]]]:
    """The items of enumerators within enumerators, as tuples of the items of all levels.

        enumerators.nested(
            [
                lambda cursor: enumerators.queryset(Shop.objects.all(), cursor),
                lambda cursor, shop: enumerators.queryset(shop.products.all(), cursor),
            ],
            cursor,
        )

    Args:
        levels: each takes its cursor, and then the items of the levels above.
        cursor: a list with those of all levels.
    """
    if not levels:
        raise InvalidJob("levels: name at least one")
    yield from _nested(levels, cursor or [], ())


def _nested(
    levels: Sequence[Level], saved: Sequence[Any], above: tuple[Any, ...]
) -> Iterator[tuple[Any, list[Any]]]:
    level, *deeper = levels
    own, *below = saved or [None]
    for item, cursor in level(own, *above):
        items = (*above, item)
        if not deeper:
            yield items, [cursor]
            continue
        # What is below was saved for one item, which may be gone by now.
        rest = below if cursor == own else []
        for found, cursors in _nested(deeper, rest, items):
            yield found, [cursor, *cursors]


def _key(value: Any) -> Key:
    if isinstance(value, uuid.UUID):
        return str(value)
    if type(value) is int or type(value) is str:
        return value
    raise InvalidJob(
        f"the key {value!r} cannot be a cursor: it is {type(value).__name__}, and JSON carries an "
        "integer, a string or a UUID; go by another column"
    )


def _value(by: Any, cursor: Key) -> Any:
    # A UUID column takes no strings.
    return uuid.UUID(str(cursor)) if by.type.python_type is uuid.UUID else cursor
