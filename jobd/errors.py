"""Every exception of jobd, and what each one means.

The tree::

JobdError
├── ConfigError            settings that jobd cannot start with; holds all of them at once
├── InvalidJob             a job that must not be pushed or defined (also a ValueError)
│   └── InvalidArguments   its arguments do not fit JSON or perform() (also a TypeError)
├── UnknownJob             a payload names a job that no loaded module defines
├── MalformedPayload       bytes from Redis that are not a job
├── JobTimeout             a job ran longer than its time_limit: an ordinary failure
├── JobTooBig              a job made its worker outgrow worker.max_memory (also a MemoryError)
├── WorkerKilled           a job took its worker down too often to be started again
├── JobKilled              an operator killed a job that waited; death handlers are given it
├── JobFailed              a result was waited for, and the job is dead
├── UnfitResult            a job returned what JSON cannot carry (also a TypeError)
├── CannotAct              what an operator asked cannot be done to this job or process
├── EmbeddedStoreError     in jobd.embedded: the private store could not be started
├── CannotLock             in jobd.supervisor.pidfile: another instance runs
├── CannotWrite            in jobd.generator: a file of the new job is there already
├── NotTesting             in jobd.jobs.in_tests: kept jobs asked for where no test mode keeps them
├── EmptyQueueError        in jobd.testing: perform_one found no job
└── RedisError             the server did not do what was asked
    ├── RedisUnavailable   it could not be reached, or the reply was lost
    │   ├── RedisDenied    it answers, but does not let us in
    │   └── PushBufferFull nor is there room to keep the push until it can (reliable_push)
    ├── RedisFull          it is at maxmemory and refuses writes that need room
    └── RedisRejected      any other error reply: wrong type, no permission, ...

Stop                       BaseException: ends a running job, not a failure of it
├── JobInterrupted         the worker is stopping; the job is given back unchanged
├── JobPutOff              an iterable job lets others run, and goes on later
└── JobCancelled           an operator cancelled it
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

# The interpreter's own fields: a class may put properties of that name over them, which may raise.
_CAUSE: Final = BaseException.__dict__["__cause__"]
_CONTEXT: Final = BaseException.__dict__["__context__"]
_MEMBERS: Final = BaseExceptionGroup.__dict__["exceptions"]


class JobdError(Exception):
    """The root of all errors that jobd raises on purpose."""


class ConfigError(JobdError):
    """Settings that jobd cannot start with.

    Attributes:
        problems: one sentence for each thing that is wrong, with file and line where known.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class InvalidJob(JobdError, ValueError):
    """A job that must not be pushed or defined as it is."""


class InvalidArguments(InvalidJob, TypeError):
    """Arguments that JSON cannot carry exactly, or that ``perform`` would not accept."""


class UnknownJob(JobdError, LookupError):
    """A payload names a job that no module loaded by this worker defines."""


class MalformedPayload(JobdError, ValueError):
    """Bytes taken from Redis that are not a job: no JSON object, or no class and args."""


class RedisError(JobdError):
    """The server did not do what was asked of it."""


class RedisUnavailable(RedisError):
    """The server could not be reached, or the connection broke before it answered.

    Attributes:
        jid: of the job that was being pushed, where there is one. The push may or may not have
            arrived: it is never sent again by jobd, because that could run the job twice.
    """

    def __init__(self, message: str, *, jid: str | None = None) -> None:
        self.jid = jid
        super().__init__(message)


class PushBufferFull(RedisUnavailable):
    """Redis is away, and as many pushes as ``reliable_push`` allows wait for it already.

    Attributes:
        jids: of the jobs that were not taken, and will not be pushed.
    """

    jids: tuple[str, ...] = ()


class RedisDenied(RedisUnavailable):
    """The server answers, but does not let us in: a password, or too many connections."""


class RedisFull(RedisError):
    """The server is at its ``maxmemory`` and refuses writes that need room."""


class RedisRejected(RedisError):
    """The server answered with an error: wrong type, no permission, read-only, ..."""


class JobTimeout(JobdError, TimeoutError):
    """A job ran longer than its ``time_limit``; an ordinary failure, so it is retried."""


class JobTooBig(JobdError, MemoryError):
    """A job made its worker grow far beyond ``worker.max_memory``; an ordinary failure."""


class WorkerKilled(JobdError):
    """A job took its worker down so often that it is not started again."""

    @classmethod
    def often(cls, payload: Mapping[str, Any]) -> "WorkerKilled":
        """The error of a job that was recovered too often; its payload tells how and why."""
        times, reason = payload.get("recovered"), payload.get("recovered_reason", "unknown")
        return cls(f"its worker died {times} times while running it, the last time of: {reason}")


class JobKilled(JobdError):
    """An operator moved a waiting job to the dead set."""


class JobFailed(JobdError):
    """The job whose result was waited for failed, and will not be tried again."""


class UnfitResult(JobdError, TypeError):
    """The job whose result was waited for returned what JSON cannot carry; it is done."""


class CannotAct(JobdError):
    """What an operator asked cannot be done to this job or process; the message says why."""


class Stop(BaseException):
    """Ends a running job from outside.

    Derives from ``BaseException`` so that ``except Exception`` in a job does not swallow it.
    """

    @staticmethod
    def behind(error: BaseException) -> "Stop | None":
        """The interruption that an error is, holds, or was raised from or after."""
        seen: set[int] = set()
        links: list[BaseException | None] = [error]
        while links:
            link = links.pop()
            if link is None or id(link) in seen:
                continue
            kind = type(link)  # not isinstance(), which asks the object for its __class__
            if issubclass(kind, Stop):
                return cast("Stop", link)
            seen.add(id(link))
            links += (_CAUSE.__get__(link), _CONTEXT.__get__(link))
            if issubclass(kind, BaseExceptionGroup):
                links += _MEMBERS.__get__(link)
        return None


class JobInterrupted(Stop):
    """The worker stops and its time is up; the job goes back to its queue unchanged."""


class JobPutOff(Stop):
    """An iterable job lets others run; it goes to the back of its queue, and no retry is spent."""


class JobCancelled(Stop):
    """An operator cancelled the running job."""
