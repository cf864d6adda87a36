"""Pushes in sessions of SQLAlchemy, on real databases."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)

import jobd
from jobd.app import current_app  # noqa: TID251 - put back after each test
from jobd.client import Client
from jobd.contrib.sqlalchemy import enqueue_on_commit
from jobd.errors import InvalidJob, RedisUnavailable
from tests.support.recording_store import RecordingStore


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingStore]:
    """What the app writes to, instead of Redis."""
    recording = RecordingStore()
    monkeypatch.setattr(current_app(), "open_store", lambda _redis: recording)
    yield recording
    current_app().client_class = Client


@pytest.fixture
def maker(store: RecordingStore) -> Iterator[sessionmaker[Session]]:
    """Makes sessions whose pushes wait, on a database of the test's."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    enqueue_on_commit(sessions)
    yield sessions
    engine.dispose()


def welcome(number: int = 1, **fields: Any) -> str:
    jid = jobd.push({"class": "Welcome", "args": [number], **fields})
    assert jid is not None
    return jid


def pushed(store: RecordingStore) -> list[int]:
    return [job["args"][0] for job in store.pushed]


def test_a_push_waits_for_the_commit_and_has_its_jid(
    maker: sessionmaker[Session], store: RecordingStore
) -> None:
    with maker.begin() as session:
        session.add(User())
        jid = welcome()
        assert store.writes == []
    assert [job["jid"] for job in store.pushed] == [jid]


def test_a_rollback_pushes_nothing(maker: sessionmaker[Session], store: RecordingStore) -> None:
    def fail() -> None:
        with maker.begin() as session:
            session.add(User())
            welcome(1)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with maker() as session:
        session.add(User())
        welcome(2)
        session.rollback()
        session.commit()
    assert store.writes == []


def test_a_flush_that_fails_pushes_nothing(
    maker: sessionmaker[Session], store: RecordingStore
) -> None:
    with maker() as session:
        session.add(User(id=1))
        session.commit()
        session.add(User(id=1))
        welcome()
        with pytest.raises(Exception, match="UNIQUE"):
            session.flush()
        session.rollback()
    assert store.writes == []


def test_a_savepoint_that_is_rolled_back_takes_its_own_pushes_only(
    maker: sessionmaker[Session], store: RecordingStore
) -> None:
    with maker.begin() as session:
        welcome(1)  # no transaction has begun yet: nothing was asked of the database
        session.add(User())
        welcome(2)
        with session.begin_nested() as savepoint:
            welcome(3)
            savepoint.rollback()
        with session.begin_nested():
            welcome(4)
            with session.begin_nested():
                welcome(5)
        welcome(6)
        assert 6 not in pushed(store)
    assert sorted(pushed(store)) == [1, 2, 4, 5, 6]


def test_a_savepoint_in_a_transaction_that_is_rolled_back_pushes_nothing(
    maker: sessionmaker[Session], store: RecordingStore
) -> None:
    with maker() as session:
        with session.begin_nested():
            welcome()
        session.rollback()
    assert store.writes == []


def test_a_maker_is_followed_where_one_that_is_gone_lay_in_memory(store: RecordingStore) -> None:
    engine = create_engine("sqlite://")
    places: set[int] = set()
    for _ in range(20):
        sessions = sessionmaker(engine)
        enqueue_on_commit(sessions)
        with sessions() as session:
            session.begin()
            welcome()
            session.rollback()
        places.add(id(sessions))
        del sessions
    engine.dispose()
    assert len(places) < 20
    assert store.writes == []


def test_what_was_pushed_in_a_session_that_is_closed_without_a_commit_is_dropped_and_told(
    maker: sessionmaker[Session], store: RecordingStore, capfd: pytest.CaptureFixture[str]
) -> None:
    with maker() as session:
        session.execute(select(User))
        welcome()
    assert store.writes == []
    assert "closed without a commit" in capfd.readouterr().out


def test_without_a_session_a_push_is_written_at_once(
    maker: sessionmaker[Session], store: RecordingStore
) -> None:
    with maker.begin() as session:
        session.execute(select(User))
    welcome()
    assert len(store.pushed) == 1


def test_a_session_of_another_maker_is_not_waited_for(
    maker: sessionmaker[Session], store: RecordingStore
) -> None:
    with sessionmaker(maker.kw["bind"]).begin() as session:
        session.execute(select(User))
        welcome()
        assert len(store.pushed) == 1


def test_a_push_may_choose_not_to_wait(maker: sessionmaker[Session], store: RecordingStore) -> None:
    with maker.begin() as session:
        session.add(User())
        welcome(enqueue_on_commit=False)
        assert len(store.pushed) == 1
    assert "enqueue_on_commit" not in store.pushed[0]


def test_of_two_sessions_a_push_waits_for_the_later_one_or_for_the_one_it_names(
    maker: sessionmaker[Session], store: RecordingStore
) -> None:
    with maker() as first, maker() as second:
        first.execute(select(User))
        second.execute(select(User))
        welcome(1)
        welcome(2, enqueue_on_commit=first)
        second.commit()
        assert pushed(store) == [1]
        first.commit()
        assert pushed(store) == [1, 2]


def test_a_choice_that_cannot_be_is_refused(
    maker: sessionmaker[Session], store: RecordingStore
) -> None:
    with pytest.raises(InvalidJob, match="True, False or a session"):
        welcome(enqueue_on_commit="default")
    with sessionmaker(maker.kw["bind"]).begin() as stranger:
        stranger.execute(select(User))
        with pytest.raises(InvalidJob, match="nobody follows"):
            welcome(enqueue_on_commit=stranger)


def test_bulks_and_scheduled_jobs_wait_too(
    maker: sessionmaker[Session], store: RecordingStore
) -> None:
    with maker.begin() as session:
        session.add(User())
        jobd.push_bulk({"class": "Welcome", "args": [[1], [2], [3]]}, batch_size=2)
        welcome(at=60)
        assert store.writes == []
    assert (pushed(store), len(store.scheduled)) == ([1, 2, 3], 1)


def test_after_the_commit_a_redis_that_is_away_is_told_with_the_jid(
    maker: sessionmaker[Session], store: RecordingStore
) -> None:
    store.fails_after = 0
    with maker() as session:
        session.add(User())
        jid = welcome()
        with pytest.raises(RedisUnavailable) as away:
            session.commit()
        assert away.value.jid == jid
        assert any("is committed" in note for note in away.value.__notes__)
        assert session.scalars(select(User)).all()


def test_scoped_sessions_and_classes_of_sessions_will_do(
    maker: sessionmaker[Session], store: RecordingStore
) -> None:
    class Own(Session):
        pass

    scoped = scoped_session(sessionmaker(maker.kw["bind"]))
    enqueue_on_commit(scoped)
    enqueue_on_commit(Own)
    with Own(maker.kw["bind"]) as own:
        for session in (scoped, own):
            session.add(User())
            welcome()
            assert store.writes == []
            session.commit()
            assert len(store.pushed) == 1
            store.writes.clear()
    scoped.remove()


# asyncio


def test_async_sessions_of_concurrent_tasks_do_not_mix(
    store: RecordingStore, tmp_path: Path
) -> None:
    async def main() -> list[object]:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/db")
        sessions = async_sessionmaker(engine)
        for _ in range(2):
            enqueue_on_commit(sessions)
        barrier = asyncio.Barrier(3)

        async def work(number: int) -> None:
            async with sessions.begin() as session:
                await session.execute(select(1))
                await barrier.wait()
                welcome(number)
                await jobd.apush({"class": "Welcome", "args": [10 * number]})
                await barrier.wait()
                if number == 2:
                    raise LookupError
                if number == 3:
                    async with session.begin_nested() as savepoint:
                        welcome(4)
                        await savepoint.rollback()

        try:
            return await asyncio.gather(*map(work, (1, 2, 3)), return_exceptions=True)
        finally:
            await engine.dispose()

    assert [type(outcome) for outcome in asyncio.run(main())] == [
        type(None),
        LookupError,
        type(None),
    ]
    assert sorted(pushed(store)) == [1, 3, 10, 30]
