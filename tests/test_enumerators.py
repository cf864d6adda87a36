"""What iterable jobs go through: from any cursor on, exactly what a whole pass has from there."""

import csv
import itertools
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from jobd import InvalidJob, enumerators

Enumerate = Callable[[Any], Iterator[tuple[Any, Any]]]


class Base(orm.DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]
    token: orm.Mapped[uuid.UUID] = orm.mapped_column(unique=True)


@pytest.fixture
def session() -> Iterator[orm.Session]:
    """Users 1, 3, 5 … 19."""
    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all(
            User(id=n, name=f"user {n}", token=uuid.UUID(int=100 - n)) for n in range(1, 20, 2)
        )
        session.commit()
        yield session
    engine.dispose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Seven rows, one of them with a line break in it."""
    path = tmp_path / "users.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows([n, f"line\n{n}" if n == 2 else f"ü{n}"] for n in range(7))
    return path


@pytest.fixture(params=["sequence", "csv", "select", "select by UUID", "batches", "nested"])
def enumerate_(request: pytest.FixtureRequest, path: Path, session: orm.Session) -> Enumerate:
    """Each kind in turn, by the cursor."""
    letters = ["a", "b", "c"]
    users = sa.select(User.name).order_by(User.name)
    by_name: dict[str, Enumerate] = {
        "sequence": lambda cursor: enumerators.sequence("abcdefg", cursor),
        "csv": lambda cursor: enumerators.csv_rows(path, cursor),
        "select": lambda cursor: enumerators.select(session, users, cursor, by=User.id, page=3),
        "select by UUID": lambda cursor: enumerators.select(
            session, users, cursor, by=User.token, page=3
        ),
        "batches": lambda cursor: enumerators.batches(enumerators.sequence(range(10), cursor), 3),
        "nested": lambda cursor: enumerators.nested(
            [
                lambda cursor: enumerators.sequence(letters, cursor),
                lambda cursor, _: enumerators.sequence([1, 2], cursor),
                lambda cursor, _, number: enumerators.sequence("xyz"[:number], cursor),
            ],
            cursor,
        ),
    }
    return by_name[request.param]


def test_from_each_cursor_on_it_gives_what_a_whole_pass_gives_from_there(
    enumerate_: Enumerate,
) -> None:
    whole = list(enumerate_(None))
    assert len(whole) > 3
    for index, (_, cursor) in enumerate(whole):
        assert list(enumerate_(cursor)) == whole[index:]


def test_rows_of_a_file_are_dicts(path: Path) -> None:
    rows = [row for row, _ in enumerators.csv_rows(path, None)]
    assert rows[2:4] == [{"id": "2", "text": "line\n2"}, {"id": "3", "text": "ü3"}]


def test_a_select_of_a_model_gives_its_objects(session: orm.Session) -> None:
    found = list(enumerators.select(session, sa.select(User), 15, by=User.id, page=2))
    assert [(user.name, cursor) for user, cursor in found] == [
        ("user 15", 15),
        ("user 17", 17),
        ("user 19", 19),
    ]


def test_a_select_of_columns_gives_rows(session: orm.Session) -> None:
    statement = sa.select(User.id, User.name).where(User.id > 16)
    assert list(enumerators.select(session, statement, None, by=User.id)) == [
        ((17, "user 17"), 17),
        ((19, "user 19"), 19),
    ]


def test_a_select_goes_on_after_a_commit_between_its_rows(session: orm.Session) -> None:
    seen: list[int] = []
    for user, _ in enumerators.select(session, sa.select(User), None, by=User.id, page=2):
        user.name = "seen"
        session.commit()
        seen.append(user.id)
    assert seen == list(range(1, 20, 2))


def test_a_row_that_is_gone_does_not_leave_out_the_next(session: orm.Session) -> None:
    pairs = enumerators.select(session, sa.select(User.name), 4, by=User.id, page=2)
    assert next(pairs) == ("user 5", 5)


def test_what_was_saved_below_an_item_that_is_gone_is_forgotten() -> None:
    shops = {"a": [1, 2], "c": [1, 2]}  # there was a "b", whose second product was saved
    pairs = enumerators.nested(
        [
            lambda cursor: ((shop, shop) for shop in shops if shop >= (cursor or "")),
            lambda cursor, shop: enumerators.sequence(shops[shop], cursor),
        ],
        ["b", 1],
    )
    assert list(pairs) == [(("c", 1), ["c", 0]), (("c", 2), ["c", 1])]


def test_a_key_that_json_does_not_carry_is_refused(session: orm.Session) -> None:
    by = sa.literal_column("1.5", sa.Float)
    with pytest.raises(InvalidJob, match=r"the key 1\.5 cannot be a cursor: it is float"):
        next(enumerators.select(session, sa.select(User.name), None, by=by))


def test_batches_are_not_empty() -> None:
    assert list(enumerators.batches(iter(()), 3)) == []
    with pytest.raises(InvalidJob, match="size: at least 1, not 0"):
        next(enumerators.batches(enumerators.sequence("ab", None), 0))


DJANGO = """
import django
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from jobd import enumerators
import uuid

class Row(models.Model):
    class Meta:
        app_label = "rows"

class Keyed(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    class Meta:
        app_label = "rows"
        ordering = ["-id"]

with connection.schema_editor() as editor:
    editor.create_model(Row)
    editor.create_model(Keyed)
for kind in (Row, Keyed):
    kind.objects.bulk_create(kind() for _ in range(10))
    with CaptureQueriesContext(connection, ) as queries:
        whole = list(enumerators.queryset(kind.objects.all(), None, page=4))
    assert [row.pk for row, _ in whole] == sorted(row.pk for row in kind.objects.all()), whole
    assert len(queries) == 4, queries.captured_queries
    for index, (_, cursor) in enumerate(whole):
        assert list(enumerators.queryset(kind.objects.all(), cursor, page=4)) == whole[index:]
some = Row.objects.filter(pk__gt=3).order_by("-pk")
assert [cursor for _, cursor in enumerators.queryset(some, 8)] == [8, 9, 10]
print("well")
"""


def test_a_queryset_is_read_by_its_key_page_by_page() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DJANGO],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("well\n", "")


def test_importing_it_imports_none_of_the_libraries() -> None:
    code = (
        "import sys, jobd.enumerators; print({'django', 'sqlalchemy', 'redis'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_long_sequence_is_not_copied() -> None:
    pairs = enumerators.sequence(range(10**12), 10**11)
    assert list(itertools.islice(pairs, 2)) == [(10**11, 10**11), (10**11 + 1, 10**11 + 1)]
