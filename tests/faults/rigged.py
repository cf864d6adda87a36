"""A jobd whose minutes are seconds and whose instants can be hit.

Run as ``python -m tests.faults.rigged`` with the arguments of ``jobd``. Before it starts, the lives
of heartbeats and the pauses of sweeps are shortened, and points are put between the instructions
that matter: before and after every change in Redis (each method of the store), every note in the
scoreboard, every fork. A test orders what shall happen at a point by a file of its name, in the
folder named by ``JOBD_FAULTS``; the process that comes there first carries the order out, and puts
its pid behind the file's name. None of this is in the package.
"""

import functools
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from jobd import boot, faults
from jobd.cli import main
from jobd.clock import SystemClock
from jobd.fleet import Fleet
from jobd.scoreboard import Scoreboard, SlotWriter
from jobd.store import Claimed, Store
from jobd.supervisor.child import Child
from jobd.supervisor.limits import Limits
from jobd.supervisor.plan import Plan

FOLDER = "JOBD_FAULTS"
CLOCK = "JOBD_FAULTS_CLOCK_S"
"""By how many seconds the clock on the wall is ahead."""
HEARTBEAT_LIFE_S = 4

# A fifteenth of what they are, so that their proportions stay.
SHORT: dict[str, float] = {
    "jobd.config._SLACK_S": 2,
    "jobd.fleet.HEARTBEAT_LIFE_S": HEARTBEAT_LIFE_S,
    "jobd.poller.poller._BEAT_EVERY_S": 0.7,
    "jobd.poller.poller._COUNT_EVERY_S": 0.7,
    "jobd.poller.poller._REFUSED_FOR_S": 0.7,
    "jobd.poller.recovery._SUSPECT_FOR_S": 1.5,  # not less: a flushed heartbeat is back within 1 s
    "jobd.poller.recovery._SWEEP_EVERY_S": 0.5,
    "jobd.worker.worker._POLLER_SILENT_S": 1.4,
    "jobd.worker.worker._WATCH_EVERY_S": 0.3,
    "jobd.worker.place_watch._LOOK_EVERY_S": 0.3,
    "jobd.worker.reliable_fetch._BLOCK_S": 1.0,
    "jobd.worker.reliable_fetch._STALE_S": HEARTBEAT_LIFE_S / 2,
    "jobd.supervisor.brake._TOO_EARLY_S": 0.1,
    "jobd.supervisor.brake.HEALTHY_S": 1.0,
    "jobd.supervisor.brake.LONGEST_DELAY_S": 0.3,
}
POLLER_SILENT_S = 6.0

_folder = os.environ.get(FOLDER, "")  # now, since a job may clear the environment

_OF_THE_STORE = (
    *("claim", "confirm", "retry", "bury", "give_back", "acknowledge", "requeue"),
    *("hand_over", "acknowledge_held"),
    *("due", "promote", "bury_due", "private_lists", "held", "forget", "empty_trash"),
)
_OF_THE_FLEET = ("live", "heard_of", "beat", "renew", "leave", "sweep")
_OF_A_SLOT = ("hold", "start", "finish", "give_up", "acknowledged")


def at(point: str) -> None:
    """Carry out the order for this point, if there is one."""
    taken = f"{_folder}/{point}.{os.getpid()}"
    try:
        Path(f"{_folder}/{point}").rename(taken)
    except FileNotFoundError:
        return
    _carry_out(Path(taken).read_text())


def _carry_out(order: str) -> None:
    if order == "raise":
        raise RuntimeError("as ordered")
    if order == "exit":
        os._exit(3)
    number = signal.Signals[order]
    os.kill(os.getpid(), number)
    if number == signal.SIGKILL:
        _never()


def _never() -> NoReturn:
    while True:
        time.sleep(1)


def _between(owner: type, method: str) -> None:
    inner: Callable[..., Any] = getattr(owner, method)

    @functools.wraps(inner)
    def outer(*arguments: Any, **options: Any) -> Any:
        at(f"before {method}")
        answer = inner(*arguments, **options)
        # Only a claim that brought something is one to be interrupted.
        at(f"after {method}" if not isinstance(answer, Claimed) or answer.jobs else "no claim")
        return answer

    setattr(owner, method, outer)


def _fork(fork: Callable[[], int] = os.fork) -> int:
    at("before fork")
    pid = fork()
    at("after fork" if pid else "forked")
    return pid


def rig() -> None:
    """Shorten the times and set the points."""
    for name, seconds in SHORT.items():
        module, _, constant = name.rpartition(".")
        found = importlib.import_module(module)
        if not hasattr(found, constant):
            raise LookupError(f"there is no {name} any more: shorten what took its place")
        setattr(found, constant, seconds)
    boot.Plan = functools.partial(Plan, poller_silent_s=POLLER_SILENT_S)  # type: ignore[misc]
    for method in _OF_THE_STORE:
        _between(Store, method)
    for method in _OF_THE_FLEET:
        _between(Fleet, method)
    for method in _OF_A_SLOT:
        _between(SlotWriter, method)
    _between(Child, "ready")
    _between(Scoreboard, "set_newest_cancel")
    _between(Limits, "cancel")
    os.fork = _fork
    ahead_ms = 1000 * int(os.environ.get(CLOCK, "0"))
    SystemClock.now_ms = lambda _: time.time_ns() // 1_000_000 + ahead_ms  # type: ignore[method-assign]
    faults.point = at


if __name__ == "__main__":
    rig()
    sys.exit(main())
