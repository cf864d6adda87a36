"""Who paused a queue, and when: what the audit log tells of it.

A pause is a member of a set in Redis, without a name or a time. So one that was made by a program,
or longer ago than the log goes back, is nobody's here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobd.api import Audit
from jobd.errors import RedisError
from jobd.web.inert import cut
from jobd.web.site import Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Who paused a queue, and when."""

    who: str
    at: datetime | None


def pauses(visit: Visit, names: Sequence[str]) -> dict[str, Pause]:
    """Of these queues, which are paused, those whose pause somebody was noted for."""
    targets = {f"queue {name}": name for name in names}
    try:
        entries = Audit(access=visit.access).newest(("pause", "unpause"), targets)
    except RedisError:
        # Something else lies under the log's key: the queues are shown all the same.
        return {}
    return {
        targets[target]: Pause(who=cut(entry.who, 200), at=entry.at)
        for target, entry in entries.items()
        if entry.what == "pause"
    }
