"""Pushing jobs: item in, middleware, bytes out to the store.

A push is never sent twice, but for ``reliable_push``, whose pushes the server knows by a number.
Which Redis, and which settings, is the app's business.

A push with ``await`` is prepared where it is called, in the context of that task; only the write
is left to a thread, so that the loop goes on meanwhile.

Source: Sidekiq's lib/sidekiq/client.rb. Unlike there, ``at`` means the same in every push: below
1,000,000,000 it is seconds from now, and what is due already goes straight to its queue.
"""

import contextlib
import itertools
import logging
import random
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from jobd.clock import Clock, SystemClock
from jobd.errors import InvalidArguments, InvalidJob, PushBufferFull, RedisUnavailable
from jobd.middleware import Chain, ClientChain
from jobd.payload import (
    Payload,
    Strict,
    When,
    Wire,
    build,
    check_values,
    encode,
    loosen,
    new_jid,
    resolve_at,
    timestamp,
)

R = TypeVar("R")

OnPushed: TypeAlias = Callable[["Prepared"], object]

_SLICE: Final = 1_000
_SLICE_SCHEDULED: Final = 100
_SHORTEST_SPREAD_S: Final = 5
_BULK_KEYS: Final = ("at", "batch_size", "spread_interval")
_logger = logging.getLogger("jobd")


class Writer(Protocol):
    """What a client needs of the store."""

    def push(self, batches: Mapping[str, list[bytes]]) -> object:
        """Queue payloads by queue; the first of each list runs first."""
        ...

    def schedule(self, entries: list[tuple[float, bytes]]) -> object:
        """Keep payloads until their time in epoch seconds."""
        ...


class Prepared(NamedTuple):
    """A payload that may be written: past middleware and checks.

    Attributes:
        at_s: epoch seconds, or None if it goes to its queue at once.
    """

    payload: Payload
    at_s: float | None


class Client:
    """Pushes jobs; threads may share it.

    Args:
        open_store: called at each write; it connects at the first and returns the same afterwards.
        middleware: what each payload goes through; nothing, if None.
        wire: how times are written.
        strict: whether arguments that JSON would change are refused, pushed with a warning, or
            pushed.
        defaults: fields for every job that does not set them; read at each push.
        clock: the machine's, if None.
    """

    def __init__(
        self,
        open_store: Callable[[], Writer],
        *,
        middleware: ClientChain | None = None,
        wire: Wire = 8,
        strict: Strict = "raise",
        defaults: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._open_store = open_store
        self._middleware: ClientChain = Chain() if middleware is None else middleware
        self._wire: Wire = wire
        self._strict = strict
        self._defaults: Mapping[str, Any] = {} if defaults is None else defaults
        self._clock = clock or SystemClock()
        self._rng = random.Random()  # noqa: S311 - spreads jobs over time, keeps no secret

    def push(self, item: Mapping[str, Any], *, on_pushed: OnPushed | None = None) -> str | None:
        """Push one job by name.

        Args:
            item: ``class`` and ``args``, and any of ``queue``, ``retry``, ``at`` and the other
                fields of a payload; further keys are carried.
            on_pushed: called with what was written.

        Returns:
            The jid, or None if a middleware stopped the push.

        Raises:
            InvalidJob: a field or an argument is wrong; nothing was written.
            RedisUnavailable: whether the job was written is not known; ``jid`` names it.
            RedisFull: the server has no room; nothing was written.
        """
        ready = self.prepare(item)
        if ready is None:
            return None
        try:
            self._write([ready])
        except RedisUnavailable as error:
            error.jid = ready.payload["jid"]
            raise
        return self._announce(ready, on_pushed)

    async def apush(
        self, item: Mapping[str, Any], *, on_pushed: OnPushed | None = None
    ) -> str | None:
        """Push one job without blocking the loop; as ``push``.

        If the task that awaits it is cancelled, whether the job was pushed is not known.
        """
        ready = self.prepare(item)
        if ready is None:
            return None
        try:
            await self._awrite([ready])
        except RedisUnavailable as error:
            error.jid = ready.payload["jid"]
            raise
        return self._announce(ready, on_pushed)

    def prepare(self, item: Mapping[str, Any]) -> Prepared | None:
        """Do all of a push but the write; None if a middleware stopped it.

        Raises:
            InvalidJob: a field or an argument is wrong.
        """
        now_ms = self._clock.now_ms()
        at_s = resolve_at(item["at"], now_ms) if "at" in item else None
        built = build({**self._defaults, **item}, now_ms=now_ms, wire=self._wire)
        return self._admit(built, at_s)

    def push_bulk(
        self,
        item: Mapping[str, Any],
        *,
        batch_size: int | None = None,
        at: When | Sequence[When] | None = None,
        spread_interval: float | None = None,
        on_pushed: OnPushed | None = None,
    ) -> list[str | None]:
        """Push many jobs of one name, slice by slice; each slice is one round trip.

        Args:
            item: as for ``push``, but ``args`` is an iterable (a lazy one will do) of argument
                lists, and the keyword arguments below may stand in it instead.
            batch_size: jobs in a slice; 1,000, or 100 if they are scheduled.
            at: one time for all, or a list with one for each.
            spread_interval: seconds, at least 5, over which the jobs are spread at random.
            on_pushed: called for each job after its slice was written.

        Returns:
            A jid for each argument list; None where a middleware stopped the push.

        Raises:
            InvalidJob: a field or an argument is wrong. The slices before it were pushed.
            RedisUnavailable: as for ``push``; a note tells how many jobs were pushed before.
        """
        bulk = _Bulk()
        for slice_ in self._slices(item, batch_size, at, spread_interval):
            with bulk.adding(slice_) as ready:
                self._write(ready)
            for job in ready:
                self._announce(job, on_pushed)
        return bulk.jids

    async def apush_bulk(
        self,
        item: Mapping[str, Any],
        *,
        batch_size: int | None = None,
        at: When | Sequence[When] | None = None,
        spread_interval: float | None = None,
        on_pushed: OnPushed | None = None,
    ) -> list[str | None]:
        """Push many jobs without blocking the loop but to prepare a slice; as ``push_bulk``."""
        bulk = _Bulk()
        for slice_ in self._slices(item, batch_size, at, spread_interval):
            with bulk.adding(slice_) as ready:
                await self._awrite(ready)
            for job in ready:
                self._announce(job, on_pushed)
        return bulk.jids

    def _slices(
        self, item: Mapping[str, Any], batch_size: object, at: object, spread_interval: object
    ) -> "Iterator[_Slice]":
        item, given = _split(item, batch_size, at, spread_interval)
        is_scheduled = given["at"] is not None or given["spread_interval"] is not None
        size = _slice_size(given["batch_size"], is_scheduled=is_scheduled)
        now_ms = self._clock.now_ms()
        fields: Payload = {**self._defaults, **item, "args": []}
        template = build(fields, now_ms=now_ms, wire=self._wire)
        argument_lists = _argument_lists(item, given["at"])
        moments = self._moments(given["at"], given["spread_interval"], argument_lists, now_ms)
        jids = itertools.repeat(item["jid"]) if "jid" in item else iter(new_jid, "")
        parts = zip(_checked(argument_lists), moments, jids, strict=False)
        jobs = self._admitted(template, parts)
        while batch := list(itertools.islice(jobs, size)):
            yield batch

    def _admitted(
        self, template: Payload, parts: Iterable[tuple[list[Any], float | None, str]]
    ) -> Iterator[Prepared | None]:
        for index, (args, at_s, jid) in enumerate(parts):
            try:
                yield self._admit({**template, "args": args, "jid": jid}, at_s)
            except InvalidJob as error:
                error.add_note(f"this is argument list {index} of the bulk, counted from 0")
                raise

    def _moments(
        self, at: Any, spread_interval: Any, argument_lists: Iterable[Any], now_ms: int
    ) -> Iterator[float | None]:
        if spread_interval is not None:
            if at is not None:
                raise InvalidJob("at and spread_interval exclude each other: pass one of them")
            return self._spread(spread_interval, now_ms)
        if _is_list(at):
            times = cast("Sequence[When]", at)
            count = len(cast("Sequence[Any]", argument_lists))
            if len(times) != count:
                raise InvalidJob(f"at: {len(times)} times for {count} jobs; one each is needed")
            return iter([resolve_at(when, now_ms) for when in times])
        return itertools.repeat(None if at is None else resolve_at(at, now_ms))

    def _spread(self, interval: Any, now_ms: int) -> Iterator[float]:
        if isinstance(interval, bool) or not isinstance(interval, int | float) or not interval > 0:
            raise InvalidJob(f"spread_interval: seconds above 0, not {interval!r}")
        span_s = max(interval, _SHORTEST_SPREAD_S)
        while True:
            yield now_ms / 1000 + self._rng.random() * span_s

    def _admit(self, payload: Payload, at_s: float | None) -> Prepared | None:
        if not len(self._middleware):
            self._check(payload)
            return Prepared(payload, at_s)
        if at_s is not None:
            payload["at"] = at_s
        passed = self._middleware.fold(_passed)(payload)
        if not passed:
            return None
        if not isinstance(cast("object", passed), dict):
            raise InvalidJob(
                f"client middleware returned {passed!r}; "
                "return what proceed(payload) returned, or None to stop the push"
            )
        return self._recheck(passed)

    def _recheck(self, payload: Payload) -> Prepared:
        """A middleware may have changed anything."""
        now_ms = self._clock.now_ms()
        at_s = resolve_at(payload["at"], now_ms) if "at" in payload else None
        rebuilt = build(payload, now_ms=now_ms, wire=self._wire)
        self._check(rebuilt)
        return Prepared(rebuilt, at_s)

    def _check(self, payload: Payload) -> None:
        try:
            check_values(payload)
        except InvalidArguments as error:
            text = f"{payload['class']}: {error}"
            if self._strict == "raise":
                raise InvalidArguments(text) from None
            if self._strict == "warn":
                _logger.warning("%s", text)
            payload["args"] = loosen(payload["args"])
            check_values(payload)

    def _announce(self, job: Prepared, on_pushed: OnPushed | None) -> str:
        """Say that a job was written, and give its jid."""
        if on_pushed is not None:
            on_pushed(job)
        jid: str = job.payload["jid"]
        return jid

    async def _awrite(self, jobs: Sequence[Prepared]) -> None:
        await in_thread(self._write, jobs)

    def _write(self, jobs: Sequence[Prepared]) -> None:
        enqueued_at = timestamp(self._clock.now_ms(), self._wire)
        batches: dict[str, list[bytes]] = {}
        scheduled: list[tuple[float, bytes]] = []
        for payload, at_s in jobs:
            if at_s is not None:
                scheduled.append((at_s, encode(payload)))
            else:
                raw = encode({**payload, "enqueued_at": enqueued_at})
                batches.setdefault(payload["queue"], []).append(raw)
        try:
            if batches:
                self._open_store().push(batches)
            if scheduled:
                self._open_store().schedule(scheduled)
        except PushBufferFull as error:
            error.jids = tuple(job.payload["jid"] for job in jobs)
            error.add_note(f"not taken: {' '.join(error.jids)}")
            raise


async def in_thread(function: Callable[..., R], *arguments: Any) -> R:
    """Call it in a thread, in this context, while the loop goes on."""
    import asyncio  # noqa: PLC0415 - slow to import, and loaded already where a loop runs

    return await asyncio.to_thread(function, *arguments)


_Slice: TypeAlias = "Sequence[Prepared | None]"


class _Bulk:
    """What came of a bulk.

    Attributes:
        jids: one for each job so far, None where a middleware stopped the push.
    """

    def __init__(self) -> None:
        self.jids: list[str | None] = []
        self._pushed = 0

    @contextlib.contextmanager
    def adding(self, batch: _Slice) -> Generator[list[Prepared]]:
        """The jobs of a slice that are to be written; they count as pushed afterwards."""
        ready = [job for job in batch if job is not None]
        try:
            yield ready
        except RedisUnavailable as error:
            error.add_note(f"{self._pushed} jobs of this bulk were pushed before")
            raise
        self._pushed += len(ready)
        self.jids += [job and job.payload["jid"] for job in batch]


def _passed(payload: Payload) -> Payload | None:
    return payload


def _split(
    item: Mapping[str, Any], batch_size: object, at: object, spread_interval: object
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The item without what only a bulk understands, and that; a keyword argument wins."""
    given: dict[str, Any] = {}
    for key, value in zip(_BULK_KEYS, (at, batch_size, spread_interval), strict=True):
        given[key] = item.get(key) if value is None else value
    return {key: value for key, value in item.items() if key not in _BULK_KEYS}, given


def _slice_size(batch_size: object, *, is_scheduled: bool) -> int:
    if batch_size is None:
        return _SLICE_SCHEDULED if is_scheduled else _SLICE
    if type(batch_size) is not int or batch_size < 1:
        raise InvalidJob(f"batch_size: a number of jobs, at least 1, not {batch_size!r}")
    return batch_size


def _argument_lists(item: Mapping[str, Any], at: object) -> Iterable[Any]:
    """The ``args`` of a bulk; read whole only where their number must be known at once."""
    lists: Any = item.get("args")
    if isinstance(lists, str | bytes | Mapping) or not isinstance(cast("object", lists), Iterable):
        raise InvalidJob(f"args: a bulk takes a list of argument lists, [[1], [2]], not {lists!r}")
    argument_lists: Iterable[Any] = lists
    if "jid" not in item and not _is_list(at):
        return argument_lists
    known = list(argument_lists)
    if "jid" in item and len(known) > 1:
        raise InvalidJob(f"jid: {len(known)} jobs cannot share one; leave it out")
    return known


def _is_list(at: object) -> bool:
    return isinstance(at, Sequence) and not isinstance(at, str)


def _checked(argument_lists: Iterable[Any]) -> Iterator[list[Any]]:
    for index, args in enumerate(argument_lists):
        if type(args) is not list and not isinstance(args, tuple):
            raise InvalidArguments(
                f"args[{index}]: each job of a bulk has a list of its own, [[1], [2]], not {args!r}"
            )
        yield list(cast("list[Any]", args))
