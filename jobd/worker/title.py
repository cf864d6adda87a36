"""What ``ps`` shows of a worker. Setting it costs half a microsecond, and a system call."""

import threading
from collections.abc import Callable

from setproctitle import setproctitle


class Title:
    """The title of this process.

    A job that came alone shows at once. One of a batch shows when the keeper finds it long, from
    its own thread.

    Args:
        number: of the worker.
        put: shows it; a process that belongs to somebody else keeps its own.

    Attributes:
        job: name and beginning (epoch seconds) of the running job, which ``show_job`` would show.
        is_shown: whether it does.
    """

    def __init__(self, number: int, put: Callable[[str], object] = setproctitle) -> None:
        self._number = number
        self._put = put
        self.job: tuple[str, float] | None = None
        self.is_shown = False
        self._shown = ""
        self._shown_job: tuple[str, int] | None = None
        self._lock = threading.Lock()  # between showing a job and showing that it has ended

    def show_job(self) -> None:
        """``jobd: worker 2 [MoodSenderJob since 14:02:07]``, in UTC like the log."""
        with self._lock:
            self.is_shown = True  # before looking: who ends a job looks at this after ending it
            job = self.job
            if job is not None:
                name, began_s = job
                second = int(began_s)
                if (name, second) != self._shown_job:  # else it is what is shown
                    s = second % 86_400
                    since = f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}"
                    self._show(f"{name} since {since}")
                    self._shown_job = name, second

    def show(self, state: str) -> None:
        """``jobd: worker 2 [idle]``: no job runs any more."""
        with self._lock:
            self.is_shown = False
            self._shown_job = None
            self._show(state)

    def _show(self, state: str) -> None:
        # Not the same again: the second of two like jobs within a second saves a system call.
        if state != self._shown:
            self._shown = state
            # A title is a C string, and the name of a job may be anything.
            self._put(f"jobd: worker {self._number} [{state}]".replace("\0", "?"))
