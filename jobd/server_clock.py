"""The time of the server, for scores in Redis."""

from jobd.clock import Clock
from jobd.scoreboard import Scoreboard


class ServerClock:
    """This machine's clocks, and the server's as the poller last compared it.

    Scores in Redis are compared with the server's clock, so they are made from it.
    """

    def __init__(self, clock: Clock, scoreboard: Scoreboard) -> None:
        self._scoreboard = scoreboard
        self.now_s = clock.now_s
        self.now_ms = clock.now_ms
        self.monotonic = clock.monotonic

    def server_s(self, now_ms: int) -> float:
        """Epoch seconds by the server's clock at the moment ``now_ms`` of ours."""
        return now_ms / 1000 + self._scoreboard.clock_offset_s
