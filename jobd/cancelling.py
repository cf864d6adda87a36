"""Cancelling a job, wherever it is.

Its jid is marked first, and only then is the job looked for where it waits, and taken out there.
So it does not matter what moves it meanwhile, or where the search does not reach: whoever claims a
marked job drops it, and where one runs it is ended. Workers and poller keep a copy of the marks,
and fetch what is new; an ordinary job costs a look into a set.

Source: Sidekiq's lib/sidekiq/iterable_job.rb for ``it-JID``, where iterable jobs look.
"""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Final

from jobd.errors import InvalidJob, MalformedPayload
from jobd.payload import decode
from jobd.store import Script, Store

LIFE_S: Final = 2_592_000
"""30 days, as Sidekiq keeps the state of an iterable job."""
_MOST: Final = 10_000
_PAGE: Final = 1_000
_MOST_LOOKED_AT: Final = 1_000_000

_CANCEL: Final = Script("cancel")
_FIND: Final = Script("find")


def cancel(store: Store, jid: str) -> str | None:
    """Have a job never run again, and end it if it runs.

    Looks for it at the first million jobs that wait; O(n) in those before it.

    Returns:
        Where it waited and was taken out: ``retry``, ``schedule`` or ``queue NAME``; None if
        it was not found waiting. Then it runs, or is done, or never was, or it waits further back:
        it will be dropped when its turn comes.

    Raises:
        InvalidJob: that is no jid.
    """
    mark(store, jid)
    pages = itertools.islice(_take_out(store, jid), _MOST_LOOKED_AT // _PAGE)
    return next((name for name, taken in pages if taken), None)


def mark(store: Store, jid: str) -> None:
    """Have a job never begin again, and end it if it runs; where it waits it stays until its turn.

    Raises:
        InvalidJob: that is no jid.
    """
    if type(jid) is not str or not jid:
        raise InvalidJob(f"jid: what a push returned, a string that is not empty, not {jid!r}")
    keys = store.keys
    _CANCEL.run(store.redis, 2, keys.cancelled, keys.iteration(jid), jid, LIFE_S, _MOST)


class Cancelled:
    """A copy of the marks.

    Args:
        store: over a connection of the thread that asks.

    Attributes:
        jids: of the cancelled jobs.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._newest = 0.0
        self.jids: set[str] = set()

    def refresh(self) -> float:
        """Fetch what is new; returns a number that changes when something was."""
        if len(self.jids) > 2 * _MOST:
            self.jids, self._newest = set(), 0.0  # most of them are forgotten by the server
        # The newest one again: several may be of the same microsecond.
        request = ("ZRANGEBYSCORE", self._store.keys.cancelled, repr(self._newest), "+inf")
        reply = self._store.redis.call(*request, "WITHSCORES")
        self.jids.update(str(jid, "utf-8", "replace") for jid in reply[::2])
        self._newest = max(self._newest, *map(float, reply[1::2]), 0.0)
        return self._newest


def _take_out(store: Store, jid: str) -> Iterator[tuple[str, int]]:
    """Page by page, where it is and how many jobs were taken out: several may have one jid."""
    keys, redis = store.keys, store.redis
    text = json.dumps(jid, ensure_ascii=False)  # as it stands in a payload
    for name, key in (("retry", keys.retry), ("schedule", keys.schedule)):
        for raws in _set_pages(store, key, text):
            found = [raw for raw in raws if _is_of(raw, jid)]
            yield name, redis.call("ZREM", key, *found) if found else 0
    names = [str(name, "utf-8", "replace") for name in redis.call("SMEMBERS", keys.queues)]
    for name in sorted(names):
        key = keys.queue(name)
        for raws in _queue_pages(store, key, text):
            found = [raw for raw in raws if _is_of(raw, jid)]
            yield f"queue {name}", sum(redis.call("LREM", key, -1, raw) for raw in found)


def _set_pages(store: Store, key: str, text: str) -> Iterator[list[bytes]]:
    pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
    cursor = b"0"
    while True:
        scan = ("ZSCAN", key, cursor, "MATCH", f"*{pattern}*", "COUNT", _PAGE)
        cursor, flat = store.redis.call(*scan)
        yield flat[::2]
        if cursor == b"0":
            return


def _queue_pages(store: Store, key: str, text: str) -> Iterator[list[bytes]]:
    """Those that run next first. What moves up between two pages may be missed."""
    size = int(store.redis.call("LLEN", key))
    for near in range(0, size, _PAGE):
        yield _FIND.run(store.redis, 1, key, text, -near - _PAGE, -1 - near)


def _is_of(raw: bytes, jid: str) -> bool:
    try:
        return decode(raw).get("jid") == jid
    except MalformedPayload:
        return False
