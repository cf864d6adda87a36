"""The menu: the pages in their order, each with its path and its key on the keyboard."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu.

    Attributes:
        name: of the page.
        path: where it is.
        key: pressed after ``g``.
        counter: the field of the totals that stands beside it; or empty.
    """

    name: str
    path: str
    key: str
    counter: str = ""


MENU: Final = (
    Entry("overview", "/", "o"),
    Entry("processes", "/processes", "p", "processes"),
    Entry("running", "/running", "j", "busy"),
    Entry("queues", "/queues", "q", "enqueued"),
    Entry("scheduled", "/scheduled", "s", "scheduled"),
    Entry("retries", "/retries", "r", "retries"),
    Entry("dead", "/dead", "d", "dead"),
    Entry("metrics", "/metrics", "m"),
    Entry("configuration", "/configuration", "c"),
    Entry("audit", "/audit", "a"),
)
