"""``Job``, which users derive from, and the registry of the names of jobs.

Defining a job checks it and registers its name. How it is pushed is in ``pushing``.

Source: Sidekiq's lib/sidekiq/job.rb.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias

from jobd.app import current_app  # noqa: TID251 - jobs are the place that looks it up
from jobd.errors import InvalidJob
from jobd.jobs.callbacks import Callbacks
from jobd.jobs.definition import OPTIONS, WIRE_OPTIONS, check_definition
from jobd.jobs.names import Names, are_twins, place
from jobd.jobs.parameters import Parameters, is_async
from jobd.jobs.performing import Run
from jobd.jobs.pushing import Pushed
from jobd.payload import Payload

RetryIn: TypeAlias = float | Literal["discard", "kill"] | None

_UNSET: Final = object()


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


class Job(Pushed):
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
    __is_async__: ClassVar[bool] = False

    _extra: ClassVar[Mapping[str, Any]] = {}
    _parameters: ClassVar[Parameters | None] = None
    __callbacks__: ClassVar[Callbacks | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__()
        for key in OPTIONS:
            if key in options:
                setattr(cls, key, options.pop(key))
        cls._extra = {**cls._extra, **options}
        cls.wire_name = vars(cls).get("name", cls.__name__)
        check_definition(cls)
        cls._parameters = Parameters.of(cls)
        cls.__callbacks__ = Callbacks.of(cls, cls._parameters)
        if cls._parameters is not None:
            cls.__is_async__ = is_async(getattr(cls, "perform", None))
            registry.add(cls)

    @classmethod
    def wire_options(cls) -> dict[str, Any]:
        """The options that travel, with what is inherited; as written, checked at the push."""
        options = dict(cls._extra)
        for key in WIRE_OPTIONS:
            value = getattr(cls, key, _UNSET)
            if value is not _UNSET:
                options[key] = value
        return options

    @classmethod
    def wire_fields(cls) -> Payload:
        """The options that travel, and the name; what a push starts from.

        Raises:
            InvalidJob: a worker would run another job of that name.
        """
        registry.check(cls)
        return {**cls.wire_options(), "class": cls.wire_name}

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
