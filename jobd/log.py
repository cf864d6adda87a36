"""What jobd says: one event, one line, one write(2) to standard output.

A line is built by hand and written at once, because ``logging`` costs three times as much as the
rest of a short job together. What an app writes through ``logging`` or ``print`` comes out in the
same place: see `capture_logging` and `Log.configure`. A line that cannot be written (a full disk, a
closed pipe, a dead terminal) is counted and dropped, never an error in a job, and the count is
told as soon as writing works again.

Not for what a user of the library's client sees: a process that only pushes is never configured.

Source: the fields are those of Sidekiq's lib/sidekiq/logger.rb and job_logger.rb.
"""

import logging
import os
import stat
import sys
import time
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol

from jobd.clock import Clock, SystemClock
from jobd.errors import ConfigError
from jobd.lines import (
    LEVELS,
    Format,
    JobContext,
    Journal,
    Json,
    Line,
    Logfmt,
    Pretty,
    Undated,
)
from jobd.sink import Printed, Sink


class Settings(Protocol):
    """What `configure` needs to know: ``LogSettings`` of the configuration."""

    @property
    def format(self) -> str:
        """``auto`` (pretty on a terminal, else logfmt), ``pretty``, ``logfmt`` or ``json``."""
        ...

    @property
    def file(self) -> str | None:
        """Path of the log; None for standard output."""
        ...

    @property
    def level(self) -> str:
        """The least of `LEVELS` that is written."""
        ...


_job: ContextVar[JobContext | None] = ContextVar("jobd.log.job", default=None)


class Log:
    """The log of this process and, by fork, of its children.

    Args:
        fd: where lines go; standard output but in tests.
        clock: for the time of a line.

    Attributes:
        journal: device and inode of journald's end, as ``JOURNAL_STREAM`` has them; see
            systemd.exec(5).
        tells_jobs: whether ``start`` and ``done`` are written; who asks first saves two calls.
    """

    def __init__(self, fd: int = 1, clock: Clock | None = None) -> None:
        self.sink = Sink(fd)
        self._errors = Sink(2)  # what is printed to stderr; no events
        self.printed = Printed()
        self.is_color_allowed = True
        self.journal = ""
        self.pid = os.getpid()
        self._now_ms = (clock or SystemClock()).now_ms
        self._second = (0, "")  # one assignment, so that threads see both parts or neither
        self._path: str | None = None
        self.tells_jobs = True
        self._threshold = LEVELS["info"]
        self._format: Format = Logfmt()

    # Settings

    def configure(self, settings: Settings) -> None:
        """Take over the standard streams and the ``jobd`` loggers of this process.

        Raises:
            ConfigError: the file cannot be opened.
        """
        _fill_standard_fds()
        if settings.file:
            try:
                _point_streams_at(settings.file)
            except OSError as error:
                problem = f"log file {settings.file}: {error.strerror} (log.file, or the flag -L)"
                raise ConfigError([problem]) from error
        self._path = settings.file
        self.use(settings)
        self.printed.open(self.sink, self._errors)
        logging.raiseExceptions = False  # it would print to the same full disk
        ours = logging.getLogger("jobd")
        ours.handlers, ours.propagate = [Handler(self)], False
        ours.setLevel(self._threshold)

    def use(self, settings: Settings) -> None:
        """Format and level, without touching any stream."""
        self._threshold = LEVELS[settings.level]
        self.tells_jobs = self._threshold <= LEVELS["info"]
        self._format = self._format_of(settings.format)
        if self._is_journal():
            self._format = Journal(Undated() if settings.format == "auto" else self._format)

    def _format_of(self, name: str) -> Format:
        match name:
            case "json":
                return Json()
            case "pretty":
                return Pretty(is_colored=self.is_colored())
            case "auto" if os.isatty(self.sink.fd):
                return Pretty(is_colored=self.is_colored())
            case _:
                return Logfmt()

    def _is_journal(self) -> bool:
        here = os.fstat(self.sink.fd)
        return self.journal == f"{here.st_dev}:{here.st_ino}"

    def never_block(self) -> None:
        """From now on drop what its reader does not take, in this process but not its children.

        For the master: a pipe that nobody reads must not keep it from reaping and stopping. A job
        can wait, and what it says is worth more.
        """
        for sink in (self.sink, self._errors):
            # A file always has room, and lines go to it in one piece.
            sink.may_wait = stat.S_ISREG(os.fstat(sink.fd).st_mode)

    def is_colored(self) -> bool:
        """Whether colour codes would be seen as colours."""
        return self.is_color_allowed and os.isatty(self.sink.fd)

    def capture_logging(self) -> None:
        """Let the app's ``logging`` come out here too, if it has not arranged it otherwise.

        To be called once the app is imported: an app that configures the root logger keeps it.
        """
        root = logging.getLogger()
        if not root.handlers:
            root.addHandler(Handler(self))
            root.setLevel(self._threshold)

    def reopen(self) -> None:
        """Open the log file anew under its name; on failure go on with the old one."""
        if self._path is None:
            return
        try:
            _point_streams_at(self._path)
        except OSError as error:
            self.event(
                "the log file cannot be reopened; the old one is still written",
                level="error",
                file=self._path,
                reason=error.strerror,
            )

    def reopen_if_moved(self) -> bool:
        """Reopen when somebody has renamed or removed the file; one stat, for idle moments.

        Returns:
            whether that was so.
        """
        if self._path is None or not self._has_moved(self._path):
            return False
        self.reopen()
        return True

    def _has_moved(self, path: str) -> bool:
        try:
            here = os.fstat(self.sink.fd)
            there = os.stat(path)  # noqa: PTH116 - a Path would be built every second
        except OSError as error:
            # Any other error tells nothing: EACCES or ESTALE of the directory, or EBADF after a
            # job that closed our descriptor.
            return isinstance(error, FileNotFoundError)
        return (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino)

    def last_lines(self) -> list[bytes]:
        """The newest lines of this process, also those that were printed to standard output."""
        return list(self.sink.last)  # in one step: other threads go on writing

    def forked(self) -> None:
        """In a child: its pid, no lines or drops of its own yet, and time to wait for a reader."""
        self.pid = os.getpid()
        self.sink.last.clear()
        self.sink.dropped = 0
        self.sink.may_wait = self._errors.may_wait = True

    # Lines

    def event(
        self,
        text: str,
        /,
        *,
        level: str = "info",
        error: BaseException | None = None,
        stack: str = "",
        **fields: object,
    ) -> None:
        """Write one event, with a stack or an error's; fields that are None are left out."""
        if LEVELS[level] >= self._threshold:
            self._write(level, text, fields, stack or _stack(error))

    def plain(self, text: str) -> None:
        """Write a line as it is, for people to copy: logfmt would escape the quotes in it."""
        self._emit(f"{text}\n")

    def job_line(
        self, text: str, elapsed_s: float | None = None, error: BaseException | None = None
    ) -> None:
        """Write ``start``, ``done`` or ``fail`` of the job set by `set_job`."""
        if error is not None:
            # Not the last line, which is a note's; a SyntaxError begins with indented ones.
            lines = traceback.format_exception_only(error)
            reason = next(line for line in lines if not line.startswith(" ")).strip()
            self.event(text, level="error", elapsed=elapsed_s, reason=reason, error=error)
        elif self.tells_jobs and (job := _job.get()) is not None:
            elapsed = "" if elapsed_s is None else f"{elapsed_s:.3f}"
            self._emit(self._format.job(self._stamp(), self.pid, text, job, elapsed))

    def record(self, record: logging.LogRecord) -> None:
        """Write what came through ``logging``, with its ``extra`` as fields."""
        fields = {key: value for key, value in vars(record).items() if key not in _RECORD_KEYS}
        if not record.name.startswith("jobd"):
            fields["logger"] = record.name
        stack = _stack(record.exc_info[1]) if record.exc_info else record.exc_text or ""
        if record.stack_info:
            stack = f"{stack}\n{record.stack_info}".lstrip()
        self._write(_level_name(record.levelno), record.getMessage(), fields, stack)

    def _write(self, level: str, text: str, fields: Mapping[str, object], stack: str) -> None:
        job = _job.get()
        whole: dict[str, object] = {}
        if job is not None:
            jid, name, queue = job
            whole = {"class": name, "jid": jid, "queue": queue}
        whole |= {name: value for name, value in fields.items() if value is not None}
        self._emit(
            self._format.line(Line(self._stamp(), self.pid, level, text, whole, stack)),
        )

    def _emit(self, line: str) -> None:
        sink = self.sink
        if sink.write(line.encode("utf-8", "backslashreplace")) and sink.dropped:
            count, sink.dropped = sink.dropped, 0
            text = "log lines were lost: they could not be written"
            fields = {"count": count, "reason": sink.refusal}
            # Not by `_write`: the job that runs now has nothing to do with it.
            self._emit(
                self._format.line(Line(self._stamp(), self.pid, "warning", text, fields, ""))
            )

    def _stamp(self) -> str:
        second, ms = divmod(self._now_ms(), 1000)
        last, text = self._second
        if second != last:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = (second, text)
        return f"{text}.{ms:03d}Z"


class Handler(logging.Handler):
    """The way from ``logging`` into the log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; one that cannot be formatted is named instead of raising in the app."""
        try:
            if not _is_printed_by_app(record):
                self._log.record(record)
        except Exception as error:  # noqa: BLE001 - logging's contract: emit never raises
            self._log.event(
                "a log message could not be formatted",
                level="warning",
                logger=record.name,
                line=f"{record.pathname}:{record.lineno}",
                reason=type(error).__name__,
            )


def _is_printed_by_app(record: logging.LogRecord) -> bool:
    """Whether a logger below the root has printed it: it must not come out twice.

    Django's own logger prints, under DEBUG, and leaves the root alone.
    """
    ours = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    logger = logging.getLogger(record.name)
    while logger.parent is not None:
        for handler in logger.handlers:
            prints = getattr(handler, "stream", None) in ours
            if prints and record.levelno >= handler.level and handler.filter(record):
                return True
        logger = logger.parent
    return False


_RECORD_KEYS = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "asctime",
    "message",
    "taskName",
}


def _level_name(number: int) -> str:
    """The name of the highest of our levels that is not above ``number``."""
    return max((n, name) for name, n in LEVELS.items() if n <= max(number, 10))[1]


def _stack(error: BaseException | None) -> str:
    return "" if error is None else "".join(traceback.format_exception(error)).rstrip()


def _point_streams_at(path: str) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    fd = os.open(path, flags, 0o644)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    if fd > 2:
        os.close(fd)


def _fill_standard_fds() -> None:
    """Open what is closed of 0, 1, 2, or the next socket gets that number, and our lines."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def flush_streams() -> None:
    """Write out what was printed without a line break: it is this job's, and not the next one's."""
    printed = current.printed
    if not printed.is_any and sys.stdout is printed.out and sys.stderr is printed.err:
        return  # the two calls below are a tenth of a short job
    printed.is_any = False
    for stream in (sys.stdout, sys.stderr):
        try:  # contextlib.suppress() costs more than the rest of this
            stream.flush()
        except (ValueError, OSError, AttributeError):
            continue  # the job has closed it, or put something else in its place


def set_job(jid: str, name: str, queue: str) -> None:
    """From now on this thread (or task) runs that job."""
    _job.set((jid, name, queue))


def clear_job() -> None:
    """No job runs here any more."""
    _job.set(None)


def forbid_color() -> None:
    """What NO_COLOR asks for; before `configure`."""
    current.is_color_allowed = False


def know_journal(stream: str) -> None:
    """What ``JOURNAL_STREAM`` says; before `configure`."""
    current.journal = stream


current = Log()
configure = current.configure
never_block = current.never_block
is_colored = current.is_colored
capture_logging = current.capture_logging
reopen = current.reopen
reopen_if_moved = current.reopen_if_moved
event = current.event
plain = current.plain
job_line = current.job_line
last_lines = current.last_lines
os.register_at_fork(after_in_child=current.forked)
