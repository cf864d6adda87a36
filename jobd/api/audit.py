"""Who did what by hand: a short record of operators' acts, for all who share a Redis.

It holds the newest only, so that it needs no care, and is no proof: whoever can write to Redis can
write here.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from jobd.api.access import Access
from jobd.api.replies import document, mapping, moment, number, string
from jobd.store import Script

_NOTE: Final = Script("note")
LIMIT: Final = 1_000
_LONGEST: Final = 1_000
_STEP: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An act.

    Attributes:
        at: by the server's clock.
        who: a user's name, or the name of a program.
        what: a verb such as ``retry`` or ``clear``.
        target: what it was done to: a queue, a set, a jid, an identity.
        count: for how many jobs.
        detail: whatever else there is to say.
    """

    at: datetime | None
    who: str
    what: str
    target: str
    count: int
    detail: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """What JSON can carry of it; the time in ISO 8601."""
        return {**asdict(self), "at": self.at and self.at.isoformat()}


class Audit:
    """The acts of operators, the newest first.

    Args:
        access: the current app's, if None.
        limit: how many are kept.
    """

    def __init__(self, *, access: Access | None = None, limit: int = LIMIT) -> None:
        self._access = Access.of() if access is None else access
        self._limit = limit

    @property
    def size(self) -> int:
        """How many are kept."""
        return number(self._access.redis.call("LLEN", self._access.keys.audit))

    def record(
        self,
        who: str,
        what: str,
        *,
        target: str = "",
        count: int = 1,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Note an act; texts are cut at 1,000 letters.

        Args:
            who: a user's name, or the name of a program.
            what: a verb such as ``retry`` or ``clear``.
            target: what it was done to.
            count: for how many jobs.
            detail: anything that JSON can carry; no secrets.
        """
        entry = {
            "at": self._access.now_ms(),
            "who": _plain(who),
            "what": _plain(what),
            "target": _plain(target),
            "count": count,
            "detail": dict(detail or {}),
        }
        key = self._access.keys.audit
        _NOTE.run(self._access.redis, 1, key, msgspec.json.encode(entry), self._limit)

    def entries(self, page: int = 1, size: int = 50) -> list[AuditEntry]:
        """A page of them, the newest first, counted from 1."""
        first = (page - 1) * size
        key = self._access.keys.audit
        found = self._access.redis.call("LRANGE", key, first, first + size - 1)
        return [_entry(mapping(document(raw))) for raw in found]

    def newest(self, verbs: Collection[str], targets: Iterable[str]) -> dict[str, AuditEntry]:
        """The last act of these verbs on each of the targets that changed something.

        Args:
            verbs: such as ``pause`` and ``unpause``.
            targets: as they were given to `record`.

        Returns:
            By target; without those that the log no longer tells of.
        """
        wanted = {_plain(target): target for target in targets}
        found: dict[str, AuditEntry] = {}
        for page in range(1, -(-self._limit // _STEP) + 1):
            entries = self.entries(page, _STEP) if wanted else []
            for entry in entries:
                if entry.count and entry.what in verbs and entry.target in wanted:
                    found[wanted.pop(entry.target)] = entry
            if len(entries) < _STEP:
                break
        return found


def _plain(text: str) -> str:
    """What JSON can carry of it: names may hold bytes that are no UTF-8."""
    return text[:_LONGEST].encode("utf-8", "backslashreplace").decode()


def _entry(told: dict[str, Any]) -> AuditEntry:
    at_ms = number(told.get("at"))
    return AuditEntry(
        at=moment(at_ms) if at_ms else None,
        who=string(told.get("who")),
        what=string(told.get("what")),
        target=string(told.get("target")),
        count=number(told.get("count")),
        detail=mapping(told.get("detail")),
    )
