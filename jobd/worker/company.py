"""What the threads of one worker have to agree on: who waits for a job, who runs one by itself.

One thread at a time, the leader, waits for the server; the others wait here for its place. So an
idle worker holds one set of blocked connections, however many threads it has.

A job that was running in two deaths of a worker runs alone in the third: no other begins before it
has ended. So what a third death is charged to is what caused it.
"""

import os
import threading
from collections.abc import Callable
from typing import Final

_LOOK_EVERY_S: Final = 0.25


class Company:
    """All threads of a worker that run jobs.

    Args:
        is_asked_to_rest: whether the worker is to take no more jobs; call `look_up` when that
            changes.
    """

    def __init__(self, is_asked_to_rest: Callable[[], bool]) -> None:
        self._is_asked_to_rest = is_asked_to_rest
        lock = threading.Lock()  # of all that follows
        self._changed = threading.Condition(lock)
        self._is_free = threading.Condition(lock)
        self._is_led = False
        self._running = 0
        self._has_loner = False  # one that runs by itself, or waits for the others to end
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_rung = False

    def fileno(self) -> int:
        """Readable while nobody may take a job: the leader looks at it while it waits."""
        return self._bell

    @property
    def must_rest(self) -> bool:
        """Whether a thread may take no job now."""
        return self._has_loner or self._is_asked_to_rest()

    def look_up(self) -> None:
        """Have every thread see what has changed."""
        with self._changed:
            self._ring()

    def _ring(self) -> None:
        must_rest = self.must_rest
        if must_rest and not self._is_rung:
            os.eventfd_write(self._bell, 1)
        elif self._is_rung and not must_rest:
            os.eventfd_read(self._bell)
        self._is_rung = must_rest
        self._changed.notify_all()
        self._is_free.notify_all()

    def rest(self, seconds: float) -> bool:
        """Wait, but not longer than until something changes; whether it has."""
        with self._changed:
            return self._changed.wait(seconds)

    # Who waits for a job

    def lead(self, timeout_s: float | None) -> bool:
        """Become the one that waits for the server; call `follow` afterwards.

        Returns:
            False if it is somebody else after that time (None: all there is), or if nobody may take
            a job now.
        """
        with self._is_free:
            self._is_free.wait_for(lambda: not self._is_led or self.must_rest, timeout_s)
            if self._is_led or self.must_rest:
                return False
            self._is_led = True
            return True

    def follow(self) -> None:
        """Let another one lead."""
        with self._is_free:
            self._is_led = False
            self._is_free.notify()

    # Who runs a job

    def join(self) -> bool:
        """Begin a job; False if none may begin, since another one runs by itself."""
        with self._changed:
            if self._has_loner:
                return False
            self._running += 1
            return True

    def leave(self) -> None:
        """The job of this thread has ended."""
        with self._changed:
            self._running -= 1
            if self._has_loner:
                self._changed.notify_all()

    def send_away(self) -> bool:
        """Wait until the job that this thread has begun is the only one; `let_in` ends that.

        Returns:
            False if it cannot be: another one wants the same, or the worker is to take no more
            jobs. Then it has to go back.
        """
        with self._changed:
            if self._has_loner:
                return False
            self._has_loner = True
            self._ring()
            while self._running > 1 and not self._is_asked_to_rest():
                self._changed.wait(_LOOK_EVERY_S)
            if self._running > 1:
                self._has_loner = False
                self._ring()
            return self._has_loner

    def let_in(self) -> None:
        """Others may begin again."""
        with self._changed:
            self._has_loner = False
            self._ring()
