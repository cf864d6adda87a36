"""How long a job may run, and what it fails with if a limit had to be enforced by a kill.

The master watches the clock (`jobd.supervisor.limits`) and the memory (`jobd.supervisor.wear`);
``JobTimeout`` is raised by `jobd.worker.attention`.
"""

import math
from typing import Any

from jobd.errors import JobTimeout, JobTooBig
from jobd.jobs import Job
from jobd.payload import check_fields


def limit_of(kind: type[Job], payload: dict[str, Any]) -> tuple[float, float]:
    """The limit of a run that has one, and how long after it the worker is killed, in seconds.

    What was set for the push counts, else what the class says.

    Raises:
        InvalidJob: the payload has something else there.
    """
    options = {"time_limit": kind.time_limit, "kill_after": kind.kill_after}
    limits: dict[str, Any] = {key: payload.get(key, value) for key, value in options.items()}
    check_fields(limits)
    kill_after_s = limits["kill_after"]
    return limits["time_limit"], math.inf if kill_after_s is None else kill_after_s


def why_killed(payload: dict[str, Any]) -> JobTimeout | JobTooBig:
    """The failure of a job whose worker was killed because it ran too long or took too much."""
    if "timed_out" in payload:
        limit_s: object = payload["timed_out"]
        return JobTimeout(
            f"it ran longer than its time_limit of {limit_s} s and did not end: its worker was "
            "killed"
        )
    limit_bytes: object = payload["outgrown"]
    return JobTooBig(
        f"while it ran its worker grew to 1.5 times worker.max_memory ({limit_bytes} bytes), and "
        "was killed"
    )


def forget_kill(payload: dict[str, Any]) -> None:
    """It is settled: take away what a kill has left in a payload."""
    payload.pop("timed_out", None)
    payload.pop("outgrown", None)
