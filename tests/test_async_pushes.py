"""Pushes with ``await``: they write what the others write, and do not block the loop."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import jobd
from jobd import InvalidArguments, IterableJob, Job, RedisUnavailable, enumerators, job, testing
from jobd.app import App, current_app  # noqa: TID251 - put back after each test
from jobd.context import Carrier
from jobd.jobs import registry
from jobd.middleware import ClientCall
from jobd.payload import Payload
from tests.support.recording_store import RecordingStore

NOON = datetime(2036, 1, 1, 12, tzinfo=UTC)
here: ContextVar[str] = ContextVar("here")


@pytest.fixture(autouse=True)
def store() -> Iterator[RecordingStore]:
    """Where the default app pushes to; app and registry are put back afterwards."""
    app, before, recording = current_app(), registry.names(), RecordingStore()
    opened, app.open_store = app.open_store, lambda _redis: recording
    yield recording
    app.open_store = opened
    app.client_middleware.clear()
    app.server_middleware.clear()
    app.carried.clear()
    for name in set(registry.names()) - set(before):
        registry.forget(name)


def mood_job() -> Any:
    class MoodJob(Job, queue="mailers"):
        told: list[Any] = []  # noqa: RUF012 - of one test

        @jobd.after_enqueue
        @classmethod
        def enqueued(cls, payload: Payload) -> None:
            cls.told.append((payload["jid"], threading.get_ident(), here.get("nowhere")))

        def perform(self, name: str, mood: str = "fine") -> None:
            type(self).told.append((name, mood, here.get("nowhere")))

    return MoodJob


def rows_job() -> Any:
    class RowsJob(IterableJob):
        def build_enumerator(self, cursor: int | None, table: str) -> Any:
            return enumerators.sequence([table], cursor)

        def each_iteration(self, row: str) -> None: ...

    return RowsJob


def function_job() -> Any:
    @job(queue="low")
    def add(x: int, y: int = 2) -> int:
        return x + y

    return add


def fields(store: RecordingStore) -> list[Any]:
    """What was written, but for what each push has of its own."""
    own = {"jid", "created_at", "enqueued_at"}

    def rest(payload: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in payload.items() if key not in own}

    return [
        *map(rest, store.pushed),
        *((at_s, rest(payload)) for at_s, payload in store.scheduled),
    ]


PUSHES: list[tuple[Callable[[], Any], str, tuple[Any, ...], dict[str, Any]]] = [
    (mood_job, "perform_async", ("Ada",), {"mood": "glad"}),
    (mood_job, "perform_in", (2_000_000_000, "Ada"), {}),
    (mood_job, "perform_at", (NOON, "Ada", "glad"), {}),
    (mood_job, "perform_bulk", ([["Ada"], ("Bob", "sad")],), {}),
    (mood_job, "perform_bulk", ([[str(n)] for n in range(5)],), {"batch_size": 2}),
    (mood_job, "perform_bulk", ([["Ada"], ["Bob"]],), {"at": [NOON, NOON + timedelta(1)]}),
    (lambda: mood_job().set(queue="critical", wait_until=NOON), "perform_async", ("Ada",), {}),
    (lambda: mood_job().set(tags=["x"]), "perform_bulk", ([["Ada"]],), {}),
    (rows_job, "perform_async", ("users",), {}),
    (lambda: rows_job().set(retry=0), "perform_at", (NOON, "users"), {}),
    (function_job, "perform_async", (1,), {"y": 3}),
    (lambda: function_job().set(retry=0), "perform_in", (2_000_000_000, 1), {}),
]


@pytest.mark.parametrize(("define", "method", "args", "kwargs"), PUSHES)
def test_a_push_with_await_writes_what_the_other_one_writes(
    store: RecordingStore,
    define: Callable[[], Any],
    method: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    target = define()
    getattr(target, method)(*args, **kwargs)
    expected, trips = fields(store), len(store.writes)
    store.writes.clear()
    given = asyncio.run(getattr(target, f"a{method}")(*args, **kwargs))
    assert fields(store) == expected
    assert len(store.writes) == trips
    jids = [p["jid"] for p in (*store.pushed, *(payload for _, payload in store.scheduled))]
    assert sorted(given) == sorted(jids) if isinstance(given, list) else [given] == jids


def test_jobs_are_pushed_by_name_too(store: RecordingStore) -> None:
    async def main() -> tuple[str | None, list[str | None]]:
        one = await jobd.apush({"class": "HardJob", "args": [1]})
        return one, await jobd.apush_bulk({"class": "HardJob", "args": [[2], [3]]}, batch_size=1)

    jid, jids = asyncio.run(main())
    assert [payload["jid"] for payload in store.pushed] == [jid, *jids]
    assert [payload["args"] for payload in store.pushed] == [[1], [2], [3]]


def test_the_loop_goes_on_while_redis_is_slow(store: RecordingStore) -> None:
    asked, answered = threading.Event(), threading.Event()

    class Slow(RecordingStore):
        def push(self, batches: Mapping[str, list[bytes]]) -> None:
            asked.set()
            assert answered.wait(30)
            store.push(batches)

    slow = Slow()
    current_app().open_store = lambda _redis: slow
    target = mood_job()

    async def main() -> None:
        push = asyncio.create_task(target.aperform_async("Ada"))
        while not asked.is_set():
            await asyncio.sleep(0)
        assert not push.done()
        answered.set()  # by the loop, which would wait for itself if it were blocked
        await push

    asyncio.run(main())
    assert len(store.pushed) == 1


def test_middleware_and_callbacks_run_once_where_it_is_awaited(store: RecordingStore) -> None:
    target, passed = mood_job(), list[Any]()

    def note(payload: Payload, proceed: ClientCall) -> Payload | None:
        passed.append((payload["args"], threading.get_ident(), here.get("nowhere")))
        here.set("set by middleware")
        return proceed(payload)

    current_app().client_middleware.add(note)

    async def main() -> str | None:
        here.set("in the task")
        jid: str | None = await target.aperform_async("Ada")
        assert here.get() == "set by middleware"
        return jid

    jid, me = asyncio.run(main()), threading.get_ident()
    assert passed == [(["Ada"], me, "in the task")]
    assert target.told == [(jid, me, "set by middleware")]


def test_a_push_that_middleware_stops_is_none(store: RecordingStore) -> None:
    current_app().client_middleware.add(lambda _payload, _proceed: None)
    target = mood_job()
    assert asyncio.run(target.aperform_async("Ada")) is None
    assert asyncio.run(target.aperform_bulk([["Ada"], ["Bob"]])) == [None, None]
    assert (store.pushed, target.told) == ([], [])


def test_context_variables_of_the_task_travel(store: RecordingStore) -> None:
    jobd.carry(here)
    target = mood_job()

    async def in_task(name: str) -> None:
        here.set(name)
        await asyncio.sleep(0)
        await target.aperform_async(name)

    async def main() -> None:
        await asyncio.gather(*map(in_task, "abc"))

    asyncio.run(main())
    assert any(isinstance(link, Carrier) for link in current_app().client_middleware)
    carried = [(payload["args"], payload["cattr"]["here"]) for payload in store.pushed]
    assert sorted(carried) == [(["a"], "a"), (["b"], "b"), (["c"], "c")]


def test_errors_are_those_of_other_pushes(store: RecordingStore) -> None:
    target = mood_job()
    with pytest.raises(InvalidArguments, match="mood"):
        asyncio.run(target.aperform_async("Ada", "glad", "much"))
    store.fails_after = 1
    with pytest.raises(RedisUnavailable, match="cannot use") as caught:
        asyncio.run(target.aperform_bulk([["Ada"], ["Bob"]], batch_size=1))
    assert caught.value.__notes__ == ["1 jobs of this bulk were pushed before"]
    with pytest.raises(RedisUnavailable) as unknown:
        asyncio.run(target.aperform_async("Ada"))
    assert unknown.value.jid is not None
    assert len(target.told) == 1


def test_in_a_test_jobs_are_kept_or_run(store: RecordingStore) -> None:
    target = mood_job()

    async def main() -> None:
        with testing.fake():
            jid = await target.aperform_async("Ada")
            await target.aperform_in(60, "Bob")
            assert target.jobs[0]["jid"] == jid
            assert target.drain() == 2
        here.set("in the task")
        with testing.inline():
            await target.aperform_async("Cem", mood="glad")
        await target.set(sync=True).aperform_async("Dee")

    asyncio.run(main())
    ran = [told for told in target.told if told[0] in {"Ada", "Bob", "Cem", "Dee"}]
    assert [(name, mood) for name, mood, _ in ran] == [
        ("Ada", "fine"),
        ("Bob", "fine"),
        ("Cem", "glad"),
        ("Dee", "fine"),
    ]
    assert store.writes == []


@pytest.mark.redis
def test_many_tasks_push_at_once_over_few_connections(redis_url: str, raw: Any) -> None:
    app = App()
    jobd.app.Configuration(app).redis = {"url": redis_url, "size": 2}

    async def main() -> list[str | None]:
        pushes: list[Coroutine[Any, Any, str | None]] = [
            app.client.apush({"class": "HardJob", "args": [number]}) for number in range(200)
        ]
        return await asyncio.gather(*pushes)

    jids = asyncio.run(main())
    assert len(set(jids)) == 200 == raw.llen("queue:default")
    assert len([one for one in raw.client_list() if one["name"] == "jobd-client"]) <= 2
