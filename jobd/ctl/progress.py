"""How far something long has come: one line, redrawn on a terminal, repeated elsewhere.

On stderr, so that an answer can be piped; never where a program asked for JSON.
"""

import sys
from types import TracebackType
from typing import Final, Self, TextIO

from jobd.api import Tally
from jobd.clock import Clock, SystemClock
from jobd.ctl.words import count_of, duration, width_of

_FIRST_S: Final = 0.5
_REDRAW_S: Final = 0.2
_REPEAT_S: Final = 3.0


class Progress:
    """Tells of jobs that are looked at, and of those that something is done to.

    Use it in ``with``: a redrawn line is wiped away at the end, before the answer.

    Args:
        doing: what goes on: ``retrying``.
        done: what a job is afterwards: ``retried``; empty if they are only looked at.
        total: how many there were at the start.
        is_silent: say nothing.
        stream: stderr, if None.
        clock: the machine's, if None.

    Attributes:
        seen: how many were looked at.
        changed: to how many something was done.
    """

    def __init__(
        self,
        doing: str,
        done: str,
        total: int,
        *,
        is_silent: bool = False,
        stream: TextIO | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._doing = doing
        self._done = done
        self._total = total
        self._is_silent = is_silent
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock or SystemClock()
        self._is_terminal = self._stream.isatty()
        self._began = self._clock.monotonic()
        self._due = self._began + (_FIRST_S if self._is_terminal else _REPEAT_S)
        self._drawn = 0
        self.seen = 0
        self.changed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._stream.flush()

    def __call__(self, seen: int, changed: int = 0) -> None:
        """Remember how far it is, and tell it if the last telling is old enough."""
        self.seen, self.changed = seen, changed
        now = self._clock.monotonic()
        if self._is_silent or now < self._due:
            return
        self._due = now + (_REDRAW_S if self._is_terminal else _REPEAT_S)
        self._tell(duration(now - self._began))

    def of(self, tally: Tally) -> None:
        """The same, of an act on many jobs."""
        self(tally.seen, tally.done)

    def _tell(self, age: str) -> None:
        # Others may add jobs meanwhile.
        total = max(self._total, self.seen)
        text = f"{self._doing}: {self.seen:,} of {count_of(total, 'job')}"
        if self._done:
            text += f" looked at, {self.changed:,} {self._done}"
        text += f", {age}"
        if not self._is_terminal:
            self._stream.write(f"{text}\n")
        else:
            self._stream.write("\r" + text.ljust(self._drawn))
            self._drawn = width_of(text)
        self._stream.flush()
