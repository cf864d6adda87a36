"""Time that stands still until a test moves it."""


class FakeClock:
    """A ``jobd.clock.Clock`` whose two clocks move together.

    Args:
        now_ms: the wall time to begin with; milliseconds since the epoch.
    """

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic_s = 1_000.0
        self._suspended_s = 0.0

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._now_ms

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return self._now_ms / 1000

    def monotonic(self) -> float:
        """Seconds; 1,000 at the beginning."""
        return self._monotonic_s

    def boottime(self) -> float:
        """Seconds; 1,000 at the beginning."""
        return self._monotonic_s + self._suspended_s

    def suspend(self, seconds: float) -> None:
        """The machine sleeps."""
        self._now_ms += round(seconds * 1000)
        self._suspended_s += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass, by whole milliseconds on the wall clock."""
        self._now_ms += round(seconds * 1000)
        self._monotonic_s += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forth or back, as an operator or NTP does; no time passes."""
        self._now_ms += round(seconds * 1000)
