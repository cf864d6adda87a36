"""How long an act on many jobs may take before it answers with how far it came."""

from collections.abc import Callable

from jobd.api import Progress, Tally
from jobd.web.site import Visit


class _TimeIsUp(Exception):
    """An act on many jobs has taken as long as a request may; what it did stays done."""


def patiently(
    visit: Visit, name: str, target: str, act: Callable[[Progress], Tally], **detail: str
) -> tuple[str, int]:
    """Do something to many jobs, and note it, also what was done before something failed.

    Args:
        visit: whose owner's patience counts.
        name: of the act, in the audit log.
        target: what it is done to.
        act: called with what ends it.
        detail: for the audit log.

    Returns:
        Key and number of the text that says how far it came: the name, ``unfinished`` (press again
        to go on), or ``refused_some``.
    """
    latest = Tally()
    clock = visit.access.clock
    ends_at = clock.monotonic() + visit.site.settings.patience_s

    def progress(tally: Tally) -> None:
        nonlocal latest
        latest = tally
        if clock.monotonic() >= ends_at:
            raise _TimeIsUp

    try:
        latest = act(progress)
    except _TimeIsUp:
        return "unfinished", latest.done
    finally:
        visit.note(name, target, latest.done, **detail)
    return ("refused_some", latest.refused) if latest.refused else (name, latest.done)
