"""The errors that a job had before its last one, as jobd keeps them beside its payload.

Sidekiq's wire format keeps the last error only. Runs that failed on Ruby are known as far as a run
on jobd followed that failed, too.
"""

from dataclasses import dataclass
from datetime import datetime

from jobd.api.records import JobRecord
from jobd.api.replies import document, mapping, moment, string
from jobd.payload import to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class PastError:
    """A run that failed, before the last one that did.

    Attributes:
        error_class: cut to 200 characters.
        error_message: likewise.
        at: when it failed; None if that was not told.
    """

    error_class: str
    error_message: str
    at: datetime | None


def past_errors(record: JobRecord) -> list[PastError]:
    """Up to ten, the earliest first; one round trip if the job has failed twice, else none."""
    if record.retried_at is None or not record.jid:
        return []
    access = record.access
    told = access.redis.call("LRANGE", access.keys.errors(record.jid), 0, -1)
    found = [mapping(document(raw)) for raw in reversed(told)]
    return [
        PastError(
            error_class=string(each.get("error_class")),
            error_message=string(each.get("error_message")),
            at=moment(to_ms(each.get("at"))),
        )
        for each in found
        if each.get("failed_at") == record["failed_at"]  # else of another job of this jid
    ]
