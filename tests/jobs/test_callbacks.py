"""What a job's class has called around perform and after a push."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from jobd import (
    Job,
    JobInterrupted,
    after_perform,
    around_perform,
    before_perform,
    on_failure,
)
from jobd.app import App
from jobd.payload import Payload
from tests.jobs.parts import RAN, run
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.recording_store import RecordingStore
from tests.support.servers import Raw

Proceed = Callable[[], object]


class Base(Job):
    """Says what is called."""

    @before_perform
    def before_a(self) -> None:
        RAN.append("base before a")

    @before_perform
    def before_b(self) -> None:
        RAN.append("base before b")

    @around_perform
    def around(self, proceed: Proceed) -> None:
        RAN.append("base around begins")
        proceed()
        RAN.append("base around ends")

    @after_perform
    def after_a(self) -> None:
        RAN.append("base after a")

    @after_perform
    def after_b(self) -> None:
        RAN.append("base after b")

    @on_failure
    def failed(self, error: BaseException) -> None:
        RAN.append(f"base failed: {error}")


class Derived(Base):
    @before_perform
    def derived_before(self) -> None:
        RAN.append("derived before")

    @around_perform
    def derived_around(self, proceed: Proceed) -> None:
        RAN.append("derived around begins")
        proceed()
        RAN.append("derived around ends")

    @after_perform
    def derived_after(self) -> None:
        RAN.append("derived after")

    @on_failure
    def derived_failed(self, error: BaseException) -> None:
        RAN.append(f"derived failed: {error}")

    def perform(self, problem: str = "") -> None:
        RAN.append("perform")
        if problem:
            raise ValueError(problem)


# Order


def test_a_base_is_first_on_the_way_in_and_last_on_the_way_out() -> None:
    run(Derived)
    assert RAN == [
        "base before a",
        "base before b",
        "derived before",
        "base around begins",
        "derived around begins",
        "perform",
        "derived around ends",
        "base around ends",
        "derived after",
        "base after b",
        "base after a",
    ]


def test_a_failure_is_told_from_the_class_up_to_its_base_and_nothing_is_after_it() -> None:
    with pytest.raises(ValueError, match="bad"):
        run(Derived, "bad")
    assert RAN[-4:] == [
        "derived around begins",
        "perform",
        "derived failed: bad",
        "base failed: bad",
    ]


def test_an_overridden_callback_keeps_its_place_and_without_the_decorator_is_none() -> None:
    class Overriding(Derived):
        @before_perform
        def before_a(self) -> None:
            super().before_a()
            RAN.append("overridden")

        def before_b(self) -> None:
            RAN.append("never")

        around = derived_around = None

        def perform(self) -> None:
            RAN.append("perform")

    run(Overriding)
    assert RAN[:4] == ["base before a", "overridden", "derived before", "perform"]


def test_a_mixin_brings_callbacks() -> None:
    class Audited:
        @before_perform
        def audit(self, *args: Any) -> None:
            RAN.append(args)

    class Payment(Audited, Job):
        def perform(self, order_id: int) -> None: ...

    run(Payment, 7)
    assert RAN == [(7,)]


def test_one_method_may_be_two_callbacks_and_stay_a_method() -> None:
    class Both(Job):
        @before_perform
        @after_perform
        def note(self) -> None:
            RAN.append("note")

        def perform(self) -> None:
            RAN.append("perform")

    run(Both)
    Both().note()
    assert RAN == ["note", "perform", "note", "note"]


def test_a_decorator_of_ones_own_may_stand_above_or_below() -> None:
    def loud(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any) -> Any:
            RAN.append("loud")
            return method(*args)

        return call

    class Loud(Job):
        @loud
        @before_perform
        def above(self) -> None:
            RAN.append("above")

        @before_perform
        @loud
        def below(self) -> None:
            RAN.append("below")

        def perform(self) -> None: ...

    run(Loud)
    assert RAN == ["loud", "above", "loud", "below"]


# What they are given


def test_all_of_performs_arguments_or_none_follow_a_callbacks_own() -> None:
    class Arguments(Job):
        @before_perform
        def before(self, x: int, y: int = 5) -> None:
            RAN.append(("before", x, y))

        @around_perform
        def around(self, proceed: Proceed, *args: int) -> None:
            RAN.append(("around", args))
            proceed()

        @after_perform
        def after(self, *args: int) -> None:
            RAN.append(("after", args, self.jid))

        @on_failure
        def failed(self, error: BaseException, *args: int) -> None:
            RAN.append(("failed", str(error), args))

        def perform(self, x: int, y: int = 2) -> None:
            if x < 0 < y:
                raise ValueError("negative")

    run(Arguments, 1)
    with pytest.raises(ValueError, match="negative"):
        run(Arguments, -1, 3)
    assert RAN == [
        ("before", 1, 5),
        ("around", (1,)),
        ("after", (1,), "7"),
        ("before", -1, 3),
        ("around", (-1, 3)),
        ("failed", "negative", (-1, 3)),
    ]


# What they may do


def test_before_stops_a_run_by_raising_which_is_a_failure() -> None:
    class Checked(Derived):
        @before_perform
        def check(self) -> None:
            raise PermissionError("not today")

    with pytest.raises(PermissionError):
        run(Checked)
    assert RAN[-2:] == ["derived failed: not today", "base failed: not today"]
    assert "perform" not in RAN


def test_around_skips_a_run_by_not_proceeding_and_nothing_is_after_it() -> None:
    class Skipped(Derived):
        @around_perform
        def skip(self, proceed: Proceed) -> None:
            RAN.append("skipped" if callable(proceed) else proceed)

    run(Skipped)
    assert RAN[-3:] == ["skipped", "derived around ends", "base around ends"]
    assert "perform" not in RAN


def test_around_may_swallow_an_error_which_is_then_neither_success_nor_failure() -> None:
    class Tolerant(Derived):
        @around_perform
        def tolerate(self, proceed: Proceed) -> None:
            try:
                proceed()
            except ValueError:
                RAN.append("swallowed")

    run(Tolerant, "bad")
    assert RAN[-3:] == ["swallowed", "derived around ends", "base around ends"]


def test_after_that_raises_fails_the_run() -> None:
    class Late(Derived):
        @after_perform
        def late(self) -> None:
            raise OSError("late")

    with pytest.raises(OSError, match="late"):
        run(Late)
    assert RAN[-3:] == ["base around ends", "derived failed: late", "base failed: late"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_every_error_is_a_failure_even_one_that_wants_to_leave(error: BaseException) -> None:
    class Leaving(Base):
        def perform(self) -> None:
            raise error

    with pytest.raises(type(error)):
        run(Leaving)
    assert RAN[-1] == f"base failed: {error}"


def test_a_failure_cannot_be_swallowed_nor_replaced(caplog: pytest.LogCaptureFixture) -> None:
    class Replacing(Derived):
        @on_failure
        def replace(self, error: BaseException) -> bool:
            raise KeyError("another") from error

    with pytest.raises(ValueError, match="bad"):
        run(Replacing, "bad")
    assert RAN[-2:] == ["derived failed: bad", "base failed: bad"]
    assert "Replacing.replace raised, and was ignored" in caplog.text


def test_an_interruption_is_no_failure_not_even_behind_another_error() -> None:
    class Interrupted(Base):
        def perform(self, is_wrapped: bool) -> None:
            try:
                raise JobInterrupted
            finally:
                if is_wrapped:
                    raise ValueError("while cleaning up")

    for is_wrapped, error in ((False, JobInterrupted), (True, ValueError)):
        with pytest.raises(error):
            run(Interrupted, is_wrapped)
    assert not [said for said in RAN if "failed" in said]


def test_an_interruption_ends_what_is_told_of_a_failure() -> None:
    class Slow(Base):
        @on_failure
        def slow(self, error: BaseException) -> None:
            raise JobInterrupted from error

        def perform(self) -> None:
            raise ValueError("bad")

    with pytest.raises(JobInterrupted):
        run(Slow)
    assert "base failed: bad" not in RAN


# Where they run


def test_they_run_inside_of_the_middleware_and_inline_too(store: RecordingStore, app: App) -> None:
    def outermost(running: Job, payload: Payload, proceed: Any) -> None:
        RAN.append("middleware begins")
        proceed(running, payload)
        RAN.append("middleware ends")

    app.server_middleware.add(outermost)
    Derived.perform_inline()
    assert (RAN[0], RAN[1]) == ("middleware begins", "base before a")
    assert (RAN[-2], RAN[-1]) == ("base after a", "middleware ends")


def test_a_plain_call_of_perform_calls_none() -> None:
    Derived().perform()
    assert RAN == ["perform"]


def test_a_job_without_callbacks_has_nothing_to_look_through() -> None:
    class Plain(Job):
        def perform(self) -> None:
            RAN.append("perform")

    run(Plain)
    assert (RAN, Plain.__callbacks__) == (["perform"], None)


SERVED = """
import jobd
from tests.support.sample_jobs import Hold, record


class Called(jobd.Job):
    @jobd.before_perform
    def before(self, *args):
        record("before", self.wire_name, self.jid, list(args))

    @jobd.after_perform
    def after(self):
        record("after", self.wire_name, self.jid, [])

    @jobd.on_failure
    def failed(self, error):
        record("failed", self.wire_name, self.jid, [str(error)])


class CalledHold(Called, Hold):
    pass


class CalledFail(Called):
    def perform(self, message):
        raise RuntimeError(message)
"""


@pytest.mark.redis
@pytest.mark.process
def test_a_server_calls_them_and_not_for_a_job_that_it_interrupts(
    raw: Raw, start_jobd: StartJobd
) -> None:
    jobd = start_jobd(jobs=SERVED, config={"concurrency": 2, "timeout": 1})
    failing = wire.push(raw, "CalledFail", "bad")
    eventually(lambda: wire.entries(raw, "retry"), message=jobd.log)
    for name in ("a", "b"):
        wire.push(raw, "CalledHold", name)
    eventually(lambda: len(jobd.ran("start")) == 2, message=jobd.log)
    jobd.release("a")
    eventually(lambda: jobd.ran("after"), message=jobd.log)

    assert jobd.stop() == 0

    assert [(run["jid"], run["args"]) for run in jobd.ran("failed")] == [(failing, ["bad"])]
    assert [run["args"] for run in jobd.ran("before")[1:]] in ([["a"], ["b"]], [["b"], ["a"]])
    assert len(jobd.ran("after")) == 1
    assert [job["args"] for job in wire.queued(raw)] == [["b"]]
