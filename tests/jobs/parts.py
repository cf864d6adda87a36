"""Jobs that these tests push and run, and what those did."""

from typing import Any, TypeVar

from jobd import Job, job
from jobd.jobs import perform

RAN: list[Any] = []
T = TypeVar("T")


class ApplicationJob(Job):
    retry = 5
    tags = ("app",)


class MoodMailJob(ApplicationJob, locale="de"):
    queue = "mailers"
    time_limit = 30

    def perform(self, email: str, mood: str = "happy", /, urgent: bool = False) -> None:
        RAN.append((self.jid, email, mood, urgent))


class Parrot(Job):
    def perform(self, *args: Any) -> str:
        RAN.append((repr(self), list(args)))
        return "ignored"


@job(queue="low", retry=3, dead=False)
def add(x: int, y: int = 2, z: int = 3) -> int:
    """Add three numbers."""
    RAN.append((x, y, z))
    return x + y + z


@job
def plain() -> None:
    RAN.append("plain")


def run(kind: type[Job], *args: Any) -> None:
    perform(kind.from_payload({"jid": "7"}), {"args": list(args)})
