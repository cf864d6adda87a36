"""Callbacks that are refused when the class is defined."""

import inspect
import types
from collections.abc import Iterator
from typing import Any

import pytest

import jobd
from jobd import (
    InvalidJob,
    Job,
    after_enqueue,
    after_perform,
    around_perform,
    before_perform,
    job,
    on_failure,
)
from jobd.jobs import registry
from tests.jobs.parts import RAN, run


def no_self() -> None: ...


def nothing(self: Any) -> None: ...


def one(self: Any, argument: Any) -> None: ...


def three(self: Any, a: Any, b: Any, c: Any) -> None: ...


def keyword_only(self: Any, *, proceed: Any) -> None: ...


def yielding(self: Any, proceed: Any) -> Iterator[None]:
    yield


async def asynchronous(self: Any) -> None: ...


def of_a_class(cls: Any) -> None: ...


def copy_of(function: types.FunctionType) -> types.FunctionType:
    """The function without the marks that another test put on it."""
    return types.FunctionType(
        function.__code__, globals(), "method", function.__defaults__, function.__closure__
    )


@pytest.mark.parametrize(
    ("decorate", "method", "says"),
    [
        (before_perform, no_self, "cannot be called as a method"),
        (before_perform, asynchronous, "method is async, which only perform may be"),
        (around_perform, nothing, r"method\(\): @around_perform calls it with \(proceed\)"),
        (around_perform, yielding, "method is a generator: calling it would run nothing"),
        (around_perform, keyword_only, "proceed is keyword-only"),
        (on_failure, nothing, r"method\(\): @on_failure calls it with \(error\)"),
        (after_enqueue, one, "put @classmethod below @after_enqueue"),
        (after_enqueue, classmethod(of_a_class), r"@after_enqueue calls it with \(payload\)"),
        (before_perform, one, r"method\(argument.*\): @before_perform calls it with \(\*args\)"),
        (after_perform, three, "does not take all arguments of Refused.perform"),
        (on_failure, three, r"it with \(error, \*args\), and it does not take all arguments"),
        (before_perform, 5, "decorates methods of a job class, not 5"),
    ],
)
def test_a_callback_that_could_not_be_called_is_refused(
    decorate: Any, method: Any, says: str
) -> None:
    class Refused(Job):
        def perform(self, a: int, b: int = 2) -> None: ...

    def marked() -> Any:
        if isinstance(method, classmethod):
            return decorate(classmethod(copy_of(method.__func__)))
        return decorate(copy_of(method) if inspect.isfunction(method) else method)

    with pytest.raises(InvalidJob, match=says):
        type("Refused", (Refused,), {"method": marked(), "__module__": __name__})


def test_a_callback_of_a_base_is_checked_against_each_perform() -> None:
    class Orders(Job):
        @before_perform
        def check(self, order_id: int) -> None: ...

    class Good(Orders):
        def perform(self, order_id: int) -> None: ...

    with pytest.raises(InvalidJob, match=r"Bad.check\(order_id.*perform\(a.*, b"):

        class Bad(Orders):
            def perform(self, a: int, b: int) -> None: ...

    assert registry.find("Good") is Good
    assert registry.find("Bad") is None


@pytest.mark.parametrize("kind", ["before_perform", "on_failure", "after_enqueue"])
def test_a_method_that_only_has_the_name_of_a_callback_is_refused(kind: str) -> None:
    body = {kind: nothing, "perform": nothing, "__module__": __name__}
    with pytest.raises(InvalidJob, match=f"Named.{kind} would not be called for its name"):
        type("Named", (Job,), body)


def test_a_callback_may_have_the_name_of_its_decorator() -> None:
    class Named(Job):
        @jobd.on_failure
        def on_failure(self, error: BaseException) -> None:
            RAN.append(str(error))

        def perform(self) -> None:
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        run(Named)
    assert RAN == ["bad"]


def test_perform_itself_is_no_callback() -> None:
    with pytest.raises(InvalidJob, match="perform is what callbacks are called around"):

        class Odd(Job):
            @before_perform
            def perform(self) -> None: ...


def test_functions_have_no_callbacks_and_the_refusal_says_so() -> None:
    with pytest.raises(InvalidJob, match=r"on_failure is no option.*a function could be rewritten"):

        @job(on_failure=print)
        def lonely() -> None: ...

    with pytest.raises(InvalidJob, match="decorates methods of a job class"):

        @before_perform
        @job
        def lonelier() -> None: ...
