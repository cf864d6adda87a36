"""Background jobs over Redis: define jobs, push them, and let ``jobd`` run them.

Importing this is cheap and works on every system: Redis is reached at the first push.
"""

from jobd._version import __version__
from jobd.app import Configuration, configure_client, configure_server
from jobd.errors import (
    ConfigError,
    InvalidArguments,
    InvalidJob,
    JobCancelled,
    JobdError,
    JobInterrupted,
    JobTimeout,
    MalformedPayload,
    RedisError,
    RedisFull,
    RedisRejected,
    RedisUnavailable,
    Stop,
    UnknownJob,
)
from jobd.jobs import Job, job, push, push_bulk
from jobd.jobs.callbacks import (
    after_enqueue,
    after_perform,
    around_perform,
    before_perform,
    on_failure,
)
from jobd.payload import Payload

__all__ = [
    "ConfigError",
    "Configuration",
    "InvalidArguments",
    "InvalidJob",
    "Job",
    "JobCancelled",
    "JobInterrupted",
    "JobTimeout",
    "JobdError",
    "MalformedPayload",
    "Payload",
    "RedisError",
    "RedisFull",
    "RedisRejected",
    "RedisUnavailable",
    "Stop",
    "UnknownJob",
    "__version__",
    "after_enqueue",
    "after_perform",
    "around_perform",
    "before_perform",
    "configure_client",
    "configure_server",
    "job",
    "on_failure",
    "push",
    "push_bulk",
]
