"""A stop that has begun, as values; who is signalled and killed then is the master's affair."""

from dataclasses import dataclass
from typing import Final

NEVER: Final = float("inf")


@dataclass(slots=True)
class Stop:
    """What happens when, in monotonic seconds.

    Attributes:
        code: the exit status of the instance.
        interrupt_at: running jobs are given back.
        kill_at: workers that have not left are killed.
        is_fast: nothing was allowed to finish.
        is_interrupted: the running jobs have been told.
        poller_kill_at: when the poller is killed; `NEVER` until the workers are gone.
    """

    code: int
    interrupt_at: float
    kill_at: float
    is_fast: bool
    is_interrupted: bool = False
    poller_kill_at: float = NEVER
