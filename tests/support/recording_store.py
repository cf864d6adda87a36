"""A store that keeps what was written to it in memory, for tests of what is written."""

from collections.abc import Mapping
from typing import Any

from jobd.errors import RedisUnavailable
from jobd.payload import decode


class RecordingStore:
    """A ``jobd.client.Writer``.

    Attributes:
        writes: each round trip in order, ("push", {queue: [raw]}) or ("schedule", [(at_s, raw)]).
        fails_after: how many writes succeed before all of them raise; None if all do.
    """

    def __init__(self) -> None:
        self.writes: list[tuple[str, Any]] = []
        self.fails_after: int | None = None

    def push(self, batches: Mapping[str, list[bytes]]) -> None:
        """Keep a push."""
        self._write("push", {queue: list(raws) for queue, raws in batches.items()})

    def schedule(self, entries: list[tuple[float, bytes]]) -> None:
        """Keep a schedule."""
        self._write("schedule", list(entries))

    def _write(self, kind: str, what: Any) -> None:
        if self.fails_after is not None and len(self.writes) >= self.fails_after:
            raise RedisUnavailable("cannot use Redis at redis://:***@nowhere")
        self.writes.append((kind, what))

    @property
    def pushed(self) -> list[dict[str, Any]]:
        """Payloads that went to queues, in the order in which they run."""
        return [
            decode(raw)
            for kind, batches in self.writes
            if kind == "push"
            for raws in batches.values()
            for raw in raws
        ]

    @property
    def scheduled(self) -> list[tuple[float, dict[str, Any]]]:
        """Payloads that were scheduled, each with its time in epoch seconds."""
        return [
            (at_s, decode(raw))
            for kind, entries in self.writes
            if kind == "schedule"
            for at_s, raw in entries
        ]
