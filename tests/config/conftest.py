"""Fixtures for the tests of the settings."""

from pathlib import Path
from typing import Any

import pytest

from jobd.config import (
    Config,
    Flags,
    load,
)
from jobd.errors import ConfigError
from tests.config.settled import Environ, Load, Problems


@pytest.fixture
def settle(tmp_path: Path) -> Load:
    """Loads the text as jobd.yml of an empty directory; without a text there is no file."""

    def loaded(text: str | None = None, environ: Environ | None = None, **flags: Any) -> Config:
        if text is not None:
            (tmp_path / "jobd.yml").write_text(text)
        return load(Flags(**flags), environ or {}, tmp_path)

    return loaded


@pytest.fixture
def problems(settle: Load) -> Problems:
    """Like settle, for what must be refused: the sentences."""

    def refused(text: str | None = None, environ: Environ | None = None, **flags: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            settle(text, environ, **flags)
        return list(caught.value.problems)

    return refused
