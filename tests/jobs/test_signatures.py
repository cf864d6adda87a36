"""What ``perform`` may look like, and how arguments are bound to it."""

import functools
from collections.abc import Iterator
from typing import Any

import pytest

from jobd import InvalidArguments, InvalidJob, Job, job
from jobd.jobs import registry
from tests.jobs.parts import RAN, MoodMailJob, Parrot, add
from tests.support.recording_store import RecordingStore

# what perform may look like


def keyword_only(self: Any, a: int, *, b: int = 0) -> None: ...
async def asynchronous(self: Any) -> None: ...
def generator(self: Any) -> Iterator[int]:
    yield 1


def selfless() -> None: ...


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (keyword_only, r"Bad\.perform\(a: int, \*, b: int = 0\): b is keyword-only.*before the \*"),
        (generator, r"Bad\.perform is a generator.*remove yield"),
        (selfless, "is self missing"),
        ("text", "must be a method, not 'text'"),
    ],
)
def test_a_perform_that_could_never_run_is_refused_at_the_definition(
    function: Any, says: str
) -> None:
    with pytest.raises(InvalidJob, match=says):
        type("Bad", (Job,), {"perform": function})
    assert registry.find("Bad") is None


def test_static_and_class_methods_may_perform(store: RecordingStore) -> None:
    class Static(Job):
        @staticmethod
        def perform(x: int) -> None:
            RAN.append(("static", x))

    class Classy(Job):
        @classmethod
        def perform(cls, x: int) -> None:
            RAN.append((cls.__name__, x))

    Static.perform_inline(1)
    Classy.perform_inline(x=2)
    assert RAN == [("static", 1), ("Classy", 2)]


def test_a_decorated_perform_keeps_its_signature(store: RecordingStore) -> None:
    def shout(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    class Decorated(Job):
        @shout
        def perform(self, x: int, y: int) -> None: ...

    with pytest.raises(
        InvalidArguments, match=r'Decorated\.perform\(x: int, y: int\): missing "y"'
    ):
        Decorated.perform_async(1)


def test_hooks_that_do_not_take_what_they_are_given_are_refused_at_the_definition() -> None:
    with pytest.raises(InvalidJob, match=r"Hasty.retry_in.*: .* \(count, error, payload\)"):

        class Hasty(Job):  # pyright: ignore[reportUnusedClass]
            @classmethod
            def retry_in(cls, count: Any) -> None: ...  # type: ignore[override]

    with pytest.raises(InvalidJob, match=r"lone.*: it is called with \(payload, error\)"):
        job(retries_exhausted=lambda payload: None)(lone)
    with pytest.raises(InvalidJob, match=r"lone.retry_in is async"):
        job(retry_in=asynchronous)(lone)
    job(retry_in=lambda *_: 60, retries_exhausted=lambda payload, error, more=0: None)(lone)
    registry.forget("lone")


def lone() -> None: ...


def test_an_init_with_arguments_is_refused_at_the_definition() -> None:
    with pytest.raises(InvalidJob, match=r"makes instances without arguments, missing.*'mailer'"):

        class Needy(Job):  # pyright: ignore[reportUnusedClass]
            def __init__(self, mailer: object) -> None: ...

            def perform(self) -> None: ...


@pytest.mark.parametrize("hook", ["retry_in", "retries_exhausted"])
def test_a_class_hook_that_is_no_classmethod_is_refused(hook: str) -> None:
    with pytest.raises(InvalidJob, match=f"{hook} must be a @classmethod"):
        type("Hooked", (Job,), {hook: selfless})


def test_the_hooks_of_a_job_decide_nothing_unless_overridden() -> None:
    assert Parrot.retry_in(0, ValueError(), {}) is None
    assert Parrot.retries_exhausted({}, ValueError()) is None


def test_keywords_that_perform_swallows_cannot_be_pushed() -> None:
    class Swallowing(Job):
        def perform(self, x: int, **more: int) -> None: ...

    assert Swallowing.bind_arguments([], {"x": 1}) == [1]
    with pytest.raises(InvalidArguments, match='has no parameter "y" that a keyword could fill'):
        Swallowing.bind_arguments([1], {"y": 2})


def test_annotations_that_are_only_for_type_checkers_do_no_harm() -> None:
    class Forward(Job):
        def perform(self, x: "NotImported") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert Forward.bind_arguments([], {"x": 1}) == [1]


@pytest.mark.parametrize(
    ("decorated", "says"),
    [
        (keyword_only, r"keyword_only\(self: .*b is keyword-only"),
        (generator, "generator is a generator"),
        (Parrot, "should derive from jobd.Job"),
        (5, "should derive from jobd.Job"),
    ],
)
def test_what_cannot_be_a_job_is_refused_by_the_decorator(decorated: Any, says: str) -> None:
    with pytest.raises(InvalidJob, match=says):
        job(decorated)


# binding


@pytest.mark.parametrize(
    ("args", "kwargs", "positions"),
    [
        ((1,), {}, [1]),
        ((1, 5), {}, [1, 5]),
        ((), {"x": 1}, [1]),
        ((1,), {"y": 5}, [1, 5]),
        ((1,), {"z": 9}, [1, 2, 9]),
        ((), {"z": 9, "x": 1}, [1, 2, 9]),
    ],
)
def test_keyword_arguments_become_positions_and_defaults_fill_only_gaps(
    args: tuple[int, ...], kwargs: dict[str, int], positions: list[int]
) -> None:
    assert add.job_class.bind_arguments(args, kwargs) == positions


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, r'^add\(x: int, y: int = 2, z: int = 3\): missing "x"$'),
        ((), {"z": 1}, 'missing "x"'),
        ((1, 2, 3, 4), {}, "takes 3 arguments, but 4 were given"),
        ((1,), {"w": 1}, 'has no parameter "w"'),
        ((1,), {"x": 1}, 'got "x" twice'),
    ],
)
def test_arguments_that_do_not_fit_raise_at_the_push_showing_the_signature(
    store: RecordingStore, args: Any, kwargs: Any, says: str
) -> None:
    with pytest.raises(InvalidArguments, match=says):
        add.perform_async(*args, **kwargs)
    assert store.writes == []


def test_a_wrong_push_is_a_type_error_and_a_value_error() -> None:
    with pytest.raises(TypeError):
        add.job_class.bind_arguments([], {})
    with pytest.raises(ValueError, match="missing"):
        add.job_class.bind_arguments([], {})


def test_a_positional_only_parameter_takes_no_keyword() -> None:
    with pytest.raises(InvalidArguments, match='has no parameter "email" that a keyword could'):
        MoodMailJob.bind_arguments([], {"email": "a"})
    assert MoodMailJob.bind_arguments(["a"], {"urgent": True}) == ["a", "happy", True]


def test_any_number_of_arguments_fits_a_variadic_perform() -> None:
    assert Parrot.bind_arguments([1, 2, 3], {}) == [1, 2, 3]
