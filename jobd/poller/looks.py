"""What operators want of a running job: to see where it is, or its end at once.

They leave it in a list of this instance's (`jobd.api.looks`). Stacks come from the master, by way
of C and so from any job; its last log lines the worker leaves itself, if its Python code goes on.
Both lie in Redis for a minute.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from jobd import log
from jobd.clock import Clock
from jobd.last_lines import LastLines
from jobd.scoreboard import Scoreboard
from jobd.store import Store

_LIFE_S: Final = 60
_PATIENCE_S: Final = 3.0
_MOST: Final = 20


class Ask(msgspec.Struct, frozen=True):
    """What somebody wants.

    Attributes:
        ask: what.
        processor: ``SLOT.THREAD.INCARNATION``.
        jid: of the job that should run there.
    """

    ask: str
    processor: str
    jid: str


class _Open(msgspec.Struct):
    """A worker that was asked.

    Attributes:
        lines_before: as `LastLines.count` was.
        until: when it is answered with what is there.
        stacks: that have come.
    """

    asks: list[Ask]
    lines_before: int
    until: float
    stacks: str | None = None


class Looks:
    """The poller's part of it.

    Args:
        store: of the poller.
        identity: of this instance.
        scoreboard: which slots there are.
        lines: where workers leave theirs.
        clock: for how long somebody was waited for.
    """

    def __init__(
        self,
        store: Store,
        identity: str,
        scoreboard: Scoreboard,
        lines: LastLines,
        clock: Clock,
    ) -> None:
        self._redis, self._keys = store.redis, store.keys
        self._identity = identity
        self._scoreboard = scoreboard
        self._lines = lines
        self._clock = clock
        self._open: dict[tuple[int, int], _Open] = {}

    def step(self) -> Iterator[dict[str, str | int]]:
        """Take what is wanted, answer what can be; what to tell the master.

        Raises:
            RedisError: what was not answered yet is answered later.
        """
        for raw in self._redis.call("LPOP", self._keys.asks(self._identity), _MOST) or ():
            yield from self._begin(raw)
        for worker, asked in list(self._open.items()):
            lines = self._lines.read(*worker, asked.lines_before)
            is_complete = asked.stacks is not None and lines is not None
            if is_complete or self._clock.monotonic() >= asked.until:
                self._answer(asked, lines)
                del self._open[worker]

    @property
    def is_open(self) -> bool:
        """Whether somebody has not been answered yet."""
        return bool(self._open)

    def take(self, told: Mapping[str, Any]) -> None:
        """The master has the stacks of a worker."""
        asked = self._open.get((told["slot"], told["incarnation"]))
        if asked is not None:
            asked.stacks = told["text"]

    def _begin(self, raw: bytes) -> Iterator[dict[str, str | int]]:
        try:
            ask = msgspec.json.decode(raw, type=Ask)
            slot, thread, incarnation = map(int, ask.processor.split("."))
        except ValueError as error:  # msgspec's, too
            log.event("what is asked makes no sense", level="warning", reason=str(error))
            return
        where = {"slot": slot, "incarnation": incarnation}
        if not 0 < slot <= self._scoreboard.used:
            return
        if ask.ask == "kill":
            yield {"type": "kill", **where, "thread": thread, "jid": ask.jid}
        elif (asked := self._open.get((slot, incarnation))) is not None:
            asked.asks.append(ask)
        else:
            until = self._clock.monotonic() + _PATIENCE_S
            self._open[slot, incarnation] = _Open([ask], self._lines.count(slot), until)
            yield {"type": "show", **where}

    def _answer(self, asked: _Open, lines: bytes | None) -> None:
        told = {
            "at_ms": self._clock.now_ms(),
            "stacks": asked.stacks or "",
            "lines": None if lines is None else lines.decode(errors="replace"),
        }
        for ask in asked.asks:
            key = self._keys.look(self._identity, ask.processor)
            self._redis.call("SET", key, json.dumps({"jid": ask.jid, **told}), "EX", _LIFE_S)
