"""What a test asks of a job class, or of a function that is a job: its kept jobs, and to run them.

Who keeps them is ``App.stand_in``, which jobd.testing provides; nothing of it is imported here.

Source: Sidekiq's lib/sidekiq/testing.rb.
"""

from typing import Final

from jobd.app import StandIn, current_app  # noqa: TID251 - jobs are the place that looks it up
from jobd.errors import JobdError
from jobd.payload import Payload, When

_HOW_TO: Final = (
    "jobs are not kept but go to Redis here: turn the test mode on, with the fixture jobd_fake, "
    '"with jobd.testing.fake():" or jobd.testing.use("fake")'
)


class NotTesting(JobdError, RuntimeError):
    """Kept jobs are asked for where no test mode keeps them."""

    def __init__(self, message: str = _HOW_TO) -> None:
        super().__init__(message)


class Jobs:
    """The attribute ``jobs`` of a job."""

    __slots__ = ()

    def __get__(self, instance: object, owner: type) -> list[Payload]:
        """The payloads that a test keeps of this job, in the order in which they were pushed.

        ``at`` is there, in epoch seconds, if the job is scheduled. ``Job.jobs`` has all of them,
        that of a base those of the classes that derive from it.

        Raises:
            NotTesting: jobs go to Redis.
        """
        return _stand_in().jobs(owner if instance is None else instance)


def drain_kept(job: object, *, until: When | None = None) -> int:
    """Run the kept jobs of this class until there are none, those pushed meanwhile too.

    An error of a job reaches the caller; that job is gone and those after it are still kept.

    Args:
        job: whose jobs: those of its class.
        until: leave what is scheduled for later than this; by default all of it runs.

    Returns:
        How many ran.

    Raises:
        NotTesting: jobs go to Redis.
    """
    return _stand_in().drain(job, until)


def perform_first(job: object) -> None:
    """Run the first of the kept jobs of this class.

    Raises:
        EmptyQueueError: there is none.
        NotTesting: jobs go to Redis.
    """
    _stand_in().perform_one(job)


def clear_kept(job: object) -> None:
    """Forget the kept jobs of this class.

    Raises:
        NotTesting: jobs go to Redis.
    """
    _stand_in().clear(job)


def _stand_in() -> StandIn:
    found = current_app().stand_in
    if found is None:
        raise NotTesting
    return found
