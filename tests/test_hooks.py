"""The application's code at events, errors and deaths."""

from asyncio import CancelledError
from typing import Any, NoReturn

import pytest

from jobd.errors import ConfigError, JobInterrupted
from jobd.hooks import Event, Hooks


def fail(*args: Any) -> NoReturn:
    raise ValueError("from a hook")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def recording(event: Event) -> tuple[Hooks, list[str]]:
    """Hooks with three functions at an event, the second of which raises."""
    hooks, ran = Hooks(), list[str]()
    hooks.on(event, lambda: ran.append("first"))
    hooks.on(event, fail)
    hooks.on(event, lambda: ran.append("last"))
    return hooks, ran


@pytest.mark.parametrize(
    ("event", "order"),
    [
        ("quiet", ["last", "first"]),
        ("shutdown", ["last", "first"]),
        ("exit", ["last", "first"]),
        ("beat", ["first", "last"]),
        ("fork", ["first", "last"]),
    ],
)
def test_a_function_that_raises_does_not_keep_the_others_from_running(
    event: Event, order: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    hooks, ran = recording(event)
    hooks.fire(event)
    assert ran == order
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("jobd", "fail raised, and was ignored")
    ]
    assert "from a hook" in caplog.text


def test_a_function_that_nobody_would_await_is_refused_or_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def later(*_: object) -> None: ...

    hooks = Hooks()
    with pytest.raises(TypeError, match=r"later is async: nothing would await it"):
        hooks.on("beat", later)
    hooks.error_handlers.append(later)
    hooks.report_error(ValueError(), {})
    assert "is async: nothing would await it; write it with plain def" in caplog.text


def test_startup_runs_in_order_and_may_abort_the_boot() -> None:
    hooks, ran = recording("startup")
    with pytest.raises(ValueError, match="from a hook"):
        hooks.fire("startup")
    assert ran == ["first"]


def test_an_event_without_functions_is_no_event() -> None:
    Hooks().fire("exit")


def test_an_event_may_happen_again() -> None:
    hooks, ran = recording("beat")
    hooks.fire("beat")
    hooks.fire("beat")
    assert ran == ["first", "last"] * 2


@pytest.mark.parametrize(
    ("event", "hint"),
    [("start", "did you mean"), ("shutdwn", 'did you mean "shutdown"'), ("x", "")],
)
def test_an_unknown_event_is_refused_with_those_there_are(event: Any, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"no event.*startup, quiet, shutdown.*{hint}"):
        Hooks().on(event, fail)


def test_call_returns_what_the_function_returns() -> None:
    assert Hooks().call(int, "7") == 7


def test_call_returns_the_default_where_the_function_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert Hooks().call(fail, 1, 2, default="usual") == "usual"
    assert "fail raised" in caplog.text


def test_an_error_without_a_text_is_survived(caplog: pytest.LogCaptureFixture) -> None:
    def unprintable() -> None:
        raise Unprintable

    assert Hooks().call(unprintable) is None
    assert "unprintable raised" in caplog.text


def test_a_callable_without_a_name_is_named_by_its_type(caplog: pytest.LogCaptureFixture) -> None:
    class Handler:
        def __call__(self) -> None:
            raise ValueError

    Hooks().call(Handler())
    assert "Handler raised" in caplog.text


@pytest.mark.parametrize("leaving", [SystemExit(3), KeyboardInterrupt(), CancelledError()])
def test_a_function_that_wants_to_leave_does_not_end_the_server(
    leaving: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def leave() -> None:
        raise leaving

    assert Hooks().call(leave, default="went on") == "went on"
    assert "leave raised" in caplog.text


def test_a_stop_ends_what_is_called_in_a_job_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def stop() -> None:
        raise JobInterrupted

    with pytest.raises(JobInterrupted):
        Hooks.call_in_job(stop)
    assert not caplog.text
    assert Hooks.call(stop, default=7) == 7
    assert "stop raised, and was ignored" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_whatever_else_is_raised_in_a_job_s_callback_is_logged(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def leave(text: str) -> None:
        raise error(text)

    Hooks.call_in_job(leave, "now")
    assert "leave raised, and was ignored" in caplog.text


def test_every_error_handler_is_told_and_every_death_handler_too() -> None:
    hooks, told = Hooks(), list[Any]()
    error = KeyError("x")
    hooks.error_handlers.append(fail)
    hooks.error_handlers.append(lambda error, context: told.append((error, context)))
    hooks.death_handlers.append(fail)
    hooks.death_handlers.append(lambda payload, error: told.append((payload, error)))
    hooks.report_error(error, {"context": "test"})
    hooks.report_death({"jid": "7"}, error)
    assert told == [(error, {"context": "test"}), ({"jid": "7"}, error)]
