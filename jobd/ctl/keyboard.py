"""Single keys from a terminal, without waiting for a line or for longer than is wanted."""

import os
import re
import termios
import tty
from types import TracebackType
from typing import Any, Final, Self

from jobd.wait import HasFileno, wait_readable

_NAMES: Final = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\t": "tab",
    "\x1b[Z": "tab",
    "\x1b": "escape",
}
_KEY: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|.", re.DOTALL)


class Keyboard:
    """A terminal that tells each key at once; use it in ``with``, which puts all back.

    Args:
        terminal: for reading; stdin.
    """

    def __init__(self, terminal: HasFileno) -> None:
        self._terminal = terminal
        self._fd = terminal.fileno()
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def keys(self, longest_s: float) -> list[str]:
        """What was pressed: letters as they are, others as ``up``, ``down``, ``tab``, ``escape``.

        Raises:
            EOFError: the terminal is gone.
        """
        if not wait_readable([self._terminal], longest_s):
            return []
        typed = os.read(self._fd, 256)
        if not typed:
            raise EOFError
        keys: list[str] = _KEY.findall(typed.decode(errors="ignore"))
        return [_NAMES.get(key, key) for key in keys]
