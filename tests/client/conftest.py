"""A store that remembers."""

import pytest

from tests.support.recording_store import RecordingStore


@pytest.fixture
def store() -> RecordingStore:
    return RecordingStore()
