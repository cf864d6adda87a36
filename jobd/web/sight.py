"""A search that finds by what may be seen only.

What is masked could otherwise be guessed, a letter at a time, by whether a job is found.
"""

from dataclasses import dataclass, field

import msgspec

from jobd.api import Filter, JobRecord
from jobd.web.redaction import Masks


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight(Filter):
    """A filter of a visitor, for lists and for acts alike.

    Attributes:
        words: stand, each somewhere, in what may be seen of the job; ``text`` is one of them.
        arg: stands in what may be seen of its arguments.
        masks: of the dashboard.
    """

    words: tuple[str, ...] = ()
    arg: str | None = None
    masks: Masks = field(repr=False, compare=False)

    def matches(self, record: JobRecord) -> bool:
        """Whether a job is meant."""
        if not Filter.matches(self, record):
            return False
        if self.arg is not None and not self._has_arg(record, self.arg):
            return False
        if not self.words:
            return True
        seen = self._seen(record)
        return all(Filter(text=word).matches(seen) for word in self.words)

    def _has_arg(self, record: JobRecord, wanted: str) -> bool:
        if record.is_malformed:
            return False
        shown = self.masks.args(record.display_class, record.display_args).args
        return Filter(text=wanted).matches(JobRecord(msgspec.json.encode(shown)))

    def _seen(self, record: JobRecord) -> JobRecord:
        """What is left of a job for people."""
        if record.is_malformed:
            return JobRecord(self.masks.text(record.text).encode(errors="replace"))
        args = self.masks.args(record.display_class, record.display_args).args
        fields = self.masks.fields({**record.fields, "class": record.display_class})
        return JobRecord(msgspec.json.encode({**fields, "args": args}))
