"""The chain of middleware."""

from typing import Any

import pytest

from jobd.middleware import Chain, ClientChain, ServerChain
from jobd.payload import Payload


class Stamp:
    """Writes its name into the payload, on the way in and on the way out."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, payload: Payload, proceed: Any) -> Payload | None:
        payload["trail"] += f" {self.name}("
        passed: Payload | None = proceed(payload)
        if passed is not None:
            passed["trail"] += f" ){self.name}"
        return passed


class Other(Stamp):
    pass


def stop(payload: Payload, proceed: Any) -> Payload | None:
    return None


def terminal(payload: Payload) -> Payload | None:
    payload["trail"] += " end"
    return payload


def trail(chain: ClientChain) -> str | None:
    passed = chain.fold(terminal)({"trail": ""})
    return None if passed is None else passed["trail"].strip()


A, B, C = Stamp("a"), Stamp("b"), Other("c")


def test_the_first_added_is_the_outermost() -> None:
    assert trail(Chain(A, B)) == "a( b( end )b )a"


def test_an_empty_chain_is_its_terminal() -> None:
    chain: ClientChain = Chain()
    assert chain.fold(terminal) is terminal


def test_a_middleware_that_does_not_proceed_stops_the_rest() -> None:
    assert trail(Chain(A, stop, B)) is None


@pytest.mark.parametrize(
    ("method", "arguments", "order"),
    [
        ("add", (C,), [A, B, C]),
        ("add", (A,), [B, A]),
        ("prepend", (C,), [C, A, B]),
        ("prepend", (B,), [B, A]),
        ("insert_before", (B, C), [A, C, B]),
        ("insert_before", (stop, C), [C, A, B]),
        ("insert_before", (A, B), [B, A]),
        ("insert_after", (A, C), [A, C, B]),
        ("insert_after", (stop, C), [A, B, C]),
        ("insert_after", (B, A), [B, A]),
        ("insert_before", (Stamp, C), [C, A, B]),
        ("remove", (A,), [B]),
        ("remove", (Stamp,), []),
        ("remove", (Other,), [A, B]),
        ("remove", (stop,), [A, B]),
        ("clear", (), []),
    ],
)
def test_the_chain_is_edited_by_middleware_or_its_class(
    method: str, arguments: tuple[Any, ...], order: list[Any]
) -> None:
    chain: ClientChain = Chain(A, B)
    getattr(chain, method)(*arguments)
    assert list(chain) == order


def test_membership_and_length_are_those_of_a_collection() -> None:
    chain: ClientChain = Chain(A, C)
    assert (A in chain, B in chain, Other in chain, len(chain)) == (True, False, True, 2)


def test_add_serves_as_a_decorator() -> None:
    chain: ClientChain = Chain()

    @chain.add
    def mine(payload: Payload, proceed: Any) -> Payload | None:
        return None

    assert list(chain) == [mine]


def test_the_chain_is_folded_once_until_it_changes() -> None:
    chain: ClientChain = Chain(A)
    folded = chain.fold(terminal)
    assert chain.fold(terminal) is folded
    chain.add(B)
    assert trail(chain) == "a( b( end )b )a"


@pytest.mark.parametrize(
    ("link", "says"),
    [
        (Stamp, r"Stamp is a class: add an instance, Stamp\(\.\.\.\)"),
        ("stamp", "cannot be called"),
        (None, "cannot be called"),
    ],
)
def test_what_cannot_be_called_as_middleware_is_refused(link: Any, says: str) -> None:
    chain: ClientChain = Chain()
    with pytest.raises(TypeError, match=says):
        chain.add(link)


def test_async_middleware_is_refused() -> None:
    async def slow(payload: Payload, proceed: Any) -> None: ...

    class Slow:
        async def __call__(self, payload: Payload, proceed: Any) -> None: ...

    chain: Chain[Any, Any] = Chain()
    for link in (slow, Slow()):
        with pytest.raises(TypeError, match="is async"):
            chain.prepend(link)


def test_a_server_chain_hands_job_and_payload_through() -> None:
    seen: list[Any] = []

    def around(job: Any, payload: Payload, proceed: Any) -> None:
        seen.append(("in", job, payload["jid"]))
        proceed(job, payload)
        seen.append("out")

    chain: ServerChain = Chain(around)
    chain.fold(lambda job, payload: seen.append("perform"))("job", {"jid": "7"})
    assert seen == [("in", "job", "7"), "perform", "out"]
