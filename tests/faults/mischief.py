"""The jobs of the fault tests: those of the other tests, and one that does what it is told."""

import time

from jobd import Job

# Names on the wire are those of the registry: importing them is enough.
from tests.support.sample_jobs import Die, Echo, Fail, Hold, Nap, Spin, record

__all__ = ["Die", "Do", "Echo", "Fail", "Hold", "Nap", "Return", "Sleep", "Spin"]


class Do(Job):
    """Runs some Python, which a test has beside its assertions; what it raises goes on."""

    def perform(self, source: str) -> None:
        record("start", "Do", self.jid, [])
        exec(compile(source, "mischief", "exec"), {"__name__": "mischief", "job": self})
        record("done", "Do", self.jid, [])


class Return(Job):
    """Returns what it is told to."""

    def perform(self, source: str) -> object:
        record("done", "Return", self.jid, [source])
        return eval(source)


class Sleep(Job):
    """Takes so many milliseconds; begins and ends on the record."""

    def perform(self, ms: float) -> None:
        record("start", "Sleep", self.jid, [ms])
        time.sleep(ms / 1000)
        record("done", "Sleep", self.jid, [ms])
