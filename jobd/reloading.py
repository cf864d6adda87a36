"""``jobd --reload``: in development, a server that is started anew whenever its code has changed.

This process only watches; the server is a child with the same flags. A server that cannot start,
since the change has a mistake, is started again after the next one.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from jobd import log
from jobd.errors import ConfigError
from jobd.signals import SignalInbox

_TICK_MS: Final = 200
_SUFFIXES: Final = (".yml", ".yaml")
_ENDS: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP})


def serve_and_reload(flags: Sequence[str], directory: Path) -> int:
    """Run a server with these flags until told to stop; its exit status.

    Args:
        flags: of the server.
        directory: with all below it, where Python files and settings are watched.

    Raises:
        ConfigError: what it takes is not installed.
    """
    try:
        import watchfiles  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(['--reload needs pip install "jobd-server[reload]"']) from None
    inbox = SignalInbox(_ENDS)
    inbox.open()
    server = _Server(flags)
    changes = watchfiles.watch(
        directory,
        watch_filter=watchfiles.PythonFilter(extra_extensions=_SUFFIXES),
        rust_timeout=_TICK_MS,
        yield_on_timeout=True,
        raise_interrupt=False,
    )
    server.start()
    for changed in changes:
        if arrived := inbox.take():
            # Ctrl-C has reached the server already, and a second one would have it hurry.
            return server.stop(signal.SIGQUIT if signal.SIGQUIT in arrived else signal.SIGTERM)
        if changed:
            server.restart(sorted(_shown(path, directory) for _, path in changed))
        elif (status := server.status()) == 0:
            return status  # somebody else has stopped it
    return server.stop(signal.SIGTERM)


class _Server:
    """The child."""

    def __init__(self, flags: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", "jobd", *flags]
        self._process: Any = None
        self._is_told = False

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)  # noqa: S603 - our own flags
        self._is_told = False

    def restart(self, changed: Sequence[str]) -> None:
        log.event("changed; the server is started anew", files=" ".join(changed))
        self.stop(signal.SIGTERM)
        self.start()

    def status(self) -> int | None:
        """Of a server that has left; None while it runs."""
        status: int | None = self._process.poll()
        if status and not self._is_told:
            self._is_told = True
            log.event(
                "the server has left; it is started anew after the next change", status=status
            )
        return status

    def stop(self, number: signal.Signals) -> int:
        """Pass a signal on and wait for what the server has to finish; its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        status: int = self._process.wait()
        return status


def _shown(path: str, directory: Path) -> str:
    found = Path(path)
    return str(found.relative_to(directory)) if found.is_relative_to(directory) else path
