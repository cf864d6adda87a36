"""A log that writes to a file, and a job that runs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd import log
from tests.logs.parts import Written
from tests.support.clock import FakeClock


@pytest.fixture
def written(tmp_path: Path, clock: FakeClock) -> Iterator[Written]:
    it = Written(tmp_path / "log", clock)
    yield it
    os.close(it.fd)


@pytest.fixture
def job() -> Iterator[None]:
    log.set_job("0123456789abcdef01234567", "MoodSenderJob", "mailers")
    yield
    log.clear_job()
