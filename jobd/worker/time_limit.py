"""How long a job may run, and what it fails with if that had to be enforced by a kill.

The master watches the clock (`jobd.supervisor.limits`); ``JobTimeout`` is raised by
`jobd.worker.attention`.
"""

import math
from typing import Any

from jobd.errors import JobTimeout
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


def overdue(payload: dict[str, Any]) -> JobTimeout:
    """The failure of a job whose worker was killed because it ran for too long."""
    limit_s: object = payload["timed_out"]
    return JobTimeout(
        f"it ran longer than its time_limit of {limit_s} s and did not end: its worker was killed"
    )
