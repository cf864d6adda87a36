"""Where lines go: descriptors that take them or drop them, and standard streams on top of these."""

import errno
import io
import os
import select
import sys
from collections import deque
from typing import Any, Final, TextIO

_MOST_LAST: Final = 100
_LONGEST_LAST: Final = 2_000


class Sink:
    """A descriptor to which lines are written or dropped, without ever raising.

    The counters are not locked: two threads that drop at once may count one.

    Attributes:
        may_wait: whether a line waits for a reader that is slow, or is dropped.
        refusal: why the last one was dropped.
        last: the newest lines, whatever became of them.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.dropped = 0
        self.refusal = ""
        self.may_wait = True
        self._is_torn = False
        self.last: deque[bytes] = deque(maxlen=_MOST_LAST)

    def write(self, line: bytes) -> bool:
        """Write all of it, or count it as dropped."""
        self.last.append(line if len(line) <= _LONGEST_LAST else line[:_LONGEST_LAST] + b"\n")
        if self._is_torn:  # the disk filled up inside a line; do not glue the next one to it
            line = b"\n" + line
        rest = line
        try:
            while (written := self._write_some(rest)) < len(rest):
                rest = rest[written:]
        except OSError as error:  # ENOSPC, EPIPE, EIO, EAGAIN, ...: no log is worth a job
            self.dropped += 1
            self.refusal = error.strerror or str(error)
            self._is_torn = self._is_torn or len(rest) < len(line)
            return False
        self._is_torn = False
        return True

    def _write_some(self, rest: bytes) -> int:
        if self.may_wait:
            return os.write(self.fd, rest)
        # O_NONBLOCK would be the children's too, since they share the open file. A child may take
        # the last room of a pipe between these two calls; then we wait as it does.
        room = select.poll()
        room.register(self.fd, select.POLLOUT)
        if not room.poll(0):
            raise BlockingIOError(errno.EAGAIN, "its reader stalls")
        # What a pipe that can be written to takes for certain, see pipe(7).
        return os.write(self.fd, rest[: select.PIPE_BUF])


class Stream(io.RawIOBase):
    """The raw end of ``sys.stdout``: a full disk costs the lines of a job's print, not the job."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Of the standard stream."""
        return self._sink.fd

    def isatty(self) -> bool:
        """Asked anew each time: the log may move from a terminal to a file."""
        return os.isatty(self._sink.fd)

    def write(self, text: object, /) -> int:
        """Take all of it, whatever becomes of it."""
        line = bytes(text)  # type: ignore[call-overload]  # any buffer; typeshed's name is private
        self._sink.write(line)
        return len(line)


class Printed:
    """The standard streams of an app, and whether anything was printed on them.

    Attributes:
        is_any: since it was last set to False.
    """

    def __init__(self) -> None:
        self.is_any = True
        self.out: TextIO | None = None
        self.err: TextIO | None = None

    def open(self, out: Sink, err: Sink) -> None:
        """Put streams that end in the sinks in the place of Python's own."""
        self.out, self.err = self._stream(out), self._stream(err)
        sys.stdout, sys.stderr = self.out, self.err

    def _stream(self, sink: Sink) -> TextIO:
        # Written through, so that what is printed is seen here before its line ends.
        return io.TextIOWrapper(
            _Watched(sink, self),
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,
            write_through=True,
        )


class _Watched(io.BufferedWriter):
    def __init__(self, sink: Sink, printed: Printed) -> None:
        super().__init__(Stream(sink))
        self._printed = printed

    def write(self, text: Any, /) -> int:
        self._printed.is_any = True
        return super().write(text)
