"""What is checked when a job class is defined, besides its ``perform`` and its callbacks.

A mistake in an option or a hook would else be found by the first push or, worse, by the first
failure in production.
"""

import inspect
from collections.abc import Sequence
from typing import Any, Final

from jobd.errors import InvalidJob
from jobd.jobs.names import place
from jobd.jobs.parameters import Parameters
from jobd.payload import check_fields, check_options

WIRE_OPTIONS: Final = (
    *("queue", "retry", "retry_for", "retry_queue", "backtrace", "dead", "tags"),
    "result_ttl",
)
OPTIONS: Final = (*WIRE_OPTIONS, "time_limit", "kill_after", "name")
HOOKS: Final = {
    "retry_in": ("count", "error", "payload"),
    "retries_exhausted": ("payload", "error"),
}
"""What each hook of a job is given."""


def check_definition(job_class: Any) -> None:
    """Check the options, the name and the hooks of a job class.

    Raises:
        InvalidJob: naming the class and what is wrong.
    """
    limits = {"time_limit": job_class.time_limit, "kill_after": job_class.kill_after}
    options = {**job_class.wire_options(), **limits}
    try:
        check_options(options)
        check_fields({"class": job_class.wire_name})
    except InvalidJob as error:
        raise InvalidJob(f"{place(job_class)}: {error}") from None
    for hook, given in HOOKS.items():
        if hook in vars(job_class):
            _check_hook(job_class, hook, given)


def _check_hook(job_class: type, hook: str, given: Sequence[str]) -> None:
    if inspect.isfunction(vars(job_class)[hook]):
        raise InvalidJob(f"{place(job_class)}: {hook} must be a @classmethod")
    taken = Parameters(f"{job_class.__name__}.{hook}", getattr(job_class, hook))
    fewest, most = taken.span
    if not fewest <= len(given) <= most:
        raise InvalidJob(f"{taken}: it is called with ({', '.join(given)})")
