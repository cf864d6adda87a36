"""Background jobs over Redis: define jobs, push them, and let ``jobd`` run them.

Importing this is cheap and works on every system: each name is loaded when it is first asked for,
and Redis is reached at the first push. pytest imports it in every project that has jobd installed,
for the sake of its plugin, whether a test uses that or not.
"""

import importlib
import typing

from jobd._version import __version__

if typing.TYPE_CHECKING:
    from jobd.app import Configuration, Embedded, configure_client, configure_server, embed
    from jobd.context import carry
    from jobd.errors import (
        ConfigError,
        InvalidArguments,
        InvalidJob,
        JobCancelled,
        JobdError,
        JobFailed,
        JobInterrupted,
        JobPutOff,
        JobTimeout,
        JobTooBig,
        MalformedPayload,
        PushBufferFull,
        RedisError,
        RedisFull,
        RedisRejected,
        RedisUnavailable,
        Stop,
        UnfitResult,
        UnknownJob,
    )
    from jobd.jobs import Job, apush, apush_bulk, job, push, push_bulk
    from jobd.jobs.callbacks import (
        after_enqueue,
        after_perform,
        around_perform,
        before_perform,
        on_failure,
    )
    from jobd.jobs.iterable import IterableJob
    from jobd.payload import Payload

__all__ = [
    "ConfigError",
    "Configuration",
    "Embedded",
    "InvalidArguments",
    "InvalidJob",
    "IterableJob",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobInterrupted",
    "JobPutOff",
    "JobTimeout",
    "JobTooBig",
    "JobdError",
    "MalformedPayload",
    "Payload",
    "PushBufferFull",
    "RedisError",
    "RedisFull",
    "RedisRejected",
    "RedisUnavailable",
    "Stop",
    "UnfitResult",
    "UnknownJob",
    "__version__",
    "after_enqueue",
    "after_perform",
    "apush",
    "apush_bulk",
    "around_perform",
    "before_perform",
    "carry",
    "configure_client",
    "configure_server",
    "embed",
    "job",
    "on_failure",
    "push",
    "push_bulk",
]

# The same as the imports above, which only type checkers and editors read.
_NAMES: typing.Final = {
    "jobd.app": ("Configuration", "Embedded", "configure_client", "configure_server", "embed"),
    "jobd.context": ("carry",),
    "jobd.errors": (
        "ConfigError",
        "InvalidArguments",
        "InvalidJob",
        "JobCancelled",
        "JobdError",
        "JobFailed",
        "JobInterrupted",
        "JobPutOff",
        "JobTimeout",
        "JobTooBig",
        "MalformedPayload",
        "PushBufferFull",
        "RedisError",
        "RedisFull",
        "RedisRejected",
        "RedisUnavailable",
        "Stop",
        "UnfitResult",
        "UnknownJob",
    ),
    "jobd.jobs": ("Job", "apush", "apush_bulk", "job", "push", "push_bulk"),
    "jobd.jobs.callbacks": (
        "after_enqueue",
        "after_perform",
        "around_perform",
        "before_perform",
        "on_failure",
    ),
    "jobd.jobs.iterable": ("IterableJob",),
    "jobd.payload": ("Payload",),
}

if not typing.TYPE_CHECKING:  # else a checker would take any name that is misspelt for one of ours

    def __getattr__(name: str) -> object:
        for module, names in _NAMES.items():
            if name in names:
                value = getattr(importlib.import_module(module), name)
                globals()[name] = value  # the next look-up does not come here
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
