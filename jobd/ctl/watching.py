"""The loop of ``jobctl top``: look, draw, wait for keys. Needs rich (the extra ``tui``)."""

import sys
from typing import Final

from rich.live import Live

from jobd.api import Access
from jobd.ctl.glimpse import Glimpse, Past, Rates
from jobd.ctl.keyboard import Keyboard
from jobd.ctl.panel import Panel
from jobd.ctl.screen import draw
from jobd.ctl.words import safe
from jobd.errors import RedisError

_REDRAW_S: Final = 0.2


def watch(access: Access, url: str, every_s: float) -> None:
    """Show it until somebody leaves, by ``q`` or Ctrl-C.

    Args:
        access: to what is shown.
        url: of it, fit to be shown.
        every_s: seconds between looks.

    Raises:
        RedisError: at the first look; a later one is only told on the screen.
    """
    first = Glimpse.of(access)
    with Live(screen=True, auto_refresh=False) as live, Keyboard(sys.stdin) as keyboard:
        _Watch(access, url, live).run(first, keyboard, every_s)


class _Watch:
    """What is shown, and since when."""

    def __init__(self, access: Access, url: str, live: Live) -> None:
        self._access = access
        self._url = url
        self._live = live
        self._monotonic = access.clock.monotonic
        self._panel = Panel(access, self._tell)
        self._past = Past()
        self._rates = Rates()
        self._drawn_s = 0.0

    def run(self, glimpse: Glimpse, keyboard: Keyboard, every_s: float) -> None:
        """Go on until it is over."""
        self._glimpse = glimpse
        due = self._monotonic() + every_s
        try:
            while not self._panel.is_over:
                self._draw()
                keys = keyboard.keys(max(0.0, due - self._monotonic()))
                for key in keys:
                    self._panel.press(key, self._glimpse)
                if keys or self._monotonic() >= due:
                    self._look()
                    due = self._monotonic() + every_s
        except (KeyboardInterrupt, EOFError):
            return

    def _look(self) -> None:
        try:
            self._glimpse = Glimpse.of(self._access)
        except RedisError as error:
            self._panel.trouble = safe(str(error))
            return
        self._panel.trouble = ""
        self._rates = self._past.add(self._glimpse)
        self._panel.settle(self._glimpse)

    def _draw(self) -> None:
        height = self._live.console.height
        picture = draw(self._glimpse, self._rates, self._panel, url=self._url, height=height)
        self._live.update(picture, refresh=True)
        self._drawn_s = self._monotonic()

    def _tell(self, sentence: str) -> None:
        """While something long goes on."""
        self._panel.said = sentence
        if self._monotonic() - self._drawn_s >= _REDRAW_S:
            self._draw()
