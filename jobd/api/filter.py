"""Which jobs an operator means.

All that is given must hold. Every comparison tells capital letters from small ones, as the pattern
does with which the server sorts out most of the rest before it is sent.
"""

import fnmatch
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from jobd.api.records import JobRecord
from jobd.api.replies import string

# What every JSON encoder writes as it is: what lies between may stand there escaped.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:@-]+")
# A number may be written in more ways than one.
_WORD: Final = re.compile(r"[A-Za-z_]{2}")
_WILD: Final = re.compile(r"[*?]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A set of conditions on jobs; without any it matches all, also what is no job.

    Attributes:
        class_name: of the job, also inside ActiveJob; ``*`` and ``?`` stand for any letters, for
            any one.
        jid: its jid, or `JobRecord.key`.
        queue: that holds it, or that it will go to.
        tag: one of its tags.
        error: the class of its last error, or a part of ``CLASS: MESSAGE``.
        text: stands anywhere in it: in the arguments, the error, the JSON itself.
        before: it is due, died or was queued before this; an aware datetime.
        after: the same, at this time or later.
    """

    class_name: str | None = None
    jid: str | None = None
    queue: str | None = None
    tag: str | None = None
    error: str | None = None
    text: str | None = None
    before: datetime | None = None
    after: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("before", "after"):
            moment: datetime | None = getattr(self, name)
            if moment is not None and moment.utcoffset() is None:
                raise ValueError(
                    f"{name}: {moment!r} has no time zone, so the moment it means is not known; "
                    "pass moment.astimezone(), or datetime.now(UTC) and the like"
                )

    def matches(self, record: JobRecord) -> bool:
        """Whether a job is meant."""
        return (
            self._is_of_class(record)
            and self.jid in {None, record.key}
            and self.queue in {None, record.queue}
            and (self.tag is None or self.tag in record.tags)
            and (
                self.error is None or self.error in f"{record.error_class}: {record.error_message}"
            )
            and (self.text is None or self._has_text(record, self.text))
            and self._is_in_time(record)
        )

    @property
    def pattern(self) -> str | None:
        """A glob that the JSON of every matching job has, however it was encoded; None for all."""
        # A digest of the bytes is not in them.
        jid = None if self.jid and self.jid.startswith("sha1:") else self.jid
        wanted = (self.class_name, jid, self.tag, self.error, self.text, *self.hints)
        runs = [run for each in wanted if each for run in _PLAIN.findall(each.replace(": ", " "))]
        words = [run for run in runs if _WORD.search(run) or run == self.jid]
        return f"*{max(words, key=len)}*" if words else None

    @property
    def hints(self) -> Sequence[str]:
        """Further texts that every matching job holds, for the pattern."""
        return ()

    def _is_of_class(self, record: JobRecord) -> bool:
        wanted = self.class_name
        if wanted is None:
            return True
        names = [record.class_name, record.display_class, string(record["wrapped"])]
        if not _WILD.search(wanted):
            return wanted in names
        # Without fnmatch's brackets, which class names do not have and error texts might.
        glob = wanted.replace("[", "[[]")
        return any(fnmatch.fnmatchcase(name, glob) for name in names)

    def _has_text(self, record: JobRecord, wanted: str) -> bool:
        if wanted in record.text or wanted in f"{record.error_class}: {record.error_message}":
            return True
        args = record.args
        return wanted in json.dumps(args, ensure_ascii=False) or _is_in_a_string(wanted, args)

    def _is_in_time(self, record: JobRecord) -> bool:
        if self.before is None and self.after is None:
            return True
        at = record.at
        if at is None:
            return False
        return (self.before is None or at < self.before) and (
            self.after is None or at >= self.after
        )


def _is_in_a_string(wanted: str, args: list[Any]) -> bool:
    """Whether it stands in an argument that JSON writes with escapes."""
    level = args
    while level:
        if any(isinstance(each, str) and wanted in each for each in level):
            return True
        level = [child for each in level for child in _children(each)]
    return False


def _children(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


EVERYTHING: Final = Filter()
