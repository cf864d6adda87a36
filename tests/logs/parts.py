"""What these tests write with, and evil values."""

import os
from dataclasses import dataclass
from pathlib import Path

from jobd import log
from tests.support.clock import FakeClock

EVIL = 'x\n2027-01-15T08:00:00.000Z pid=1 INFO   forged\x1b[31m "quoted" \\ \u2028 \udc80'


@dataclass
class Settings:
    """As ``config.LogSettings``."""

    format: str = "logfmt"
    file: str | None = None
    level: str = "info"


class Written:
    """A log that writes to a file, and what it has written."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.log = log.Log(self.fd, clock)
        self.log.pid = 42

    def use(self, form: str, level: str = "info") -> log.Log:
        self.log.use(Settings(form, level=level))
        return self.log

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def complain(text: str) -> None:
    raise ValueError(text)


def failure(text: str = "no such mood") -> ValueError:
    """An error that has been raised, and so has a stack."""
    try:
        complain(text)
    except ValueError as error:
        return error
    raise AssertionError
