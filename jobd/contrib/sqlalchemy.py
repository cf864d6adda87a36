"""Pushes that wait for the commit of a SQLAlchemy session; see docs/sqlalchemy.md.

A session is followed by its events. Which one a push belongs to is known by the context: the one
whose transaction began last, and is still open, in this thread or task.

Source: SQLAlchemy's lib/sqlalchemy/orm/session.py for the order of the events.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeGuard
from weakref import ReferenceType, WeakSet, ref

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, SessionTransaction, scoped_session, sessionmaker

from jobd import log
from jobd.app import current_app  # noqa: TID251 - pushes of the application are made to wait
from jobd.contrib import on_commit
from jobd.errors import InvalidJob

Maker: TypeAlias = sessionmaker[Any] | scoped_session[Any] | async_sessionmaker[Any] | type[Session]

_KEY: Final = "jobd.levels"
_begun: Final[ContextVar[tuple[ReferenceType[Session], ...]]] = ContextVar(
    "jobd.contrib.sqlalchemy.begun", default=()
)


_followed: Final[WeakSet[Any]] = WeakSet()


@dataclass(slots=True)
class _Level:
    """A transaction, or a savepoint in it, and what waits for it.

    Attributes:
        outcome: ``closed`` is the end of one that was neither committed nor rolled back.
    """

    waiting: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])
    outcome: str = "closed"


def enqueue_on_commit(maker: Maker) -> None:
    """From now on, have pushes wait for the transactions of the sessions that this makes.

    A second call with the same changes nothing.
    """
    current_app().client_class = SessionClient
    target: Any = _async_target(maker) if isinstance(maker, async_sessionmaker) else maker
    listeners: dict[str, Callable[..., Any]] = {
        "after_transaction_create": _begin,
        "after_commit": _commit,
        "after_rollback": _roll_back,
        "after_transaction_end": _end,
    }
    # Not by event.contains(), which knows a target by its id and takes another one's for it.
    if target in _followed:
        return
    _followed.add(target)
    for name, listener in listeners.items():
        event.listen(target, name, listener)


class SessionClient(on_commit.OnCommitClient):
    """The option is True, False, or a session."""

    def open_transaction(self, choice: object) -> Session | None:
        """The session whose transaction a push has to wait for, or None."""
        if choice is False:
            return None
        if choice is None or choice is True:
            return _last_begun()
        session = choice.sync_session if isinstance(choice, AsyncSession) else choice
        if not isinstance(session, Session):
            raise InvalidJob(f"{on_commit.OPTION}: True, False or a session, not {choice!r}")
        if session.in_transaction() and not _levels(session):
            raise InvalidJob(
                f"{on_commit.OPTION}: nobody follows {session!r}; "
                "pass its sessionmaker to enqueue_on_commit() before it is made"
            )
        return session if _levels(session) else None

    def on_commit(self, function: Callable[[], object], transaction: Session) -> None:
        """Call the function when this session commits."""
        _levels(transaction)[-1].waiting.append(function)


def _async_target(maker: async_sessionmaker[Any]) -> type[Session]:
    """A class of sessions that this maker alone uses: an AsyncSession has no events of its own."""
    options: dict[str, Any] = maker.kw
    given: type[Session] = options.get("sync_session_class", maker.class_.sync_session_class)
    if "__jobd__" in vars(given):
        return given
    made: type[Session] = type("Session", (given,), {"__jobd__": True})
    maker.configure(sync_session_class=made)
    return made


def _last_begun() -> Session | None:
    sessions = (reference() for reference in reversed(_begun.get()))
    return next((session for session in sessions if _is_open(session)), None)


def _is_open(session: Session | None) -> TypeGuard[Session]:
    return session is not None and bool(_levels(session))


def _levels(session: Session) -> list[_Level]:
    levels: list[_Level] = session.info.setdefault(_KEY, [])
    return levels


def _is_level(transaction: SessionTransaction) -> bool:
    # Others are parts of a flush, and share the fate of what is around them.
    return transaction.parent is None or transaction.nested


def _begin(session: Session, transaction: SessionTransaction) -> None:
    if not _is_level(transaction):
        return
    levels = _levels(session)
    levels.append(_Level())
    if len(levels) == 1:
        others = [
            one for one in _begun.get() if (known := one()) is not session and _is_open(known)
        ]
        _begun.set((*others, ref(session)))


def _commit(session: Session) -> None:
    _levels(session)[-1].outcome = "committed"


def _roll_back(session: Session) -> None:
    _levels(session)[-1].outcome = "rolled back"


def _end(session: Session, transaction: SessionTransaction) -> None:
    if not _is_level(transaction) or not _levels(session):
        return
    levels = _levels(session)
    level = levels.pop()
    if level.outcome == "closed" and level.waiting and not levels:
        log.event(
            "a session was closed without a commit: what was pushed in it is dropped",
            level="warning",
            pushes=len(level.waiting),
        )
    if level.outcome != "committed":
        return
    if levels:
        levels[-1].waiting += level.waiting
        return
    for function in level.waiting:
        function()
