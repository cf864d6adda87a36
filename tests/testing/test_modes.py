"""Which mode holds where: blocks, ``use``, nesting, threads and tasks."""

import asyncio
import contextvars
import sys
import threading
import warnings
from collections.abc import Mapping

import pytest

from jobd import JobdError, UnknownJob, configure_server, push, testing
from jobd.app import App, Configuration
from jobd.config import RedisSettings
from jobd.middleware import ServerCall
from jobd.payload import Payload
from tests.support.recording_store import RecordingStore
from tests.testing.jobs import RAN, ChainLetterJob, LetterJob, LostLetterJob, PostcardJob, weigh


@pytest.fixture
def store(app: App) -> RecordingStore:
    """Stands where Redis would."""
    store = RecordingStore()
    app.redis = RedisSettings()
    app.open_store = lambda redis: store
    return store


# Choosing


def test_nothing_is_on_until_a_mode_is_chosen(store: RecordingStore) -> None:
    assert testing.mode() == "disabled"
    PostcardJob.perform_async("Ada")
    assert len(store.pushed) == 1
    for ask in (lambda: PostcardJob.jobs, PostcardJob.drain, weigh.clear, PostcardJob.perform_one):
        with pytest.raises(testing.NotTesting, match=r"with jobd\.testing\.fake"):
            ask()
    with pytest.raises(testing.NotTesting):
        testing.assert_enqueued(PostcardJob)


def test_use_holds_at_once_and_everywhere_and_fake_is_the_default(store: RecordingStore) -> None:
    chosen = testing.use()
    try:
        assert testing.mode() == "fake"
        thread = threading.Thread(target=PostcardJob.perform_async, args=["Ada"])
        thread.start()
        thread.join()
        assert [payload["args"] for payload in PostcardJob.jobs] == [["Ada"]]
    finally:
        chosen.restore()
    chosen.restore()
    assert testing.mode() == "disabled"
    assert not store.writes


def test_use_as_a_block_restores_what_was_before() -> None:
    with testing.use("fake"):
        PostcardJob.perform_async("Ada")
        with testing.use("fake"):
            assert PostcardJob.jobs == []
        with testing.use("inline"):
            assert testing.mode() == "inline"
        assert len(PostcardJob.jobs) == 1
    assert testing.mode() == "disabled"


def test_blocks_nest_and_each_fake_begins_with_nothing_kept(store: RecordingStore) -> None:
    with testing.fake():
        PostcardJob.perform_async("Ada")
        with testing.fake():
            assert PostcardJob.jobs == []
            PostcardJob.perform_async("Bob")
        with testing.disabled():
            PostcardJob.perform_async("Cid")
            with pytest.raises(testing.NotTesting):
                _ = PostcardJob.jobs
        with testing.inline():
            PostcardJob.perform_async("Dan")
        assert [payload["args"] for payload in PostcardJob.jobs] == [["Ada"]]
    assert [payload["args"] for payload in store.pushed] == [["Cid"]]
    assert RAN == ["Dan"]


def test_a_block_is_left_when_it_raises() -> None:
    with pytest.raises(LookupError), testing.fake():
        raise LookupError
    assert testing.mode() == "disabled"


def test_a_block_wins_over_use() -> None:
    with testing.fake(), testing.use("inline"):
        assert testing.mode() == "fake"


def test_a_block_is_of_its_thread_and_of_tasks_started_in_it() -> None:
    seen: list[str] = []

    async def task() -> None:
        seen.append(testing.mode())

    async def tasks() -> None:
        with testing.inline():
            inside = asyncio.create_task(task())
        await inside
        await task()

    with testing.fake():
        thread = threading.Thread(target=lambda: seen.append(testing.mode()))
        thread.start()
        thread.join()
        asyncio.run(tasks())
    assert seen in (["disabled", "inline", "fake"], ["fake", "inline", "fake"])
    inherits = sys.version_info >= (3, 14) and sys.flags.thread_inherit_context
    assert seen[0] == ("fake" if inherits else "disabled")


def test_a_block_may_be_left_in_another_context() -> None:
    block = testing.fake()
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert testing.mode() == "disabled"


def test_a_block_without_with_is_told_about() -> None:
    with pytest.warns(RuntimeWarning, match=r'write "with jobd\.testing\.inline\(\):"'):
        testing.inline()
    with warnings.catch_warnings(), testing.fake():
        pass


def test_a_block_is_entered_once() -> None:
    block = testing.fake()
    with block:
        pass
    with pytest.raises(JobdError, match=r"call jobd\.testing\.fake\(\) anew"), block:
        pass


def test_a_mode_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="no test mode 'off': there are fake, inline, disabled"):
        testing.use("off")  # type: ignore[arg-type]
    assert testing.mode() == "disabled"


def test_threads_that_push_at_once_lose_nothing() -> None:
    with testing.use("fake"):
        threads = [
            threading.Thread(target=PostcardJob.perform_bulk, args=[[["Ada"]] * 50])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(PostcardJob.jobs) == 400


# Inline


def test_inline_runs_a_job_before_the_push_returns() -> None:
    with testing.inline():
        jid = LetterJob.set(queue="express").perform_async("Ada", [1])
        (ran,) = RAN
        assert ran == ("Ada", [1], jid, "express")
        assert LetterJob.jobs == []


def test_inline_runs_what_is_scheduled_and_what_a_job_pushes() -> None:
    with testing.inline():
        ChainLetterJob.perform_in(3600, 2)
        weigh.perform_bulk([[1], [2, "kg"]])
    assert RAN == [2, 1, 0, (1, "g"), (2, "kg")]


def test_inline_errors_reach_the_test_and_nothing_is_retried() -> None:
    with testing.inline(), pytest.raises(LookupError, match="Ada"):
        LostLetterJob.set(retry=0).perform_async("Ada")
    assert RAN == ["Ada"]


def test_inline_refuses_a_name_that_no_module_defines() -> None:
    with testing.inline(), pytest.raises(UnknownJob, match="import the module that defines it"):
        push({"class": "HardJob", "args": []})


def test_arguments_come_as_json_has_them(app: App) -> None:
    app.strict = "off"
    try:
        with testing.inline():
            LetterJob.perform_async("Ada", [(1, 2), {3: "x"}])
    finally:
        app.strict = "raise"
    assert RAN[0][1] == [[1, 2], {"3": "x"}]


# Middleware


def noted(name: str):  # type: ignore[no-untyped-def]
    def middleware(job: object, payload: Mapping[str, object], proceed: ServerCall) -> None:
        RAN.append(f"{name} {payload['locale']}")
        proceed(job, dict(payload))

    return middleware


def with_locale(payload: Payload, proceed):  # type: ignore[no-untyped-def]
    return proceed({**payload, "locale": "de"})


@pytest.mark.parametrize("mode", ["fake", "inline"])
def test_both_chains_run_the_server_s_as_configured(app: App, mode: testing.Mode) -> None:
    app.client_middleware.add(with_locale)
    app.server_middleware.add(noted("own"))

    @configure_server
    def server(config: Configuration) -> None:
        config.redis = "redis://nowhere/0"
        config.on("startup")(lambda: RAN.append("startup"))
        config.server_middleware.add(noted("server's"))

    with testing.use(mode):
        PostcardJob.perform_async("Ada")
        if mode == "fake":
            assert PostcardJob.jobs[0]["locale"] == "de"
            assert RAN == []
            testing.drain()
        PostcardJob.perform_inline("Bob")
    assert RAN == ["server's de", "own de", "Ada", "server's de", "own de", "Bob"]
    assert app.redis is None
    RAN.clear()
    PostcardJob.perform_inline("Cid")
    assert RAN == ["own de", "Cid"]


def test_a_client_middleware_may_stop_the_push(app: App) -> None:
    app.client_middleware.add(lambda payload, proceed: None)
    with testing.fake():
        assert PostcardJob.perform_async("Ada") is None
        assert PostcardJob.jobs == []


def test_a_configure_server_that_fails_says_who_ran_it(app: App) -> None:
    @configure_server
    def server(config: Configuration) -> None:
        raise KeyError("REDIS_URL")

    with testing.inline(), pytest.raises(KeyError) as caught:
        PostcardJob.perform_async("Ada")
    assert caught.value.__notes__ == ["jobd.testing ran this configure_server, for its middleware"]
    assert RAN == []
