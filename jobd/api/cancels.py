"""Cancelling from a shell, ``jobctl`` or a page; jobs themselves have ``Job.cancel``."""

from jobd import cancelling
from jobd.api.access import Access
from jobd.store import Store


def cancel(jid: str, *, access: Access | None = None) -> str | None:
    """Have a job never run again, and end it if it runs; O(n) in the jobs that wait.

    Returns:
        Where it waited and was taken out: ``retry``, ``schedule`` or ``queue NAME``; None if it was
        not found waiting. Then it runs, and ends within about a second, or it is done, or waits
        behind a million others and is dropped when its turn comes.

    Raises:
        InvalidJob: that is no jid.
    """
    access = Access.of() if access is None else access
    return cancelling.cancel(Store(access.redis, access.keys), jid)
