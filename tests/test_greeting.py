"""What a server says at its start; a hint must never be what keeps a worker from its work."""

import os
import pty
from typing import Annotated

import msgspec
import pytest
from msgspec.structs import replace

from jobd.config import Capsule, Config, QueueWeight, RedisSettings
from jobd.greeting import Hint, tell_where_the_log_is

SETTINGS = Config(
    environment="development",
    concurrency=1,
    timeout=1.0,
    capsules=(Capsule(name="default", concurrency=1, queues=(QueueWeight(name="default"),)),),
    redis=RedisSettings(),
    tag="",
)


@pytest.fixture
def hint() -> Hint:
    return Hint(SETTINGS)


def greet(name: str, times: Annotated[int, {"ge": 1}], ratio: float, loud: bool = False) -> None:
    """A job's perform, with an annotation that has no hash."""


def size(name: "str", ratio: float, loud: bool = False) -> None:
    """A job whose arguments can all be guessed; one annotation is a string."""


class LateAnnotations:
    """Evaluates its annotations when it is asked for them, as functions of Python 3.14 do."""

    def __call__(self) -> None:
        pass

    @property
    def __signature__(self) -> None:
        raise NameError("Mood")


def test_the_hint_has_an_example_for_each_argument_that_is_required(
    hint: Hint, capfd: pytest.CaptureFixture[str]
) -> None:
    hint.leave({"Größe": size, "Greet": greet})
    hint.show()
    assert capfd.readouterr().out.endswith("""push 'Größe' '["hello", 1.5]'\n""")


def test_a_pipe_full_of_hints_stops_no_worker(
    hint: Hint, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(5000):
        hint.leave({"Size": size})
    hint.show()
    assert capfd.readouterr().out.count("\n") == 1


def test_a_job_whose_annotations_cannot_be_evaluated_is_not_hinted_at(
    hint: Hint, capfd: pytest.CaptureFixture[str]
) -> None:
    hint.leave({"Late": LateAnnotations()})
    hint.show()
    assert capfd.readouterr().out == ""


def echo(*words: str) -> None:
    """As the example's Echo."""


def test_a_job_of_any_number_of_words_is_given_one(
    hint: Hint, capfd: pytest.CaptureFixture[str]
) -> None:
    hint.leave({"Echo": echo, "Size": size})
    hint.show()
    assert capfd.readouterr().out.endswith("""push Echo '["hello"]'\n""")


def test_the_hint_names_a_queue_that_is_served(
    hint: Hint, capfd: pytest.CaptureFixture[str]
) -> None:
    queues = (QueueWeight(name="high"), QueueWeight(name="low"))
    capsules = (Capsule(name="default", concurrency=1, queues=queues),)
    elsewhere = Hint(msgspec.structs.replace(hint._config, capsules=capsules))
    elsewhere.leave({"Size": size})
    elsewhere.show()
    assert capfd.readouterr().out.endswith("--queue high\n")


def test_whoever_starts_it_on_a_terminal_is_told_where_the_log_is() -> None:
    settings = replace(SETTINGS, log=replace(SETTINGS.log, file="/srv/shop/jobd.log"))
    reader, terminal = pty.openpty()
    kept = os.dup(2)
    os.dup2(terminal, 2)
    try:
        tell_where_the_log_is(SETTINGS)  # there is none besides the terminal
        tell_where_the_log_is(settings)
    finally:
        os.dup2(kept, 2)
    told = os.read(reader, 1000)
    for fd in (kept, terminal, reader):
        os.close(fd)
    assert told == b"jobd: the log is /srv/shop/jobd.log\r\n"


def test_where_there_is_no_terminal_nobody_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    tell_where_the_log_is(replace(SETTINGS, log=replace(SETTINGS.log, file="/srv/shop/jobd.log")))
    assert capfd.readouterr().err == ""
