"""The example's tables, in one SQLite file that the web app, the catcher and all workers share.

Every function opens the file, does one thing and closes it: a connection must not cross a fork, and
opening takes a tenth of a millisecond. Times are milliseconds since the epoch.
"""

import contextlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from examples.daily_mood import settings

SCHEMA = """
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE task_logs (
    task_id INTEGER NOT NULL UNIQUE REFERENCES tasks (id),
    title TEXT NOT NULL,
    worker_pid INTEGER NOT NULL,
    logged_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE user_logs (
    user_id INTEGER NOT NULL UNIQUE REFERENCES users (id),
    name TEXT NOT NULL,
    worker_pid INTEGER NOT NULL,
    logged_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE mails (
    id INTEGER PRIMARY KEY,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A task or a user, and what the job behind it has written so far."""

    title: str
    created_at_ms: int
    worker_pid: int | None
    logged_at_ms: int | None

    @property
    def waited_ms(self) -> int | None:
        """From the row to its log row; None while the job has not run."""
        return None if self.logged_at_ms is None else self.logged_at_ms - self.created_at_ms


@dataclass(frozen=True, slots=True)
class Mail:
    """What the catcher received."""

    recipient: str
    subject: str
    body: str
    received_at_ms: int


@dataclass(frozen=True, slots=True)
class User:
    """Whom to remind."""

    name: str
    email: str


def add_task(title: str) -> int:
    """Insert and commit; the id."""
    with _transaction() as connection:
        cursor = connection.execute(
            "INSERT INTO tasks (title, created_at_ms) VALUES (?, ?)", (title, _now_ms())
        )
        return _row_id(cursor)


def log_task(task_id: int) -> None:
    """Note that a worker saw the task; a second run of the same job changes nothing.

    ``ON CONFLICT`` and not ``INSERT OR IGNORE``, which would swallow a NULL as well.
    """
    with _transaction() as connection:
        connection.execute(
            "INSERT INTO task_logs VALUES (?, (SELECT title FROM tasks WHERE id = ?), ?, ?)"
            " ON CONFLICT (task_id) DO NOTHING",
            (task_id, task_id, os.getpid(), _now_ms()),
        )


def add_user(name: str, email: str) -> int:
    """Insert and commit; the id."""
    with _transaction() as connection:
        cursor = connection.execute(
            "INSERT INTO users (name, email, created_at_ms) VALUES (?, ?, ?)",
            (name, email, _now_ms()),
        )
        return _row_id(cursor)


def log_user(user_id: int) -> None:
    """Note that a worker saw the user; a second run of the same job changes nothing."""
    with _transaction() as connection:
        connection.execute(
            "INSERT INTO user_logs VALUES (?, (SELECT name FROM users WHERE id = ?), ?, ?)"
            " ON CONFLICT (user_id) DO NOTHING",
            (user_id, user_id, os.getpid(), _now_ms()),
        )


def find_user(user_id: int) -> User:
    """The user of that id.

    Raises:
        LookupError: there is none, so a job that was pushed before its row fails and is retried.
    """
    with _transaction() as connection:
        row = connection.execute(
            "SELECT name, email FROM users WHERE id = ?", (user_id,)
        ).fetchone()
    if row is None:
        raise LookupError(f"no user has the id {user_id}")
    return User(*row)


def add_mail(recipient: str, subject: str, body: str) -> None:
    """Keep a mail, with the time of its arrival."""
    with _transaction() as connection:
        connection.execute(
            "INSERT INTO mails (recipient, subject, body, received_at_ms) VALUES (?, ?, ?, ?)",
            (recipient, subject, body, _now_ms()),
        )


def latest_tasks(limit: int) -> list[Entry]:
    """The newest first."""
    return _entries(
        "SELECT tasks.title, created_at_ms, worker_pid, logged_at_ms FROM tasks"
        " LEFT JOIN task_logs ON task_id = tasks.id ORDER BY tasks.id DESC LIMIT ?",
        limit,
    )


def latest_users(limit: int) -> list[Entry]:
    """The newest first."""
    return _entries(
        "SELECT users.name, created_at_ms, worker_pid, logged_at_ms FROM users"
        " LEFT JOIN user_logs ON user_id = users.id ORDER BY users.id DESC LIMIT ?",
        limit,
    )


def latest_mails(limit: int) -> list[Mail]:
    """The newest first."""
    with _transaction() as connection:
        rows = connection.execute(
            "SELECT recipient, subject, body, received_at_ms FROM mails ORDER BY id DESC LIMIT ?",
            (limit,),
        )
        return [Mail(*row) for row in rows]


def _entries(query: str, limit: int) -> list[Entry]:
    with _transaction() as connection:
        return [Entry(*row) for row in connection.execute(query, (limit,))]


@contextlib.contextmanager
def _transaction() -> Generator[sqlite3.Connection, None, None]:
    path = settings.load().directory / "daily_mood.db"
    if not path.exists():
        _create(path)
    # IMMEDIATE takes the write lock at the start, where SQLite waits for it; a transaction that
    # turns from reading to writing would fail at once instead.
    with (
        contextlib.closing(
            sqlite3.connect(path, timeout=10, isolation_level="IMMEDIATE")
        ) as connection,
        connection,
    ):
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def _create(path: Path) -> None:
    """Make the file complete under another name, then link it: no process sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as directory:
        draft = Path(directory) / path.name
        with contextlib.closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA)
        with contextlib.suppress(FileExistsError):  # another process was faster: its file stands
            path.hardlink_to(draft)


def _row_id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise sqlite3.IntegrityError("the INSERT made no row")
    return cursor.lastrowid


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
