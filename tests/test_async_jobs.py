"""``async def perform`` where no worker runs it: defined, called, run inline and in tests."""

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from jobd import Job, around_perform, job, testing
from jobd.app import current_app  # noqa: TID251 - the chain that inline jobs run in
from jobd.jobs import registry

who: ContextVar[str] = ContextVar("who", default="nobody")
seen: list[Any] = []


class Meander(Job):
    async def perform(self, name: str) -> str:
        seen.append(f"began {name}")
        await asyncio.sleep(0)
        seen.append(f"ended {name}")
        return who.get()


class MeanderWithin(Meander):
    @around_perform
    def around(self, proceed: Callable[[], object]) -> None:
        seen.append("in")
        proceed()
        seen.append("out")


class AroundNothing(Job):
    @around_perform
    def around(self, proceed: Callable[[], object]) -> None:
        proceed()


class MeanderBroken(Job):
    async def perform(self) -> None:
        await asyncio.sleep(0)
        raise KeyError("it broke")


@job
async def wander(number: int) -> int:
    await asyncio.sleep(0)
    seen.append(number)
    return number + 1


def finished(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def runs_it(*args: Any) -> Any:
        return asyncio.run(function(*args))

    return runs_it


class MeanderFinished(Job):
    @finished
    async def perform(self, number: int) -> None:
        await asyncio.sleep(0)
        seen.append(number)


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    seen.clear()
    yield
    seen.clear()


def test_an_async_perform_is_a_job_like_any_other() -> None:
    assert registry.find("Meander") is Meander
    assert (Meander.__is_async__, MeanderWithin.__is_async__, wander.job_class.__is_async__) == (
        True,
    ) * 3
    assert not type("Straight", (Job,), {"perform": lambda self: None}).__is_async__
    assert asyncio.run(Meander().perform("called")) == "nobody"
    assert asyncio.run(wander(1)) == 2
    with testing.fake():
        Meander.perform_async("Ada")
        assert Meander.jobs[0]["args"] == ["Ada"]


def test_inline_it_has_ended_when_the_call_returns() -> None:
    Meander.perform_inline("Ada")
    MeanderWithin.perform_inline("Bob")
    assert seen == ["began Ada", "ended Ada", "in", "began Bob", "ended Bob", "out"]
    with pytest.raises(KeyError, match="it broke"):
        MeanderBroken.perform_inline()


def test_inline_it_sees_the_context_of_the_caller() -> None:
    class TellWho(Job):
        async def perform(self) -> None:
            seen.append(who.get())

    token = who.set("Ada")
    try:
        TellWho.perform_inline()
    finally:
        who.reset(token)
    assert seen == ["Ada"]


def test_inline_in_a_running_loop_it_has_ended_too() -> None:
    async def main() -> None:
        who.set("Ada")
        Meander.perform_inline("Ada")
        seen.append("after")
        with pytest.raises(KeyError, match="it broke"):
            MeanderBroken.perform_inline()

    asyncio.run(main())
    assert seen == ["began Ada", "ended Ada", "after"]
    assert threading.current_thread() is threading.main_thread()


def test_drained_and_inline_modes_run_it_within_the_middleware() -> None:
    def around(job_instance: Any, payload: Any, proceed: Any) -> None:
        seen.append("in")
        proceed(job_instance, payload)
        seen.append("out")

    chain = current_app().server_middleware
    chain.add(around)
    try:
        with testing.fake():
            wander.perform_async(7)
            assert wander.drain() == 1
        with testing.inline():
            wander.perform_async(8)
    finally:
        chain.remove(around)
    assert seen == ["in", 7, "out", "in", 8, "out"]


@pytest.mark.parametrize("base", [Job, AroundNothing])
def test_a_plain_perform_that_forgets_to_await_has_not_done_the_job(base: type[Job]) -> None:
    async def later() -> None:
        seen.append("later")

    forgets = type("Forgets", (base,), {"perform": lambda self: later()})
    try:
        with pytest.raises(
            TypeError, match=r"a coroutine, .*later\(\), which nobody awaits: write"
        ):
            forgets.perform_inline()
    finally:
        registry.forget("Forgets")
    assert seen == []


def test_what_a_decorator_has_run_is_not_run_again() -> None:
    MeanderFinished.perform_inline(3)
    assert seen == [3]
