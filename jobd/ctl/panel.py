"""What keys do in ``jobctl top``: where the cursor stands, what is asked, what is then done.

It knows neither terminal nor screen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from jobd.api import EVERYTHING, Access, Process, Queue, RetrySet, Tally
from jobd.ctl.glimpse import Glimpse
from jobd.ctl.words import count_of, safe
from jobd.errors import CannotAct, RedisError

Pane: TypeAlias = Literal["queues", "processes"]
Tell: TypeAlias = Callable[[str], None]

HELP: Final[dict[Pane, str]] = {
    "queues": "p pause or unpause",
    "processes": "p quiet or resume  s stop",
}
HELP_EVERYWHERE: Final = "↑ ↓ choose  tab other table  r retry all  q leave"


@dataclass(slots=True)
class Panel:
    """The state of the screen besides what is shown.

    Args:
        access: for what is done.
        tell: shows a sentence while something long goes on.

    Attributes:
        pane: in which the cursor is.
        row: of the cursor.
        said: the last sentence, about what was done or went wrong.
        trouble: why what is shown is old; empty if it is not.
        question: what waits for a yes, and what is done then.
    """

    access: Access
    tell: Tell
    pane: Pane = "queues"
    row: int = 0
    said: str = ""
    trouble: str = ""
    question: tuple[str, Callable[[], str]] | None = None
    is_over: bool = False

    def press(self, key: str, glimpse: Glimpse) -> None:
        """A key was pressed while this was shown."""
        if self.question is not None:
            self._answer(key)
            return
        self.said = ""
        if key in {"q", "escape"}:
            self.is_over = True
        elif key in {"up", "k", "down", "j"}:
            self.row += 1 if key in {"down", "j"} else -1
        elif key == "tab":
            self.pane, self.row = ("processes" if self.pane == "queues" else "queues"), 0
        else:
            self._act(key, glimpse)
        self.settle(glimpse)

    def settle(self, glimpse: Glimpse) -> None:
        """Keep the cursor on a row that is there."""
        self.row = max(0, min(self.row, len(self.rows(glimpse)) - 1))

    def rows(self, glimpse: Glimpse) -> Sequence[object]:
        """What the cursor can stand on."""
        return glimpse.queues if self.pane == "queues" else glimpse.processes

    def _answer(self, key: str) -> None:
        if self.question is None:
            return
        _, act = self.question
        self.question = None
        self.said = self._done(act) if key in {"y", "Y"} else "nothing was done"

    def _act(self, key: str, glimpse: Glimpse) -> None:
        if key == "r":
            question = f"retry all {count_of(glimpse.totals.retries, 'job')} of retry now?"
            self.question = (question, self._retry_all)
        elif self.rows(glimpse) and key == "p" and self.pane == "queues":
            name = glimpse.queues[self.row].name
            self.said = self._done(lambda: self._switch(name))
        elif self.rows(glimpse) and self.pane == "processes":
            self._steer(key, glimpse.processes[self.row])

    def _steer(self, key: str, process: Process) -> None:
        name = safe(process.identity)
        if key == "p":
            self.said = self._done(lambda: _quiet_or_resume(process))
        elif key == "s":

            def stop() -> str:
                process.stop()
                return f"{name} finishes its jobs and leaves, with its next heartbeat"

            self.question = (f"stop {name}?", stop)

    def _switch(self, name: str) -> str:
        queue = Queue(name, access=self.access)
        if queue.is_paused:
            queue.unpause()
            return f"{safe(name)} is not paused any more"
        queue.pause()
        return f"{safe(name)} is paused"

    def _retry_all(self) -> str:
        def tell(tally: Tally) -> None:
            seen = f"{tally.seen:,} of {count_of(tally.total, 'job')} looked at"
            self.tell(f"retrying: {seen}, {tally.done:,} retried; Ctrl-C ends it")

        try:
            tally = RetrySet(access=self.access).retry_all(EVERYTHING, progress=tell)
        except KeyboardInterrupt:
            return "ended; each job was retried whole or not at all"
        return f"retried {count_of(tally.done, 'job')}"

    def _done(self, act: Callable[[], str]) -> str:
        try:
            return act()
        except (CannotAct, RedisError) as error:
            return safe(str(error))


def _quiet_or_resume(process: Process) -> str:
    name = safe(process.identity)
    if process.is_quiet:
        process.resume()
        return f"{name} takes jobs again, with its next heartbeat"
    process.quiet()
    return f"{name} takes no more jobs, with its next heartbeat"
