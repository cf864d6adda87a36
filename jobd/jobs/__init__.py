"""What users write: ``Job`` classes, ``@job`` functions, and the registry of their names.

Defining a job checks it and registers its name; pushing one binds the arguments to ``perform``'s
signature and hands them to the app's client. How a job is run belongs to the worker.

Source: Sidekiq's lib/sidekiq/job.rb.
"""

import functools
import inspect
import logging
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

from jobd.app import current_app  # noqa: TID251 - jobs are the place that looks it up
from jobd.client import Prepared
from jobd.errors import InvalidJob
from jobd.jobs import in_tests
from jobd.jobs.callbacks import Callbacks
from jobd.jobs.definition import HOOKS, check_definition
from jobd.jobs.iterating import Progress
from jobd.jobs.names import Names, are_twins, place
from jobd.jobs.parameters import Parameters
from jobd.jobs.returning import remember
from jobd.payload import Payload, When, check_options, decode, encode

if TYPE_CHECKING:
    from jobd.results import Result  # which imports redis

P = ParamSpec("P")
R = TypeVar("R")

Delay: TypeAlias = float | timedelta
Moment: TypeAlias = float | datetime
RetryIn: TypeAlias = float | Literal["discard", "kill"] | None

_WIRE_OPTIONS: Final = (
    *("queue", "retry", "retry_for", "retry_queue", "backtrace", "dead", "tags"),
    "result_ttl",
)
_OPTIONS: Final = (*_WIRE_OPTIONS, "time_limit", "kill_after", "name")
_UNSET: Final = object()


class HasPerform(Protocol[P]):
    """What gives ``perform_async`` and its like the parameters of ``perform``."""

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Do the job."""
        ...


class Run(Protocol):
    """What a worker gives to a job that it runs."""

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled since it began."""
        ...

    @property
    def progress(self) -> Progress | None:
        """Where an iterable job keeps how far it has come; None: nowhere."""
        ...


class Registry(Names["Job"]):
    """The jobs that this process knows, by their names on the wire."""

    def add(self, job_class: "type[Job]") -> None:
        """Register a job. The same definition again, as after a reload, replaces the old one.

        Raises:
            InvalidJob: the name belongs to another job.
        """
        self.add_as(job_class.wire_name, job_class)

    def check(self, job_class: "type[Job]") -> None:
        """See that a worker would run this job, and not its twin.

        Raises:
            InvalidJob: the function that defined it has defined another one of that name since.
        """
        current = self.find(job_class.wire_name)
        if current is not None and current is not job_class and are_twins(job_class, current):
            raise InvalidJob(
                f'{place(job_class)} was defined twice as "{job_class.wire_name}", and a worker '
                "would run the later one: give each a name of its own, @job(name=...)"
            )


registry: Final = Registry()


class Setter(Generic[P]):
    """A job with options for the next push; made by ``set``."""

    __slots__ = ("_job_class", "_options")

    def __init__(
        self, job_class: type[HasPerform[P]], options: Mapping[str, Any] | None = None
    ) -> None:
        self._job_class = cast("type[Job]", job_class)
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
        item = self._fields()
        item["args"] = map(self._bound, argument_lists)
        return current_app().client.push_bulk(
            item,
            batch_size=batch_size,
            at=at,
            spread_interval=spread_interval,
            on_pushed=self._on_pushed,
        )

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

    @property
    def _on_pushed(self) -> Callable[[Prepared], object] | None:
        callbacks = self._job_class.__callbacks__
        return None if callbacks is None else callbacks.pushed

    def _item(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Payload:
        return {**self._fields(), "args": self._job_class.bind_arguments(args, kwargs)}

    def _bound(self, args: Any) -> Any:
        # What is no argument list is left to the client, which knows its place in the bulk.
        return self._job_class.bind_arguments(args, {}) if type(args) in {list, tuple} else args

    def _fields(self) -> Payload:
        registry.check(self._job_class)
        item: Payload = {**self._job_class.wire_options(), **self._options}
        item["class"] = self._job_class.wire_name
        item.pop("sync", None)
        moments = [item.pop(key) for key in ("wait", "wait_until") if key in item]
        if len(moments) > 1:
            raise InvalidJob("wait and wait_until exclude each other: set one of them")
        if moments:
            item["at"] = moments[0]
        return item


def perform(job_instance: Any, payload: Payload) -> None:
    """Call ``perform`` with the arguments of a payload: the innermost of the server's chain."""
    if "result_ttl" in payload:
        remember(job_instance)
    callbacks: Callbacks | None = job_instance.__callbacks__
    if callbacks is None:
        job_instance.perform(*payload["args"])
    else:
        callbacks.run(job_instance, payload["args"])


class Job:
    """A job: derive from it, write ``perform``, and push with ``perform_async``.

    Options are class attributes or class keywords, inherited like any attribute; further class
    keywords are carried in the payload. A class without ``perform`` is a base, which cannot be
    pushed. The server makes an instance for each run, without arguments.

    Attributes:
        queue: where the job goes; "default".
        retry: True (25 times), a number, 0 (straight to the dead set) or False (dropped).
        retry_for: seconds from the first failure; replaces the count.
        retry_queue: where retries go.
        backtrace: keep the whole traceback of a failure, or its first N lines.
        dead: False keeps the job out of the dead set.
        tags: shown in logs and on the dashboard.
        result_ttl: seconds for which what ``perform`` returned is kept for `result`.
        time_limit: seconds that one run may take until ``JobTimeout`` is raised in it. Read from
            the class where the job runs; it travels only if it was set for that push.
        kill_after: seconds after which the worker of a job that does not heed that is killed; None
            never.
        name: the job's name on the wire, by default the class's; not inherited.
        wire_name: that name.
        jid: of the running job; empty in a plain call.
        cancelled: whether somebody cancelled the running job.
    """

    queue: str
    retry: ClassVar[bool | int]
    retry_for: ClassVar[float | timedelta]
    retry_queue: ClassVar[str]
    backtrace: ClassVar[bool | int]
    dead: ClassVar[bool]
    tags: ClassVar[Sequence[str]]
    result_ttl: ClassVar[float | timedelta]
    time_limit: ClassVar[float | timedelta | None] = None
    kill_after: ClassVar[float | timedelta | None] = 5.0
    name: ClassVar[str]
    wire_name: ClassVar[str] = "Job"
    jid: str = ""
    __run__: "Run | None" = None

    _extra: ClassVar[Mapping[str, Any]] = {}
    _parameters: ClassVar[Parameters | None] = None
    __callbacks__: ClassVar[Callbacks | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__()
        for key in _OPTIONS:
            if key in options:
                setattr(cls, key, options.pop(key))
        cls._extra = {**cls._extra, **options}
        cls.wire_name = vars(cls).get("name", cls.__name__)
        check_definition(cls)
        cls._parameters = Parameters.of(cls)
        cls.__callbacks__ = Callbacks.of(cls, cls._parameters)
        if cls._parameters is not None:
            registry.add(cls)

    @classmethod
    def wire_options(cls) -> dict[str, Any]:
        """The options that travel, with what is inherited; as written, checked at the push."""
        options = dict(cls._extra)
        for key in _WIRE_OPTIONS:
            value = getattr(cls, key, _UNSET)
            if value is not _UNSET:
                options[key] = value
        return options

    @classmethod
    def bind_arguments(cls, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The arguments by position, as the payload carries them.

        Raises:
            InvalidJob: the class has no ``perform``.
            InvalidArguments: ``perform`` would not take them.
        """
        if cls._parameters is None:
            raise InvalidJob(f"{cls.__name__} is a base: it has no perform, so it cannot be pushed")
        return cls._parameters.bind(args, kwargs)

    @classmethod
    def from_payload(cls, payload: Payload) -> Self:
        """The instance that runs a payload."""
        job_instance = cls()
        job_instance.jid = payload.get("jid", "")
        if "queue" in payload:
            job_instance.queue = payload["queue"]
        return job_instance

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

    jobs = in_tests.Jobs()

    @classmethod
    def drain(cls, *, until: When | None = None) -> int:
        """In a test, run the kept jobs of this class; see `jobd.jobs.in_tests.drain`."""
        return in_tests.drain(cls, until=until)

    @classmethod
    def perform_one(cls) -> None:
        """In a test, run the first of them; see `jobd.jobs.in_tests.perform_one`."""
        in_tests.perform_one(cls)

    @classmethod
    def clear(cls) -> None:
        """In a test, forget them; see `jobd.jobs.in_tests.clear`."""
        in_tests.clear(cls)

    @classmethod
    def retry_in(cls, count: int, error: BaseException, payload: Payload) -> RetryIn:
        """Decide how a failure is retried; override it.

        Args:
            count: 0 for the first retry.
            error: what was raised.
            payload: of the failed run.

        Returns:
            Seconds (jitter is added), "discard", "kill", or None for the usual curve.
        """

    @classmethod
    def retries_exhausted(cls, payload: Payload, error: BaseException) -> Literal["discard"] | None:
        """Learn that there will be no further retry; override it.

        Returns:
            "discard" to keep the job out of the dead set.
        """

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled the running job: for what swallows or outlives the exception.

        Any thread of the job may ask; it costs no round trip.
        """
        return self.__run__ is not None and self.__run__.is_cancelled

    @property
    def logger(self) -> "logging.LoggerAdapter[logging.Logger]":
        """A logger whose lines carry the jid and the class of this job."""
        extra = {"jid": self.jid, "class": self.wire_name}
        return logging.LoggerAdapter(logging.getLogger("jobd.job"), extra)

    def __repr__(self) -> str:
        defaults = current_app().default_job_options
        queue = getattr(self, "queue", defaults.get("queue", "default"))
        return f"<{self.wire_name} jid={self.jid or '-'} queue={queue}>"


class FunctionJob(Setter[P], Generic[P, R]):
    """A function that is also a job; still called like the function. Made by ``@job``.

    Attributes:
        job_class: the ``Job`` that stands in the registry for it.
    """

    __slots__ = ("__dict__", "job_class")
    __name__: str

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        self.job_class = _class_of(function, options)
        super().__init__(cast("type[HasPerform[P]]", self.job_class))
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself: no payload, no middleware."""
        return self._function(*args, **kwargs)

    def cancel(self, jid: str) -> bool:
        """Have a job never run again; see ``Job.cancel``."""
        return self.job_class.cancel(jid)

    jobs = in_tests.Jobs()
    drain = in_tests.drain
    perform_one = in_tests.perform_one
    clear = in_tests.clear

    def __repr__(self) -> str:
        return f"<job {self.job_class.wire_name}>"


def _class_of(function: Callable[..., Any], options: Mapping[str, Any]) -> type[Job]:
    if inspect.isclass(function) or not callable(function):
        raise InvalidJob(f"@job decorates functions; {function!r} should derive from jobd.Job")
    name: str = function.__name__
    if name == "<lambda>" and "name" not in options:  # all of them would be one and the same job
        raise InvalidJob('a lambda has no name of its own: give it one, @job(name="...")')
    namespace = {
        "perform": staticmethod(function),
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "__label__": name,
    }
    keywords = dict(options)
    for hook in HOOKS:
        if hook in keywords:
            namespace[hook] = staticmethod(keywords.pop(hook))
    return types.new_class(name, (Job,), keywords, lambda body: body.update(namespace))


@overload
def job(function: Callable[P, R], /) -> FunctionJob[P, R]: ...
@overload
def job(**options: Any) -> Callable[[Callable[P, R]], FunctionJob[P, R]]: ...
def job(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a job of a function: ``@job``, or ``@job(queue="low", retry=3)``.

    Args:
        function: takes positional parameters only; it stays callable as before.
        options: those of a ``Job`` class, and its hooks ``retry_in`` and ``retries_exhausted``
            as functions; further ones are carried in the payload.

    Raises:
        InvalidJob: the function or an option is not fit, or the name belongs to another job.
    """

    def decorate(decorated: Callable[..., Any]) -> FunctionJob[..., Any]:
        return FunctionJob(decorated, options)

    return decorate if function is None else decorate(function)


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
