"""The thread that does not let jobs wait behind a long one.

It is started with a worker's first batch, looks every few milliseconds while there are batches, and
sleeps when there are none. It runs nothing of the application and catches no signal.
"""

import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from jobd import signals

LONG_S: Final = 0.005
"""How long others wait behind a running job before they go back to their queues."""
_LAST_LOOKS: Final = 20
"""So often it looks without finding anyone waiting, before it sleeps."""
_AGAIN_S: Final = 1.0
"""When the server did not answer."""


class Keeper:
    """Calls ``rescue`` when jobs have waited long enough.

    Args:
        waiting_s: how long something has been waiting behind the running job; None if nothing is.
        rescue: ends that; returns whether it could. It must not raise.
    """

    def __init__(self, waiting_s: Callable[[], float | None], rescue: Callable[[], bool]) -> None:
        self._waiting_s = waiting_s
        self._rescue = rescue
        self._bell = threading.Event()
        self._is_asleep = True
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Jobs wait now. Costs next to nothing while it is awake."""
        if self._is_asleep:
            self._bell.set()
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="jobd-keeper", daemon=True)
        # A signal that came to this thread would not interrupt what the job waits for.
        with signals.blocked(signal.valid_signals()):
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._bell.wait()
            self._bell.clear()
            self._is_asleep = False
            self._watch()
            self._is_asleep = True
            if self._waiting_s() is not None:
                self._bell.set()  # they came before it was known that nobody looks

    def _watch(self) -> None:
        looks = 0
        while looks < _LAST_LOOKS:
            waited_s = self._waiting_s()
            looks = looks + 1 if waited_s is None else 0
            rest_s = LONG_S - (waited_s or 0.0)
            if rest_s <= 0:
                rest_s = LONG_S if self._rescue() else _AGAIN_S
            time.sleep(rest_s)  # noqa: TID251 - waiting for the bell costs twice that; nobody rings
