"""What users write: classes and functions that are jobs."""

import abc
import importlib
import importlib.util
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any, Generic

import pytest

import jobd
from jobd import InvalidArguments, InvalidJob, Job, job
from jobd.app import App
from jobd.jobs import registry
from jobd.middleware import ClientCall, ServerCall
from jobd.payload import Payload
from tests.jobs.parts import RAN, ApplicationJob, MoodMailJob, Parrot, T, add
from tests.support.recording_store import RecordingStore

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

    assert "tests.jobs.parts.Parrot" in str(caught.value)
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
