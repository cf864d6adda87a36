"""Plain code in a loop: it waits, and the loop goes on."""

import asyncio
from contextvars import ContextVar

import pytest

from jobd.worker.bridge import hosted, wait

who: ContextVar[str] = ContextVar("who", default="nobody")


async def later(value: str) -> str:
    await asyncio.sleep(0)
    return value


async def broken() -> str:
    await asyncio.sleep(0)
    raise KeyError("it broke")


def test_what_it_waits_for_is_what_it_gets() -> None:
    def plain() -> list[str]:
        return [wait(later("one")), wait(later("two"))]

    assert asyncio.run(hosted(plain)) == ["one", "two"]
    assert asyncio.run(hosted(lambda: "at once")) == "at once"


def test_what_is_raised_comes_up_where_it_waits_and_goes_on_to_its_caller() -> None:
    def catches() -> str:
        try:
            return wait(broken())
        except KeyError:
            return wait(later("caught"))

    assert asyncio.run(hosted(catches)) == "caught"
    with pytest.raises(KeyError, match="it broke"):
        asyncio.run(hosted(lambda: wait(broken())))


def test_what_is_raised_keeps_its_stack() -> None:
    with pytest.raises(KeyError) as caught:
        asyncio.run(hosted(lambda: wait(broken())))
    assert "broken" in [entry.name for entry in caught.traceback]


def test_others_go_on_while_one_waits() -> None:
    order: list[str] = []

    async def main() -> None:
        first, second = asyncio.Event(), asyncio.Event()

        def one() -> None:
            order.append("one waits")
            second.set()
            wait(first.wait())
            order.append("one goes on")

        def two() -> None:
            wait(second.wait())
            order.append("two goes on")
            first.set()

        await asyncio.gather(hosted(one), hosted(two))

    asyncio.run(main())
    assert order == ["one waits", "two goes on", "one goes on"]


def test_each_task_has_context_variables_of_its_own() -> None:
    def tell(name: str) -> tuple[str, str]:
        before = who.get()
        token = who.set(name)
        seen = wait(whom())
        who.reset(token)
        return before, seen

    async def whom() -> str:
        await asyncio.sleep(0)
        return who.get()

    async def main() -> list[tuple[str, str]]:
        names = ("Ada", "Bob", "Eve")
        tasks = [asyncio.create_task(hosted(lambda name=name: tell(name))) for name in names]
        return await asyncio.gather(*tasks)

    told = asyncio.run(main())
    assert told == [("nobody", "Ada"), ("nobody", "Bob"), ("nobody", "Eve")]
