"""What is answered at which path. No sockets here."""

from collections.abc import Callable
from typing import Final

from jobd.clock import Clock
from jobd.health.exposition import CONTENT_TYPE, render
from jobd.health.figures import Figures
from jobd.health.listener import Answer
from jobd.scoreboard import InstanceState, Scoreboard

_KEPT_S: Final = 1.0


class Answers:
    """The three pages.

    Args:
        scoreboard: for the state of the instance.
        figures: for the rest.
        clock: a scrape is made once a second at the most, however often it is asked for.
    """

    def __init__(self, scoreboard: Scoreboard, figures: Figures, clock: Clock) -> None:
        self._scoreboard = scoreboard
        self._figures = figures
        self._clock = clock
        self._scraped = Answer("200 OK", "", CONTENT_TYPE)
        self._scrape_at = float("-inf")
        self._pages: dict[str, Callable[[], Answer]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }

    def to(self, path: str) -> Answer:
        """The answer to a request for this path."""
        page = self._pages.get(path)
        if page is None:
            return Answer("404 Not Found", f"there are {', '.join(self._pages)}\n")
        return page()

    def _livez(self) -> Answer:
        # That this thread answers is the answer: the master replaces whatever else dies or hangs,
        # and to start all anew would help against nothing of it, least of all against a lost Redis.
        return Answer("200 OK", "alive\n")

    def _readyz(self) -> Answer:
        reasons = self._reasons()
        if reasons:
            return Answer("503 Service Unavailable", "".join(f"{each}\n" for each in reasons))
        return Answer("200 OK", "ready\n")

    def _reasons(self) -> list[str]:
        reasons: list[str] = []
        state = self._scoreboard.instance_state
        if state is not InstanceState.RUNNING:
            reasons.append(f"the instance is {state.name.lower()}")
        elif not self._figures.ready_workers:
            reasons.append("no worker is ready")
        if away_s := self._figures.redis_away_s:
            reasons.append(f"Redis does not answer for {away_s:.0f} s")
        return reasons

    def _metrics(self) -> Answer:
        now = self._clock.monotonic()
        if now - self._scrape_at >= _KEPT_S:
            self._scrape_at = now
            text = render(self._figures.families())
            self._scraped = Answer("200 OK", text, CONTENT_TYPE)
        return self._scraped
