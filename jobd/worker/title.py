"""What ``ps`` shows of a worker. Setting it costs half a microsecond, and a system call."""

import threading

from setproctitle import setproctitle


def show(number: int, state: str) -> None:
    """``jobd: worker 2 [idle]``."""
    # A title is a C string, and the name of a job may be anything.
    setproctitle(f"jobd: worker {number} [{state}]".replace("\0", "?"))


class Title:
    """The title of this process.

    A job that came alone shows at once. One of a batch shows when the keeper finds it long, from
    its own thread.

    Args:
        number: of the worker.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._job: tuple[str, float] | None = None
        self._is_shown = False
        self._lock = threading.Lock()  # between showing a job and showing that it has ended

    def begin(self, name: str, began_s: float, *, is_alone: bool) -> None:
        """A job begins.

        Args:
            name: of the job.
            began_s: epoch seconds.
            is_alone: show it at once.
        """
        self._job = (name, began_s)
        if is_alone:
            self.show_job()

    def show_job(self) -> None:
        """``jobd: worker 2 [MoodSenderJob since 14:02:07]``, in UTC like the log."""
        with self._lock:
            self._is_shown = True  # before looking: whoever ends the job looks after it has ended
            if self._job is not None:
                name, began_s = self._job
                s = int(began_s) % 86_400
                since = f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}"
                show(self._number, f"{name} since {since}")

    def end(self) -> None:
        """No job runs any more."""
        self._job = None
        if self._is_shown:
            with self._lock:
                self._is_shown = False
                show(self._number, "idle")
