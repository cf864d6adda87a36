"""Pushing a job: what callers ask of a job class, and of a function that is a job.

The arguments are bound to ``perform``'s signature and handed, with the options, to the app's
client; how a job is defined and run is not known here.

Source: Sidekiq's lib/sidekiq/job.rb.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeAlias, cast

from jobd.app import current_app  # noqa: TID251 - jobs are the place that looks it up
from jobd.client import Prepared, in_thread
from jobd.errors import InvalidJob
from jobd.jobs.callbacks import Callbacks
from jobd.jobs.in_tests import Jobs, clear_kept, drain_kept, perform_first
from jobd.jobs.performing import perform
from jobd.payload import Payload, When, check_options, decode, encode

if TYPE_CHECKING:
    from jobd.results import Result  # which imports redis

P = ParamSpec("P")

Delay: TypeAlias = float | timedelta
Moment: TypeAlias = float | datetime


class HasPerform(Protocol[P]):
    """What gives ``perform_async`` and its like the parameters of ``perform``."""

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Do the job."""
        ...


class Pushable(Protocol):
    """What a push asks of a job class."""

    __callbacks__: Callbacks | None

    def wire_fields(self) -> Payload:
        """Its name on the wire and its options."""
        ...

    def bind_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The arguments by position."""
        ...

    def from_payload(self, payload: Payload) -> object:
        """The instance that runs a payload."""
        ...


class Setter(Generic[P]):
    """A job with options for the next push; made by ``set``."""

    __slots__ = ("_job_class", "_options")

    def __init__(
        self, job_class: type[HasPerform[P]], options: Mapping[str, Any] | None = None
    ) -> None:
        self._job_class = cast("Pushable", job_class)
        self._options: Mapping[str, Any] = options or {}

    def set(self, **options: Any) -> "Setter[P]":
        """Add options, over those that are set already; see ``Job.set``."""
        merged = {**self._options, **check_options(options)}
        return Setter(cast("type[HasPerform[P]]", self._job_class), merged)

    def perform_async(self, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Push the job; see ``Job.perform_async``."""
        if self._options.get("sync"):
            self.perform_inline(*args, **kwargs)
            return None
        return self._push(self._item(args, kwargs))

    perform_later = perform_async

    def perform_in(self, delay: Delay, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Push the job for later; see ``Job.perform_in``."""
        return self._push({**self._item(args, kwargs), "at": delay})

    def perform_at(self, moment: Moment, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Push the job for a moment; see ``Job.perform_at``."""
        return self._push({**self._item(args, kwargs), "at": moment})

    def perform_bulk(
        self,
        argument_lists: Iterable[Sequence[Any]],
        *,
        batch_size: int | None = None,
        at: When | Sequence[When] | None = None,
        spread_interval: float | None = None,
    ) -> list[str | None]:
        """Push many jobs; see ``Job.perform_bulk``."""
        item = self._bulk(
            argument_lists, batch_size=batch_size, at=at, spread_interval=spread_interval
        )
        return current_app().client.push_bulk(item, on_pushed=self._on_pushed)

    async def aperform_async(self, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Push the job; see ``Job.aperform_async``."""
        if self._options.get("sync"):
            await in_thread(partial(self.perform_inline, *args, **kwargs))
            return None
        return await self._apush(self._item(args, kwargs))

    async def aperform_in(self, delay: Delay, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Push the job for later; see ``Job.aperform_in``."""
        return await self._apush({**self._item(args, kwargs), "at": delay})

    async def aperform_at(self, moment: Moment, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Push the job for a moment; see ``Job.aperform_at``."""
        return await self._apush({**self._item(args, kwargs), "at": moment})

    async def aperform_bulk(
        self,
        argument_lists: Iterable[Sequence[Any]],
        *,
        batch_size: int | None = None,
        at: When | Sequence[When] | None = None,
        spread_interval: float | None = None,
    ) -> list[str | None]:
        """Push many jobs; see ``Job.aperform_bulk``."""
        item = self._bulk(
            argument_lists, batch_size=batch_size, at=at, spread_interval=spread_interval
        )
        return await current_app().client.apush_bulk(item, on_pushed=self._on_pushed)

    def perform_inline(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run the job here and now; see ``Job.perform_inline``."""
        app = current_app()
        ready = app.client.prepare(self._item(args, kwargs))
        if ready is None:
            return
        received = decode(encode(ready.payload))
        job_instance = self._job_class.from_payload(received)
        app.job_middleware.fold(perform)(job_instance, received)

    perform_now = perform_inline

    def _push(self, item: Payload) -> str | None:
        return current_app().client.push(item, on_pushed=self._on_pushed)

    async def _apush(self, item: Payload) -> str | None:
        return await current_app().client.apush(item, on_pushed=self._on_pushed)

    @property
    def _on_pushed(self) -> Callable[[Prepared], object] | None:
        callbacks = self._job_class.__callbacks__
        return None if callbacks is None else callbacks.pushed

    def _item(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Payload:
        return {**self._fields(), "args": self._job_class.bind_arguments(args, kwargs)}

    def _bulk(self, argument_lists: Iterable[Sequence[Any]], **given: object) -> Payload:
        told = {key: value for key, value in given.items() if value is not None}
        return {**self._fields(), **told, "args": map(self._bound, argument_lists)}

    def _bound(self, args: Any) -> Any:
        # What is no argument list is left to the client, which knows its place in the bulk.
        return self._job_class.bind_arguments(args, {}) if type(args) in {list, tuple} else args

    def _fields(self) -> Payload:
        item = {**self._job_class.wire_fields(), **self._options}
        item.pop("sync", None)
        moments = [item.pop(key) for key in ("wait", "wait_until") if key in item]
        if len(moments) > 1:
            raise InvalidJob("wait and wait_until exclude each other: set one of them")
        if moments:
            item["at"] = moments[0]
        return item


class Pushed:
    """What callers do with a job class; it is `Job` that they derive from."""

    @classmethod
    def set(cls: type[HasPerform[P]], **options: Any) -> Setter[P]:
        """Options for one push: ``MoodSenderJob.set(queue="critical").perform_async(...)``.

        Args:
            options: those of the class; ``wait`` (seconds or a timedelta) or ``wait_until``;
                ``sync=True`` to run inline; any further key is carried in the payload.

        Raises:
            InvalidJob: a wrong value, or a likely misspelling.
        """
        return Setter(cls).set(**options)

    @classmethod
    def perform_async(cls: type[HasPerform[P]], *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Push the job; it runs as soon as a worker is free.

        Returns:
            The jid, or None if a client middleware stopped the push.

        Raises:
            InvalidArguments: ``perform`` would not take them, or JSON cannot carry them.
            InvalidJob: an option has a wrong value.
            RedisUnavailable: whether the job was pushed is not known; ``jid`` names it.
            RedisFull: the server has no room.
        """
        return Setter(cls).perform_async(*args, **kwargs)

    perform_later = perform_async

    @classmethod
    def perform_in(
        cls: type[HasPerform[P]], delay: Delay, /, *args: P.args, **kwargs: P.kwargs
    ) -> str | None:
        """Push the job so that it runs later.

        Args:
            delay: seconds or a timedelta; 1,000,000,000 or more is read as an epoch.
            args: as for ``perform_async``.
            kwargs: likewise.
        """
        return Setter(cls).perform_in(delay, *args, **kwargs)

    @classmethod
    def perform_at(
        cls: type[HasPerform[P]], moment: Moment, /, *args: P.args, **kwargs: P.kwargs
    ) -> str | None:
        """Push the job so that it runs at a moment; at once, if that is past.

        Args:
            moment: an aware datetime, or epoch seconds; below 1,000,000,000 it is a delay.
            args: as for ``perform_async``.
            kwargs: likewise.
        """
        return Setter(cls).perform_at(moment, *args, **kwargs)

    @classmethod
    def perform_bulk(
        cls: type[HasPerform[P]],
        argument_lists: Iterable[Sequence[Any]],
        *,
        batch_size: int | None = None,
        at: When | Sequence[When] | None = None,
        spread_interval: float | None = None,
    ) -> list[str | None]:
        """Push many jobs, slice by slice: ``Echo.perform_bulk([["a"], ["b"]])``.

        Args:
            argument_lists: one list of positional arguments for each job; may be lazy.
            batch_size: jobs in a round trip; 1,000, or 100 if they are scheduled.
            at: one time for all, or a list with one for each; a number below 1,000,000,000 is
                seconds from now.
            spread_interval: seconds, at least 5, over which the jobs are spread at random.

        Returns:
            A jid for each job; None where a client middleware stopped it.
        """
        return Setter(cls).perform_bulk(
            argument_lists, batch_size=batch_size, at=at, spread_interval=spread_interval
        )

    @classmethod
    async def aperform_async(
        cls: type[HasPerform[P]], *args: P.args, **kwargs: P.kwargs
    ) -> str | None:
        """Push the job without blocking the loop, as ``perform_async`` does otherwise.

        Middleware and callbacks are called where it is awaited; a thread does the write. If the
        task that awaits it is cancelled, whether the job was pushed is not known.
        """
        return await Setter(cls).aperform_async(*args, **kwargs)

    @classmethod
    async def aperform_in(
        cls: type[HasPerform[P]], delay: Delay, /, *args: P.args, **kwargs: P.kwargs
    ) -> str | None:
        """Push the job so that it runs later, without blocking the loop; see ``perform_in``."""
        return await Setter(cls).aperform_in(delay, *args, **kwargs)

    @classmethod
    async def aperform_at(
        cls: type[HasPerform[P]], moment: Moment, /, *args: P.args, **kwargs: P.kwargs
    ) -> str | None:
        """Push the job for a moment, without blocking the loop; see ``perform_at``."""
        return await Setter(cls).aperform_at(moment, *args, **kwargs)

    @classmethod
    async def aperform_bulk(
        cls: type[HasPerform[P]],
        argument_lists: Iterable[Sequence[Any]],
        *,
        batch_size: int | None = None,
        at: When | Sequence[When] | None = None,
        spread_interval: float | None = None,
    ) -> list[str | None]:
        """Push many jobs; the loop goes on between their slices; see ``perform_bulk``."""
        return await Setter(cls).aperform_bulk(
            argument_lists, batch_size=batch_size, at=at, spread_interval=spread_interval
        )

    @classmethod
    def perform_inline(cls: type[HasPerform[P]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run the job here and now, through JSON and both chains of middleware; no retry."""
        Setter(cls).perform_inline(*args, **kwargs)

    perform_now = perform_inline

    @classmethod
    def cancel(cls, jid: str) -> bool:
        """Have a job never run again, whatever its class; if it runs, ``JobCancelled`` ends it.

        It is neither retried nor dead. A jid stays cancelled for 30 days, also if it is pushed
        again.

        Returns:
            Whether it waited and was taken out. If not it runs, and ends within about a second, or
            is done, or waits behind a million others: it is dropped when its turn comes.

        Raises:
            InvalidJob: that is no jid.
            RedisError: whether it was cancelled is not known; cancel it again.
        """
        return current_app().cancel(jid)

    @classmethod
    def result(cls, jid: str) -> "Result":
        """What became of a job with the option ``result_ttl``: ``Add.result(jid).wait(10)``."""
        return current_app().result(jid)

    jobs = Jobs()

    @classmethod
    def drain(cls, *, until: When | None = None) -> int:
        """In a test, run the kept jobs of this class; see `jobd.jobs.in_tests.drain_kept`."""
        return drain_kept(cls, until=until)

    @classmethod
    def perform_one(cls) -> None:
        """In a test, run the first of them; see `jobd.jobs.in_tests.perform_first`."""
        perform_first(cls)

    @classmethod
    def clear(cls) -> None:
        """In a test, forget them; see `jobd.jobs.in_tests.clear_kept`."""
        clear_kept(cls)


def push(item: Mapping[str, Any]) -> str | None:
    """Push a job by its name, which this program need not define; see ``Client.push``."""
    return current_app().client.push(item)


def push_bulk(
    item: Mapping[str, Any],
    *,
    batch_size: int | None = None,
    at: When | Sequence[When] | None = None,
    spread_interval: float | None = None,
) -> list[str | None]:
    """Push many jobs of one name; see ``Client.push_bulk``."""
    return current_app().client.push_bulk(
        item, batch_size=batch_size, at=at, spread_interval=spread_interval
    )


async def apush(item: Mapping[str, Any]) -> str | None:
    """Push a job by its name, without blocking the loop; see ``Client.apush``."""
    return await current_app().client.apush(item)


async def apush_bulk(
    item: Mapping[str, Any],
    *,
    batch_size: int | None = None,
    at: When | Sequence[When] | None = None,
    spread_interval: float | None = None,
) -> list[str | None]:
    """Push many jobs of one name, without blocking the loop; see ``Client.apush_bulk``."""
    return await current_app().client.apush_bulk(
        item, batch_size=batch_size, at=at, spread_interval=spread_interval
    )
