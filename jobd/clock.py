"""The two clocks, always passed in, so that tests can move time.

Wall time is for what is stored (integer milliseconds; scores are float seconds, as Sidekiq's).
Monotonic time is for what is waited for.
"""

import functools
import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        ...

    def now_s(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; comparable between processes of one boot."""
        ...

    def boottime(self) -> float:
        """Likewise; it goes on while the machine is suspended."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    now_s = staticmethod(time.time)

    # CLOCK_MONOTONIC: the same in every process of this machine since its boot.
    monotonic = staticmethod(time.monotonic)

    # 25 ns more a call than the other. Only Linux has it, and only there do workers run.
    boottime = staticmethod(
        functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic
    )
