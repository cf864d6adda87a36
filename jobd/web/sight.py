"""A search that finds by what may be seen only.

What is masked could otherwise be guessed, a letter at a time, by whether a job is found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec

from jobd.api import Filter, JobRecord
from jobd.web.arg_path import ArgPath
from jobd.web.redaction import Masks


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight(Filter):
    """A filter of a visitor, for lists and for acts alike.

    Attributes:
        words: stand, each somewhere, in what may be seen of the job; ``text`` is one of them.
        arg: stands in what may be seen of its arguments.
        paths: lead to values in what may be seen of them.
        masks: of the dashboard.
    """

    words: tuple[str, ...] = ()
    arg: str | None = None
    paths: tuple[ArgPath, ...] = ()
    masks: Masks = field(repr=False, compare=False)

    def matches(self, record: JobRecord) -> bool:
        """Whether a job is meant."""
        if not Filter.matches(self, record):
            return False
        if (self.arg is not None or self.paths) and not self._has_args(record):
            return False
        if not self.words:
            return True
        seen = self._seen(record)
        return all(Filter(text=word).matches(seen) for word in self.words)

    @property
    def hints(self) -> Sequence[str]:
        """The names in the paths."""
        return list(chain.from_iterable(path.names for path in self.paths))

    def _has_args(self, record: JobRecord) -> bool:
        if record.is_malformed:
            return False
        shown = self._args(record)
        if not all(path.leads_to(shown) for path in self.paths):
            return False
        return self.arg is None or Filter(text=self.arg).matches(
            JobRecord(msgspec.json.encode(shown))
        )

    def _args(self, record: JobRecord) -> list[Any]:
        return self.masks.args(record.display_class, record.display_args).args

    def _seen(self, record: JobRecord) -> JobRecord:
        """What is left of a job for people."""
        if record.is_malformed:
            return JobRecord(self.masks.text(record.text).encode(errors="replace"))
        args = self._args(record)
        fields = self.masks.fields({**record.fields, "class": record.display_class})
        return JobRecord(msgspec.json.encode({**fields, "args": args}))
