"""Where the example keeps its file and which ports it uses; all of it from the environment.

    DAILY_MOOD_DIR         var/ beside this file: holds daily_mood.db
    DAILY_MOOD_PORT        8000: the web app
    DAILY_MOOD_SMTP_PORT   1025: the catcher
    DAILY_MOOD_SECONDS     5: how long a mail takes to send

Everything listens on 127.0.0.1 only.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One reading of the environment."""

    directory: Path
    web_port: int
    smtp_port: int
    mail_takes_s: float

    @property
    def web_url(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.web_port}"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings, at the moment of use: importing a job must not depend on them.

    Raises:
        ValueError: a port or a time is no number; the message names the variable.
    """
    if environ is None:
        environ = os.environ  # noqa: TID251 - the example is an app, it has its own settings
    return Settings(
        directory=Path(environ.get("DAILY_MOOD_DIR") or Path(__file__).parent / "var"),
        web_port=_port(environ, "DAILY_MOOD_PORT", default=8000),
        smtp_port=_port(environ, "DAILY_MOOD_SMTP_PORT", default=1025),
        mail_takes_s=_seconds(environ, "DAILY_MOOD_SECONDS", default=5.0),
    )


def _port(environ: Mapping[str, str], name: str, *, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f'{name}="{text}": a port is a number from 1 to 65535')
    return int(text)


def _seconds(environ: Mapping[str, str], name: str, *, default: float) -> float:
    text = environ.get(name) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise ValueError(f'{name}="{text}": seconds are a number from 0 to 3600')
    return seconds
