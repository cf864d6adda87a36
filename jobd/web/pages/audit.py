"""Audit: who did what by hand, here or by jobctl, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from jobd.api import Audit, AuditEntry
from jobd.web.inert import cut
from jobd.web.redaction import preview
from jobd.web.site import View, Visit, leaf

_PAGE: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """An act."""

    at: datetime | None
    who: str
    what: str
    target: str
    count: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """The page."""

    rows: Sequence[AuditRow]
    total: int
    page: int
    pages: int


def audit(visit: Visit) -> View:
    """The page."""
    log = Audit(access=visit.access)
    total = log.size
    page, pages = leaf(visit, total, _PAGE)
    rows = [_row(entry) for entry in log.entries(page, _PAGE)]
    return View("audit", AuditPage(rows=rows, total=total, page=page, pages=pages))


def _row(entry: AuditEntry) -> AuditRow:
    return AuditRow(
        at=entry.at,
        who=cut(entry.who, 200),
        what=cut(entry.what, 100),
        target=cut(entry.target, 200),
        count=entry.count,
        detail=preview(entry.detail, 300) if entry.detail else "",
    )
