"""What is kept of each task with the option ``result_ttl``: what results of tasks are made of.

A record holds the payload and its attempts, from when it is enqueued until the result has run out;
the outcome is the one that jobd keeps for any job (``jobd.results``), written before the job is
settled. So a task counts as done or failed only if it is, whatever becomes of its record: while
Redis is away nothing is noted, and the next attempt writes the record anew.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict, cast

import msgspec

from jobd import log
from jobd.app import current_app  # noqa: TID251 - a backend is made by Django, from settings
from jobd.errors import RedisError
from jobd.payload import Payload, encode

if TYPE_CHECKING:
    from jobd.store import Store  # imports redis: not before a push

OPTION: Final = "result_ttl"
"""Of a backend: seconds for which results are kept; without it, none are."""
ENQUEUED_AT: Final = "task_enqueued_at"
"""A field of the payload: the time in ISO 8601, since ``created_at`` has no microseconds."""
_WAITS_S: Final = 2_592_000
_KEPT_FIELDS: Final = ("class", "jid", "queue", "args", "created_at", ENQUEUED_AT, OPTION)


class Attempt(TypedDict):
    """One run of a task; its times are ISO 8601.

    Attributes:
        error: path of the exception's class and the traceback; None if it did not fail, or runs.
    """

    worker: str
    started_at: str | None
    ended_at: str | None
    error: Sequence[str] | None


class Kept(NamedTuple):
    """All that is known of one task.

    Attributes:
        payload: those fields of it that say what was enqueued.
        outcome: the record of ``jobd.results``, or None while the task has not ended for good.
        is_cancelled: whether it was cancelled, if it has not ended otherwise.
    """

    payload: Payload
    attempts: list[Attempt]
    outcome: Mapping[str, Any] | None
    is_cancelled: bool


class Records:
    """The records of one Redis.

    Args:
        store: of the app.
    """

    def __init__(self, store: "Store") -> None:
        self._store = store

    @classmethod
    def of_app(cls) -> "Records | None":
        """Those of the app; None where a test keeps its jobs from Redis."""
        app = current_app()
        if app.stand_in is not None and app.stand_in.writer() is not None:
            return None
        from jobd.store import Store  # noqa: PLC0415 - see above

        store = app.store
        return cls(store) if isinstance(store, Store) else None

    def enqueued(self, payload: Payload, *, due_s: float | None) -> None:
        """Keep what was pushed just now, unless a worker is faster and has begun already.

        Args:
            payload: as it was pushed.
            due_s: epoch seconds, if it is scheduled.
        """
        key, body = self._key(payload["jid"]), _encoded(payload, [])
        if due_s is None:
            self._note(("SET", key, body, "EX", _waiting_s(payload), "NX"))
        else:
            self._note(("SET", key, body, "EXAT", int(due_s) + _waiting_s(payload), "NX"))

    def began(self, payload: Payload, attempts: Sequence[Attempt]) -> None:
        """Keep an attempt that begins; an earlier outcome of this task, now run again, is void."""
        outcome, record = self._keys(payload["jid"])
        body = _encoded(payload, attempts)
        self._note(("DEL", outcome), ("SET", record, body, "EX", _waiting_s(payload)))

    def changed(self, payload: Payload, attempts: Sequence[Attempt]) -> None:
        """Keep how the last attempt ended."""
        body = _encoded(payload, attempts)
        self._note(("SET", self._key(payload["jid"]), body, "EX", _waiting_s(payload)))

    def is_over(self, payload: Payload) -> None:
        """Let the record end with the result."""
        self._note(("EXPIRE", self._key(payload["jid"]), payload["result_ttl"]))

    def attempts(self, jid: str) -> list[Attempt]:
        """The attempts that are kept; none while Redis is away."""
        try:
            raw = self._store.redis.call("GET", self._key(jid))
        except RedisError as error:
            _tell(error)
            return []
        return [] if raw is None else msgspec.json.decode(raw)["attempts"]

    def find(self, jid: str) -> Kept | None:
        """What is kept of a task, or None.

        Raises:
            RedisError: Redis was not reached.
        """
        keys, redis = self._store.keys, self._store.redis
        outcome, record = self._keys(jid)
        found = redis.pipeline(
            [("MGET", outcome, record), ("ZSCORE", keys.cancelled, jid)],
        )
        (ended, raw), marked = cast("tuple[list[bytes | None], bytes | None]", tuple(found))
        if raw is None:
            return None
        kept = msgspec.json.decode(raw)
        return Kept(
            payload=kept["payload"],
            attempts=kept["attempts"],
            outcome=None if ended is None else msgspec.json.decode(ended),
            is_cancelled=marked is not None,
        )

    def _keys(self, jid: str) -> tuple[str, str]:
        return self._store.keys.result(jid), self._key(jid)

    def _key(self, jid: str) -> str:
        return self._store.keys.task(jid)

    def _note(self, *commands: tuple[Any, ...]) -> None:
        try:
            for command in commands:
                self._store.redis.call(*command)
        except RedisError as error:
            _tell(error)


def _encoded(payload: Payload, attempts: Sequence[Attempt]) -> bytes:
    kept = {key: payload[key] for key in _KEPT_FIELDS if key in payload}
    return encode({"payload": kept, "attempts": list(attempts)})


def _waiting_s(payload: Payload) -> int:
    """Longer than between any two tries, and than most jobs wait in a queue."""
    return max(_WAITS_S, int(payload["result_ttl"]))


def _tell(error: RedisError) -> None:
    # The task is pushed or run all the same: it is worth more than what is noted of it.
    log.event("what is known of the task is not kept", level="warning", reason=str(error))
