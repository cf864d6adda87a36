"""How far iterable jobs have come, as Ruby's Sidekiq::IterableJob and ours keep it.

Source: Sidekiq's lib/sidekiq/api.rb, IterableJobQuery, and wire format ``it-JID``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from jobd.api.access import Access
from jobd.api.replies import document, moment, number, real

_FIELDS = ("ex", "c", "rt", "cancelled", "n", "done")


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationState:
    """How far an iterable job has come.

    Attributes:
        executions: how often it was started, 1 on the first run.
        runtime_s: seconds that its runs took, up to the last save; on Ruby, those that ended.
        cursor: where it goes on: any JSON value; None if it has not got anywhere yet.
        cancelled_at: when it was told to end; None if it was not.
        items: how many it has gone through, up to the last save; 0 on Ruby, which does not count.
        is_done: it has ended; jobd keeps that for an hour, Ruby does not.
    """

    executions: int
    runtime_s: float
    cursor: Any
    cancelled_at: datetime | None
    items: int = 0
    is_done: bool = False

    def as_dict(self) -> dict[str, Any]:
        """What JSON can carry of it; the time in ISO 8601."""
        cancelled_at = self.cancelled_at and self.cancelled_at.isoformat()
        return {**asdict(self), "cancelled_at": cancelled_at}


def iteration_states(
    jids: Iterable[str], *, access: Access | None = None
) -> dict[str, IterationState]:
    """The states of those of these jobs that are iterable and have begun; one round trip."""
    access = Access.of() if access is None else access
    wanted = [jid for jid in dict.fromkeys(jids) if jid]
    if not wanted:
        return {}
    told = access.redis.pipeline([("HMGET", access.keys.iteration(j), *_FIELDS) for j in wanted])
    found = zip(wanted, told, strict=True)
    return {jid: _state(reply) for jid, reply in found if any(each is not None for each in reply)}


def _state(reply: Sequence[bytes | None]) -> IterationState:
    executions, cursor, runtime_s, cancelled, items, done = reply
    cancelled_s = number(cancelled)
    return IterationState(
        executions=number(executions),
        runtime_s=real(runtime_s),
        cursor=document(cursor),
        cancelled_at=moment(cancelled_s * 1000) if cancelled_s else None,
        items=number(items),
        is_done=done is not None,
    )
