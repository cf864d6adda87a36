"""What Python's logging says comes out as our lines."""

import io
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

import pytest

from jobd import log
from tests.logs.parts import Written, failure


@pytest.fixture
def logger(written: Written) -> Iterator[logging.Logger]:
    written.use("logfmt")
    logger = logging.getLogger("shop.orders")
    logger.handlers, logger.propagate = [log.Handler(written.log)], False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers, logger.propagate = [], True


def test_logging_comes_out_as_our_lines_with_the_job_and_the_extra(
    written: Written, logger: logging.Logger, job: None
) -> None:
    logger.warning("mood %s is late", "happy", extra={"order": 7})
    assert written.lines == [
        (
            'ts=2027-01-15T08:00:00.000Z level=warning pid=42 msg="mood happy is late" '
            "class=MoodSenderJob jid=0123456789abcdef01234567 queue=mailers order=7 "
            "logger=shop.orders"
        )
    ]


def test_a_logged_exception_has_its_stack(written: Written, logger: logging.Logger) -> None:
    logger.error("could not send", exc_info=failure())
    assert "ValueError: no such mood" in written.text
    assert len(written.lines) == 1


def test_a_message_that_cannot_be_formatted_is_named_and_raises_nothing(
    written: Written, logger: logging.Logger
) -> None:
    record = logger.makeRecord("shop.orders", 20, "app.py", 7, "%d moods", ("many",), None)
    log.Handler(written.log).emit(record)
    assert 'msg="a log message could not be formatted" logger=shop.orders' in written.text
    assert "line=app.py:7 reason=TypeError" in written.text


@pytest.mark.parametrize(
    ("number", "level"), [(5, "debug"), (25, "info"), (30, "warning"), (99, "fatal")]
)
def test_levels_between_ours_go_down(
    written: Written, logger: logging.Logger, number: int, level: str
) -> None:
    logger.setLevel(1)
    written.use("logfmt", level="debug")
    logger.log(number, "hello")
    assert f"level={level} " in written.text


def test_the_root_logger_is_taken_only_if_the_app_left_it_alone(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    theirs = logging.NullHandler()
    monkeypatch.setattr(root, "handlers", [theirs])
    written.log.capture_logging()
    assert root.handlers == [theirs]
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    written.log.capture_logging()
    assert [type(handler) for handler in root.handlers] == [log.Handler]


@pytest.mark.parametrize(
    ("stream", "level", "comes_out"),
    [
        (sys.__stderr__, logging.INFO, False),
        (sys.__stderr__, logging.ERROR, True),
        (io.StringIO(), logging.INFO, True),
    ],
    ids=["printed by the app", "too low for the app", "kept by the app"],
)
def test_what_a_logger_of_the_app_prints_does_not_come_out_twice(
    written: Written, monkeypatch: pytest.MonkeyPatch, stream: TextIO, level: int, comes_out: bool
) -> None:
    theirs = logging.StreamHandler(stream)
    theirs.setLevel(level)
    app, inside = logging.getLogger("app"), logging.getLogger("app.inside")
    monkeypatch.setattr(app, "handlers", [theirs])
    record = inside.makeRecord(inside.name, logging.INFO, __file__, 1, "hello", (), None)
    log.Handler(written.log).handle(record)
    assert ("hello" in written.text) is comes_out
