"""A job as the pages show it, masked and cut; the same values make the JSON twins."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from jobd.api import JobRecord, SortedEntry
from jobd.web.addresses import address_of
from jobd.web.inert import cut
from jobd.web.redaction import preview
from jobd.web.site import Visit

_LINE: Final = 160
_ERROR_LINE: Final = 300
_CELL: Final = 1_000
_NAME: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job in a list.

    Attributes:
        id: by which its place finds it again.
        place: ``schedule``, ``retry``, ``dead``, ``queue`` or ``running``.
        at: when it is due, died, was queued or was started.
        class_address: what stands for the class in addresses.
        queue_address: the same for the queue.
        args: as JSON, cut.
        is_malformed: it is no job, and ``args`` holds its bytes.
        is_masked: some arguments were left out.
        retries: how often it has failed; None before the first time.
    """

    id: str
    place: str
    jid: str
    class_name: str
    class_address: str
    queue: str
    queue_address: str
    args: str
    tags: tuple[str, ...]
    at: datetime | None
    error_class: str
    error_message: str
    retries: int | None
    is_malformed: bool
    is_masked: bool


def job_row(visit: Visit, record: JobRecord, place: str, **known: Any) -> JobRow:
    """A job as a row.

    Args:
        visit: whose masks are laid on.
        record: the job.
        place: where it lies.
        known: ``id`` and ``at``, where the record does not know them itself.
    """
    args, is_masked = _args(visit, record)
    count = record.retry_count
    row_id = record.id if isinstance(record, SortedEntry) else record.key
    return JobRow(
        id=known.get("id", row_id),
        place=place,
        jid=record.jid[:_NAME],
        class_name=cut(record.display_class, _NAME),
        class_address=address_of(record.display_class),
        queue=cut(record.queue, _NAME),
        queue_address=address_of(record.queue),
        args=args,
        tags=tuple(cut(tag, 60) for tag in record.tags[:20]),
        at=known.get("at", record.at),
        error_class=cut(record.error_class, _NAME),
        error_message=cut(record.error_message, _CELL if visit.wants_file else _ERROR_LINE),
        retries=None if count is None else count + 1,
        is_malformed=record.is_malformed,
        is_masked=is_masked,
    )


def _args(visit: Visit, record: JobRecord) -> tuple[str, bool]:
    longest = _CELL if visit.wants_file else _LINE
    if record.is_malformed:
        return cut(visit.site.masks.text(record.text[: 2 * longest]), longest), False
    shown = visit.site.masks.args(record.display_class, record.display_args)
    text = preview(shown.args, longest)
    return text.removeprefix("[").removesuffix("]"), shown.is_masked
