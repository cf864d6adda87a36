"""A job where it lies: its bytes, what they say, and what an operator may do to it.

The bytes are kept as they were read, since every act takes a job out by exactly these. Anything may
stand in Redis: what is no job is shown, deleted and killed like the rest, and is refused, with the
reason, where a job is needed.

Source: Sidekiq's lib/sidekiq/api.rb, JobRecord and SortedEntry.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

from jobd.api.access import Access
from jobd.api.moves import Again, Moves, score_text
from jobd.api.replies import fields, moment, string, strings, text
from jobd.api.wrapping import display_args, display_class, unpack_backtrace
from jobd.errors import CannotAct
from jobd.payload import to_ms

SetName: TypeAlias = Literal["schedule", "retry", "dead"]
_LONGEST_KEY: Final = 200


class JobRecord:
    """A job of a queue, or one that runs.

    Args:
        raw: its bytes, exactly as they stand in Redis.
        queue: the queue that holds it; by default the one that it names.
        access: the current app's, if None.
    """

    def __init__(
        self, raw: bytes, *, queue: str | None = None, access: Access | None = None
    ) -> None:
        self.raw = raw
        self._queue = queue
        self._given = access

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.display_class or 'not a job'} {self.key}>"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __getitem__(self, name: str) -> Any:
        """A field of the payload; None if there is none."""
        return self.fields.get(name)

    def get(self, name: str, default: Any = None) -> Any:
        """A field of the payload."""
        return self.fields.get(name, default)

    @cached_property
    def fields(self) -> dict[str, Any]:
        """What the bytes say; empty if they are no job."""
        return fields(self.raw)

    @property
    def is_malformed(self) -> bool:
        """No JSON object with ``class`` and ``args``: it can be shown, deleted and killed."""
        return not self.fields

    @property
    def text(self) -> str:
        """The bytes as text; what is no UTF-8 is escaped."""
        return text(self.raw)

    @property
    def key(self) -> str:
        """The jid; ``sha1:`` and a digest for what has none, or none that can be named by it.

        Of more than 200 letters, or of some that cannot be printed.
        """
        if 0 < len(self.jid) <= _LONGEST_KEY and self.jid.isprintable():
            return self.jid
        digest = hashlib.sha1(self.raw, usedforsecurity=False).hexdigest()
        return f"sha1:{digest}"

    # What it says

    @property
    def class_name(self) -> str:
        """The name on the wire; empty if malformed."""
        return string(self["class"])

    @property
    def display_class(self) -> str:
        """The name for people: of the job inside ActiveJob, ``Mailer#method`` of a mail."""
        return display_class(self.fields)

    @property
    def args(self) -> list[Any]:
        """The arguments on the wire."""
        return list(self.get("args", ()))

    @property
    def display_args(self) -> list[Any]:
        """The arguments for people: those inside ActiveJob; an encrypted last one is masked."""
        return display_args(self.fields)

    @property
    def jid(self) -> str:
        """Empty if there is none."""
        return string(self["jid"])

    @property
    def bid(self) -> str:
        """Of the batch; empty if there is none."""
        return string(self["bid"])

    @property
    def queue(self) -> str:
        """The queue that holds it, or that it will go to."""
        return string(self["queue"]) if self._queue is None else self._queue

    @property
    def tags(self) -> tuple[str, ...]:
        """Words of the application's."""
        return strings(self["tags"])

    @property
    def created_at(self) -> datetime | None:
        """When it was made."""
        return self._moment("created_at")

    @property
    def enqueued_at(self) -> datetime | None:
        """When it last entered a queue."""
        return self._moment("enqueued_at")

    @property
    def failed_at(self) -> datetime | None:
        """When it first failed."""
        return self._moment("failed_at")

    @property
    def retried_at(self) -> datetime | None:
        """When it last failed, from the second time on."""
        return self._moment("retried_at")

    @property
    def at(self) -> datetime | None:
        """When it came to be where it is; in a set, when it is due or died."""
        return self.enqueued_at or self.created_at

    def latency_s(self, now_ms: int) -> float:
        """Seconds since it entered its queue, or else was made.

        Args:
            now_ms: milliseconds since the epoch, of the server's clock.
        """
        since_ms = to_ms(self["enqueued_at"])
        since_ms = to_ms(self["created_at"]) if since_ms is None else since_ms
        return 0.0 if since_ms is None else max(0, now_ms - since_ms) / 1000

    @property
    def error_class(self) -> str:
        """Of the last failure; empty if it never failed."""
        return string(self["error_class"])

    @property
    def error_message(self) -> str:
        """Of the last failure."""
        return string(self["error_message"])

    @property
    def error_backtrace(self) -> list[str]:
        """The frames of the last failure, the innermost first; empty if none were kept."""
        return unpack_backtrace(self["error_backtrace"])

    @property
    def retry_count(self) -> int | None:
        """0 after the first failure; None before it."""
        count = self["retry_count"]
        return count if type(count) is int else None

    def as_dict(self) -> dict[str, Any]:
        """What JSON can carry of it: ``payload``, or ``raw`` if malformed; and ``queue``."""
        found = {"payload": self.fields} if self.fields else {"raw": self.text}
        return {"queue": self.queue, **found}

    # What may be done to it

    def delete(self) -> bool:
        """Take it out of its queue; O(n) in the queue's size.

        Returns:
            False if it was no longer there: it runs, or somebody else took it out.
        """
        return Moves(self.access).delete_queued(self._holder, self.raw)

    def kill(self, *, notify: bool = True) -> bool:
        """Move it from its queue to the dead set; O(n) in the queue's size.

        Args:
            notify: whether the app's death handlers hear of it, in this process.

        Returns:
            False if it was no longer there.
        """
        return Moves(self.access).kill_queued(self._holder, self.raw, notify=notify)

    @property
    def access(self) -> Access:
        """What it acts through."""
        if self._given is None:
            self._given = Access.of()
        return self._given

    @property
    def _holder(self) -> str:
        if self._queue is None and not self.queue:
            raise CannotAct(f"{self!r}: no queue holds it: pass JobRecord the queue")
        return self.queue

    def _moment(self, name: str) -> datetime | None:
        return moment(to_ms(self[name]))


class SortedEntry(JobRecord):
    """A job of ``schedule``, ``retry`` or ``dead``.

    Args:
        raw: its bytes, exactly as they stand in Redis.
        score: when it is due, or died, in epoch seconds.
        place: the set that holds it.
        access: the current app's, if None.

    Every act returns False if the job was no longer there: it ran, or somebody was faster. Of two
    who act on one entry at once exactly one is told True.
    """

    def __init__(
        self, raw: bytes, score: float, place: SetName, *, access: Access | None = None
    ) -> None:
        super().__init__(raw, access=access)
        self.score = score
        self.place: SetName = place

    @property
    def id(self) -> str:
        """``SCORE|KEY``, by which its set finds it again: the key is the jid, if there is one."""
        return f"{score_text(self.score)}|{self.key}"

    @property
    def at(self) -> datetime | None:
        """When it is due, or died."""
        return moment(self.score * 1000)

    def as_dict(self) -> dict[str, Any]:
        """What JSON can carry of it, with ``id`` and ``at`` in epoch seconds."""
        return {"id": self.id, "at": self.score, **super().as_dict()}

    def delete(self) -> bool:
        """Forget it."""
        return bool(Moves(self.access).delete(self.place, [self.raw]))

    def reschedule(self, when: float | timedelta | datetime) -> bool:
        """Have it due at another time.

        Args:
            when: an aware datetime, a timedelta from now, or epoch seconds (below 1,000,000,000:
                seconds from now).

        Raises:
            CannotAct: it is dead.
            InvalidJob: it is no time.
        """
        return bool(Moves(self.access).reschedule(self.place, [self.raw], when))

    def add_to_queue(self) -> bool:
        """Have it run now.

        Raises:
            CannotAct: it is no job.
        """
        return self._enqueue(Again(self.access))

    def retry(self, *, args: Sequence[Any] | None = None) -> bool:
        """Have it run now, as a further try: its ``retry_count`` goes down by one.

        Args:
            args: other arguments than the ones it has.

        Raises:
            CannotAct: it is no job.
            InvalidArguments: JSON cannot carry the arguments.
        """
        return self._enqueue(Again(self.access, is_retry=True, args=args))

    def kill(self, *, notify: bool = True) -> bool:
        """Move it to the dead set, as if it had died now.

        Args:
            notify: whether the app's death handlers hear of it, in this process.

        Raises:
            CannotAct: it is dead.
        """
        return bool(Moves(self.access).kill(self.place, [self.raw], notify=notify))

    def _enqueue(self, again: Again) -> bool:
        now_ms = self.access.now_ms()
        moved = Moves(self.access).enqueue(self.place, [again.promotion(self.raw, now_ms)])
        if moved.refused:
            raise CannotAct(f"{self!r} stays in {self.place}: {moved.refused}")
        return bool(moved.jobs)
