"""What goes over the pipe between the master and one child, as bytes and as values.

One message is one packet, a JSON object::

    child to master
        {"type": "ready", "slot": 2, "incarnation": 7, "pid": 4711}
        {"type": "boot_failed", "kind": "config" | "transient", "text": "Traceback ..."}
        {"type": "look"}                        a job is limited to less than the master waits
        {"type": "born", "pid": 4711}                        a worker that the mold has forked
        {"type": "cannot_preload", "reasons": "the thread flusher"}                 a mold alone
        {"type": "remote", "signal": "TSTP" | "TERM" | "TTIN" | "CONT" | "HUP"}     the poller alone
        {"type": "recovered", "slot": 2, "incarnation": 7, "thread": 0}     the poller alone
        {"type": "cancel", "slot": 2, "incarnation": 7, "thread": 0, "jid": "b4a5.."}   likewise
        {"type": "kill", "slot": 2, "incarnation": 7, "thread": 0, "jid": "b4a5.."}     likewise
        {"type": "show", "slot": 2, "incarnation": 7}     likewise

    master to poller
        {"type": "died", "slot": 2, "incarnation": 7, "thread": 0, "status": 9,
         "reason": "SIGKILL", "running": "0f4b75e523969d83", "jid": "b4a5..",
         "finished": ["f4b75e523969083d"], "time_limit": 0.0, "max_memory": 0}
                                                       one for each thread that ran jobs
        {"type": "seats"}                                a worker has another pid or is ready
        {"type": "reloaded", "count": 1, "generation": 2, "state": "busy" | "done" | "failed",
         "text": "queues"}
        {"type": "stacks", "slot": 2, "incarnation": 7, "text": "Current thread ..."}
        {"type": "leave"}                                another poller takes its place

    master to mold, with two descriptors: the worker's end of its pipe, and the file for its stacks
        {"type": "fork", "slot": 2, "incarnation": 7, "group": "default"}
"""

import json
import signal
from typing import Any, Final, Literal, TypeAlias, TypedDict

import msgspec

_REMOTE: Final = {
    "TSTP": signal.SIGTSTP,
    "TERM": signal.SIGTERM,
    "TTIN": signal.SIGTTIN,
    "CONT": signal.SIGCONT,
    "HUP": signal.SIGHUP,
}

LOOK: Final = {"type": "look"}

BootFailureKind: TypeAlias = Literal["config", "transient"]


class Ready(msgspec.Struct, frozen=True):
    """The child has booted and begins its work; its signal handlers are in place."""

    slot: int
    incarnation: int
    pid: int


class BootFailed(msgspec.Struct, frozen=True):
    """The child cannot boot: for good (``config``), or until something else changes."""

    kind: BootFailureKind
    text: str


class Look(msgspec.Struct, frozen=True):
    """The scoreboard says something that cannot wait."""


class Born(msgspec.Struct, frozen=True):
    """The mold has forked the child, which the master has adopted or will in a moment."""

    pid: int


class CannotPreload(msgspec.Struct, frozen=True):
    """A mold has imported the application, and found what no fork may share."""

    reasons: str


class Remote(msgspec.Struct, frozen=True):
    """A command that came through Redis, as the signal that has the same effect."""

    number: signal.Signals


class Recovered(msgspec.Struct, frozen=True):
    """What a thread of a dead worker held is back in its queues."""

    slot: int
    incarnation: int
    thread: int


class Cancel(msgspec.Struct, frozen=True):
    """A worker runs a job that is cancelled."""

    slot: int
    incarnation: int
    thread: int
    jid: str


class Kill(msgspec.Struct, frozen=True):
    """An operator wants the end of a job, without grace."""

    slot: int
    incarnation: int
    thread: int
    jid: str


class Show(msgspec.Struct, frozen=True):
    """An operator wants to see where a worker is."""

    slot: int
    incarnation: int


class Ended(msgspec.Struct, frozen=True):
    """Nothing more will come from this child, which need not be dead."""


Message: TypeAlias = (
    Ready
    | BootFailed
    | Look
    | Born
    | CannotPreload
    | Remote
    | Recovered
    | Cancel
    | Kill
    | Show
    | Ended
)


class Died(TypedDict):
    """A worker that had been ready is gone, and with it this thread.

    Attributes:
        thread: as in the names of its private lists; 0 is the main thread.
        status: as ``waitpid`` gave it.
        reason: the same in words: ``exit 3``, ``SIGKILL``.
        running: fingerprint of the job that was running and is charged, or an empty string.
        jid: the same job's, for the log.
        finished: fingerprints of jobs that are done and perhaps not acknowledged.
        time_limit: seconds that the running job was killed for, or 0.
        max_memory: bytes that the running job was killed for, or 0.
    """

    type: Literal["died"]
    slot: int
    incarnation: int
    thread: int
    status: int
    reason: str
    running: str
    jid: str
    finished: list[str]
    time_limit: float
    max_memory: int


class Order(TypedDict):
    """A mold is to fork a worker."""

    type: Literal["fork"]
    slot: int
    incarnation: int
    group: str


class Reloaded(TypedDict):
    """What became of the last reload or roll, for those who ask through Redis.

    Attributes:
        count: of the reloads and rolls that were asked for so far.
        generation: that is in force.
        text: why it failed, or what has changed.
    """

    type: Literal["reloaded"]
    count: int
    generation: int
    state: Literal["busy", "done", "failed"]
    text: str


class Leave(TypedDict):
    """Another poller will take this one's place, at once."""

    type: Literal["leave"]


class Seats(TypedDict):
    """The scoreboard says since now that a worker has another pid, or is ready."""

    type: Literal["seats"]


class Stacks(TypedDict):
    """What a worker that was to be shown is doing; empty if it did not say."""

    type: Literal["stacks"]
    slot: int
    incarnation: int
    text: str


News: TypeAlias = Died | Seats | Reloaded | Stacks | Leave
"""What a poller is told."""


def parse(packet: bytes) -> Message | None:
    """The message of a packet; None of whatever else a job may have written there."""
    try:
        whole = json.loads(packet)
    except (ValueError, RecursionError):
        return None
    return _of_boot(whole) or _of_poller(whole) or (Look() if whole == LOOK else None)


def _of_boot(whole: Any) -> Message | None:
    match whole:
        case {"type": "ready", "slot": int(slot), "incarnation": int(incarnation), "pid": int(pid)}:
            return Ready(slot, incarnation, pid)
        case {"type": "boot_failed", "kind": "config" | "transient" as kind, "text": str(text)}:
            return BootFailed(kind, text)
        case {"type": "born", "pid": int(pid)} if pid > 1:
            return Born(pid)
        case {"type": "cannot_preload", "reasons": str(reasons)}:
            return CannotPreload(reasons)
        case _:
            return None


def _of_poller(whole: Any) -> Message | None:
    match whole:
        case {"type": "remote", "signal": str(name)} if name in _REMOTE:
            return Remote(_REMOTE[name])
        case {
            "type": "recovered",
            "slot": int(slot),
            "incarnation": int(incarnation),
            "thread": int(thread),
        }:
            return Recovered(slot, incarnation, thread)
        case {
            "type": "cancel" | "kill" as kind,
            "slot": int(slot),
            "incarnation": int(incarnation),
            "thread": int(thread),
            "jid": str(jid),
        }:
            return (Cancel if kind == "cancel" else Kill)(slot, incarnation, thread, jid)
        case {"type": "show", "slot": int(slot), "incarnation": int(incarnation)}:
            return Show(slot, incarnation)
        case _:
            return None
