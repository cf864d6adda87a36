"""Iterable jobs where they are defined and pushed, and without a server; in one: see worker/."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

import jobd.testing
from jobd import InvalidArguments, InvalidJob, IterableJob, Job
from jobd.jobs import registry

LOG: list[Any] = []


class Import(IterableJob):
    """Knows its arguments."""

    queue = "low"

    def build_enumerator(self, cursor: int | None, table: str, /, limit: int = 2) -> Any:
        yield from ((f"{table} {n}", n) for n in range(cursor or 0, limit))

    def each_iteration(self, row: str, *given: Any) -> None:
        LOG.append((row, self.cursor, self.current_item, given))
        assert given == self.arguments


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    LOG.clear()
    before = registry.names()
    yield
    for name in set(registry.names()) - set(before):
        registry.forget(name)


def refused(**methods: Any) -> str:
    """Why a class with these methods is refused."""
    with pytest.raises(InvalidJob) as caught:
        type("Odd", (IterableJob,), methods)
    return str(caught.value)


def build(self: object, cursor: object, one: int, two: int = 2) -> Any: ...


def each(self: object, item: object) -> None: ...


# Definition


def test_the_arguments_are_those_of_the_enumerator_after_the_cursor(jobd_fake: None) -> None:
    Import.perform_async("users", limit=5)
    Import.perform_async("users")
    assert [payload["args"] for payload in Import.jobs] == [["users", 5], ["users"]]
    assert Import.jobs[0]["queue"] == "low"
    with pytest.raises(
        InvalidArguments, match=r'Import\.perform\(table: str, /, limit.*missing "table"'
    ):
        Import.perform_async()  # type: ignore[call-arg]


def test_perform_shows_these_arguments() -> None:
    assert list(inspect.signature(Import.perform).parameters) == ["self", "table", "limit"]


def test_the_class_to_derive_from_is_no_job() -> None:
    assert registry.find("IterableJob") is None
    with pytest.raises(InvalidJob, match="IterableJob is a base"):
        IterableJob.perform_async()  # type: ignore[misc]


def test_a_base_is_no_job_and_what_derives_from_it_inherits(jobd_fake: None) -> None:
    class ApplicationIterable(IterableJob):
        save_every = 2
        retry = 3

    class Concrete(ApplicationIterable, max_iteration_runtime=60):
        build_enumerator = build
        each_iteration = each

    with pytest.raises(InvalidJob, match="ApplicationIterable is a base"):
        ApplicationIterable.perform_async()  # type: ignore[call-arg]
    assert (Concrete.save_every, Concrete.max_iteration_runtime) == (2, 60)
    assert Concrete.wire_options() == {"retry": 3}
    assert registry.find("Concrete") is Concrete
    assert registry.find("ApplicationIterable") is None


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "perform": (
        {"perform": lambda self: None},
        "Odd.perform: an iterable job has build_enumerator and each_iteration instead",
    ),
    "no each_iteration": ({"build_enumerator": build}, "Odd has no each_iteration"),
    "no cursor": (
        {"build_enumerator": lambda self: (), "each_iteration": each},
        "it is called with the cursor, and then the arguments of the job",
    ),
    "a keyword cursor": (
        {"build_enumerator": lambda self, *, cursor: (), "each_iteration": each},
        "write (self, cursor, ...)",
    ),
    "too few": (
        {"build_enumerator": build, "each_iteration": lambda self, item, one: None},
        "let it take those, *args, or the item alone",
    ),
    "no item": (
        {"build_enumerator": build, "each_iteration": lambda self: None},
        "it is called with the item",
    ),
    "a generator": (
        {"build_enumerator": build, "each_iteration": lambda self, item: (yield item)},
        "Odd.each_iteration is a generator",
    ),
    "save_every": ({"save_every": 0}, "Odd.save_every: seconds above 0, not 0"),
    "max_iteration_runtime": (
        {"max_iteration_runtime": "60"},
        "Odd.max_iteration_runtime: seconds above 0, not '60'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_definition_is_told_there(mistake: str) -> None:
    methods, told = MISTAKES[mistake]
    assert told in refused(**methods)


@pytest.mark.parametrize(
    "method",
    [
        *("build_enumerator", "each_iteration", "around_iteration"),
        *("on_start", "on_resume", "on_stop", "on_cancel", "on_complete"),
    ],
)
def test_methods_that_nobody_would_await_are_refused(method: str) -> None:
    async def coroutine(*_: object) -> None: ...

    async def generator(*_: object) -> Any:
        yield 1, 1

    for function in (coroutine, generator):
        methods = {"build_enumerator": build, "each_iteration": each, method: function}
        told = refused(**methods)
        assert told.startswith(f"Odd.{method} is async, which no iterable job is: write a plain")


# Without a server


def test_inline_it_goes_through_everything(jobd_fake: None) -> None:
    Import.perform_inline("users")
    assert LOG == [
        ("users 0", 0, "users 0", ("users",)),
        ("users 1", 1, "users 1", ("users",)),
    ]


def test_a_test_drains_it_like_any_job(jobd_fake: None) -> None:
    Import.perform_async("users", limit=1)
    assert Import.drain() == 1
    assert [row for row, *_ in LOG] == ["users 0"]


class Hooked(IterableJob):
    """Writes down what is called; does as it is told."""

    items: ClassVar[Any] = [("a", 1), ("b", 2), ("c", 3)]
    told: ClassVar[Callable[["Hooked", str], object]] = staticmethod(lambda job, item: None)

    def build_enumerator(self, _cursor: int | None) -> Any:
        return self.items

    def each_iteration(self, item: str) -> None:
        LOG.append(item)
        type(self).told(self, item)

    def around_iteration(self, proceed: Callable[[], object]) -> None:
        LOG.append("(")
        proceed()
        LOG.append(")")

    def on_start(self) -> None:
        LOG.append("start")

    def on_stop(self) -> None:
        LOG.append("stop")

    def on_complete(self) -> None:
        LOG.append("complete")

    @jobd.before_perform
    def before(self) -> None:
        LOG.append("before")


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch, jobd_fake: None) -> Callable[..., list[Any]]:
    def run(**attributes: Any) -> list[Any]:
        for name, value in attributes.items():
            monkeypatch.setattr(Hooked, name, staticmethod(value) if callable(value) else value)
        Hooked.perform_inline()
        return LOG

    return run


def test_hooks_are_called_around_the_run_and_around_each_item(hooked: Any) -> None:
    wrapped = [part for item in "abc" for part in ("(", item, ")")]
    assert hooked() == ["before", "start", *wrapped, "stop", "complete"]


def test_it_may_finish_early(hooked: Any) -> None:
    log = hooked(told=lambda job, item: job.finish())
    assert log == ["before", "start", "(", "a", ")", "stop", "complete"]


def test_giving_way_where_nobody_else_is_changes_nothing(hooked: Any) -> None:
    log = hooked(told=lambda job, item: job.give_way())
    assert [part for part in log if part in "abc"] == ["a", "b", "c"]


def test_what_an_item_raises_ends_the_run(hooked: Any) -> None:
    def fail(job: Hooked, item: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        hooked(told=fail)
    assert LOG == ["before", "start", "(", "a", "stop"]


def test_no_enumerator_is_nothing_to_do(hooked: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert hooked(items=None) == ["before"]
    assert "build_enumerator returned None: there is nothing to do" in caplog.text


@pytest.mark.parametrize("items", [5, ["a", "b"], [("a", 1, 2)], [None]], ids=repr)
def test_what_is_no_enumerator_is_told(items: Any, hooked: Any) -> None:
    with pytest.raises(InvalidJob, match=r"Hooked\.build_enumerator gave .* it gives pairs"):
        hooked(items=items)


def test_a_cursor_that_cannot_be_saved_is_told_before_anything_is_done(hooked: Any) -> None:
    with pytest.raises(InvalidArguments, match=r"cursor is a tuple"):
        hooked(items=[("a", (1, 2))])
    assert "a" not in LOG


def test_an_error_of_an_enumerator_is_not_mistaken_for_ours(hooked: Any) -> None:
    def items() -> Iterator[tuple[str, int]]:
        yield "a", 1
        raise TypeError("in the query")

    with pytest.raises(TypeError, match="in the query"):
        hooked(items=items())


def test_a_generator_is_closed_at_once(hooked: Any) -> None:
    def items() -> Iterator[tuple[str, int]]:
        try:
            yield "a", 1
            yield "b", 2
        finally:
            LOG.append("closed")

    log = hooked(items=items(), told=lambda job, item: job.finish())
    assert log[-1] == "closed"


def test_outside_of_a_run_each_iteration_can_be_called_like_any_method() -> None:
    Import().each_iteration("users 0")
    job = Hooked()
    job.finish()
    assert (LOG, job.cursor, job.cancelled) == ([("users 0", None, None, ())], None, False)


def test_an_ordinary_job_has_nothing_of_it() -> None:
    assert Job.__callbacks__ is None
    assert IterableJob.__callbacks__ is None
