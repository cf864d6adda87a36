"""Every setting, declared once: its key, default, unit, check and help.

``etc/jobd.yml`` and ``docs/configuration.md`` are tested against this table. A dotted key such as
``redis.size`` is ``size`` in the mapping ``redis``. Where a setting comes from, and which of
several wins, is not known here.

Source: the keys of Sidekiq's YAML are those of its lib/sidekiq/cli.rb and config.rb (8.1).
"""

from collections.abc import Mapping
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from jobd.config.checks import (
    EMBEDDED,
    Check,
    address,
    auto_or_whole,
    boolean,
    capsules,
    one_of,
    patience,
    queues,
    redis_url,
    seconds,
    size_bytes,
    text,
    texts,
    whole,
)
from jobd.config.model import Capsule, Fetch, LogFormat, LogLevel, QueueWeight, Wire
from jobd.slot_state import MOST_PLACES, MOST_THREADS

T = TypeVar("T")


class Setting(msgspec.Struct, Generic[T], frozen=True):
    """One thing that can be set.

    Attributes:
        default: what holds if nobody says anything; where it is None, null means it too.
        unit: what the value counts or may be, for the documentation.
    """

    key: str
    default: T
    unit: str
    check: Check[T]
    help: str


CONCURRENCY: Final[Setting[Literal["auto"] | int]] = Setting(
    "concurrency",
    default=4,
    unit="processes, or auto",
    check=auto_or_whole,
    help="Worker processes of the default capsule. Each runs as many jobs at a time as it has "
    "threads. With auto as many as this process may use CPUs, if a limit of its cgroup's memory "
    "has room for them.",
)
THREADS: Final = Setting(
    "threads",
    default=1,
    unit="jobs, 100 at the most",
    check=whole(1, MOST_THREADS),
    help="Jobs side by side in each worker of the default capsule, for jobs that mostly wait. More "
    "than 1 runs them in threads; docs/threads.md says what that changes.",
)
ASYNC_CONCURRENCY: Final = Setting(
    "async_concurrency",
    default=100,
    unit="jobs, 1000 at the most",
    check=whole(0, MOST_PLACES),
    help="Jobs with an async def perform that each worker of the default capsule runs at once, in "
    "one event loop beside its other jobs. 0 runs them one at a time, as any other job; "
    "docs/async.md says more.",
)
TIMEOUT: Final = Setting(
    "timeout",
    default=25.0,
    unit="seconds, or unlimited",
    check=patience,
    help="What running jobs get to finish when jobd stops; then they go back to their queues.",
)
BOOT_TIMEOUT: Final = Setting(
    "boot_timeout",
    default=60.0,
    unit="seconds",
    check=seconds,
    help="What a worker may take to import the application before it is replaced.",
)
QUEUES: Final[Setting[tuple[QueueWeight, ...]]] = Setting(
    "queues",
    default=(QueueWeight(name="default"),),
    unit="names, or names with weights from 1 to 1000",
    check=queues,
    help="Queues of the default capsule. Without weights the first one that holds a job is served; "
    "with weights each is served first in proportion; with weights of 1 in random order.",
)
CAPSULES: Final[Setting[tuple[Capsule, ...]]] = Setting(
    "capsules",
    default=(),
    unit="mapping of name to {concurrency, queues, threads, async_concurrency}",
    check=capsules,
    help="Further groups of workers, each with its own processes and queues, and with threads and "
    "async_concurrency where these are not the default ones.",
)
FETCH: Final[Setting[Fetch]] = Setting(
    "fetch",
    default="reliable",
    unit="reliable or basic",
    check=one_of({"reliable": "reliable", "basic": "basic"}),
    help="How jobs are taken. The basic fetch (BRPOP) loses the jobs of a killed worker.",
)
BATCH: Final[Setting[Literal["auto"] | int]] = Setting(
    "batch",
    default="auto",
    unit="auto or jobs",
    check=auto_or_whole,
    help="The most jobs that one claim may take, 128 at the most. It takes several only while jobs "
    "are so short that the last one begins within 10 ms; 1 turns that off, and so do threads.",
)
WIRE: Final[Setting[Wire]] = Setting(
    "wire",
    default=8,
    unit="7 or 8",
    check=one_of({"7": 7, "8": 8}),
    help="Times in payloads: 8 for integer milliseconds, 7 for float seconds, as Sidekiq before 8.",
)
PRELOAD: Final = Setting(
    "preload",
    default=True,
    unit="true or false",
    check=boolean,
    help="Import the application once, in a process that forks the workers and shares its memory "
    "with them. If that leaves threads or connections, each worker imports it itself instead.",
)
REQUIRE: Final[Setting[tuple[str, ...]]] = Setting(
    "require",
    default=(),
    unit="module names, .py files or directories",
    check=texts,
    help="What each worker imports to learn the jobs. The working directory is on the import path.",
)
REDIS_URL: Final = Setting(
    "redis.url",
    default=EMBEDDED,
    unit="redis://, rediss://, unix:// or redis+sentinel:// URL, or embedded",
    check=redis_url,
    help="The Redis server; REDIS_URL beats it. Embedded is a private store of the working "
    "directory, the default in development and test; elsewhere a server must be named. "
    "`redis: URL` and `redis: embedded` are short for it.",
)
REDIS_SENTINELS: Final[Setting[tuple[str, ...]]] = Setting(
    "redis.sentinels",
    default=(),
    unit="list of HOST:PORT",
    check=texts,
    help="Instead of redis.url: the sentinels that know where the primary is. With passwords, "
    "write it as a URL.",
)
REDIS_MASTER: Final[Setting[str | None]] = Setting(
    "redis.master",
    default=None,
    unit="text",
    check=text,
    help="What the sentinels call the primary.",
)
REDIS_SIZE: Final = Setting(
    "redis.size",
    default=5,
    unit="connections",
    check=whole(1),
    help="The most connections that one client opens.",
)
REDIS_NETWORK_TIMEOUT: Final = Setting(
    "redis.network_timeout",
    default=5.0,
    unit="seconds",
    check=seconds,
    help="To connect, and to wait for a reply.",
)
RELIABLE_PUSH: Final = Setting(
    "reliable_push",
    default=0,
    unit="jobs",
    check=whole(0),
    help="How many jobs a client keeps in memory while Redis is away, to push them when it is "
    "back; 0: none, so that such a push raises.",
)
LOG_FORMAT: Final[Setting[LogFormat]] = Setting(
    "log.format",
    default="auto",
    unit="auto, pretty, logfmt or json",
    check=one_of({"auto": "auto", "pretty": "pretty", "logfmt": "logfmt", "json": "json"}),
    help="How a log line looks; auto is pretty on a terminal, else logfmt.",
)
LOG_FILE: Final[Setting[str | None]] = Setting(
    "log.file",
    default=None,
    unit="path",
    check=text,
    help="Where log lines go instead of to standard output. It is reopened on USR1.",
)
LOG_LEVEL: Final[Setting[LogLevel]] = Setting(
    "log.level",
    default="info",
    unit="debug, info, warning or error",
    check=one_of({"debug": "debug", "info": "info", "warning": "warning", "error": "error"}),
    help="The least important lines that are logged.",
)
VERBOSE: Final = Setting(
    "verbose",
    default=False,
    unit="true or false",
    check=boolean,
    help="Log at level debug, whatever log.level says. Sidekiq's key.",
)
TAG: Final[Setting[str | None]] = Setting(
    "tag",
    default=None,
    unit="text",
    check=text,
    help="The name of the application in process titles and on the dashboard; by default that of "
    "the working directory.",
)
LABELS: Final[Setting[tuple[str, ...]]] = Setting(
    "labels",
    default=(),
    unit="texts",
    check=texts,
    help="Words that the dashboard shows beside the process.",
)
PIDFILE: Final[Setting[str | None]] = Setting(
    "pidfile",
    default=None,
    unit="path",
    check=text,
    help="Holds the pid of the master while it runs.",
)
HEALTH: Final[Setting[str | None]] = Setting(
    "health",
    default=None,
    unit="HOST:PORT, or path of a Unix socket",
    check=address,
    help="Where probes and Prometheus find /livez, /readyz and /metrics.",
)
MAX_RETRIES: Final = Setting(
    "max_retries",
    default=25,
    unit="times",
    check=whole(0),
    help="How often a failed job is tried again by default.",
)
DEAD_MAX_JOBS: Final = Setting(
    "dead_max_jobs",
    default=10_000,
    unit="jobs",
    check=whole(1),
    help="The most dead jobs that are kept.",
)
DEAD_TIMEOUT: Final = Setting(
    "dead_timeout_in_seconds",
    default=15_552_000,
    unit="seconds",
    check=whole(1),
    help="How long dead jobs are kept; the default is six months.",
)
WEB_REDACT: Final[Setting[tuple[str, ...]]] = Setting(
    "web.redact",
    default=(),
    unit="globs",
    check=texts,
    help="Names of further fields inside arguments whose values the dashboard masks, such as "
    "`*iban*`; those of passwords, tokens and keys it masks anyway.",
)
WORKER_MAX_JOBS: Final[Setting[int | None]] = Setting(
    "worker.max_jobs",
    default=None,
    unit="jobs",
    check=whole(1),
    help="A worker that has run so many jobs, and up to a tenth more, is replaced by another one.",
)
WORKER_MAX_MEMORY: Final[Setting[int | None]] = Setting(
    "worker.max_memory",
    default=None,
    unit="bytes, or such as 200M or 2G",
    check=size_bytes,
    help="A worker that was found so big, or up to a tenth bigger, three times between jobs is "
    "replaced; where one job makes it half as big again, the worker is killed and the job has "
    "failed. With preload its share of common memory counts (PSS), else all of it (RSS).",
)
WORKER_MAX_AGE: Final[Setting[float | None]] = Setting(
    "worker.max_age",
    default=None,
    unit="seconds",
    check=seconds,
    help="A worker is replaced after so long, and up to a tenth more.",
)
WORKER_HUNG_AFTER: Final[Setting[float | None]] = Setting(
    "worker.hung_after",
    default=None,
    unit="seconds",
    check=seconds,
    help="A worker that runs no job and shows no sign of life for so long is replaced, its stacks "
    "in the log first; at least four times redis.network_timeout and 10 s. By default none is.",
)

_ALL: Final[tuple[Setting[Any], ...]] = (
    CONCURRENCY,
    THREADS,
    ASYNC_CONCURRENCY,
    TIMEOUT,
    BOOT_TIMEOUT,
    QUEUES,
    CAPSULES,
    FETCH,
    BATCH,
    WIRE,
    PRELOAD,
    REQUIRE,
    REDIS_URL,
    REDIS_SENTINELS,
    REDIS_MASTER,
    REDIS_SIZE,
    REDIS_NETWORK_TIMEOUT,
    RELIABLE_PUSH,
    LOG_FORMAT,
    LOG_FILE,
    LOG_LEVEL,
    VERBOSE,
    TAG,
    LABELS,
    PIDFILE,
    HEALTH,
    MAX_RETRIES,
    DEAD_MAX_JOBS,
    DEAD_TIMEOUT,
    WEB_REDACT,
    WORKER_MAX_JOBS,
    WORKER_MAX_MEMORY,
    WORKER_MAX_AGE,
    WORKER_HUNG_AFTER,
)

SETTINGS: Final[Mapping[str, Setting[Any]]] = {item.key: item for item in _ALL}
"""All settings by key, in the order in which they are documented."""

# Keys of Sidekiq, of today and of before 6, that are accepted without effect, and what to do.
WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "strict": "the weights of the queues decide the order",
    "environment": "use -e or JOBD_ENV",
    "average_scheduled_poll_interval": "the poller sleeps until the next job is due",
    "poll_interval_average": "the poller sleeps until the next job is due",
    "poll_interval": "the poller sleeps until the next job is due",
    "max_iteration_runtime": "",
    "skip_default_job_logging": "",
    "logged_job_attributes": "",
    "redis_idle_timeout": "",
    "logfile": "use log: {file: ...} or -L",
    "daemon": "let systemd or another supervisor run it",
    "index": "",
}

# Keys that plugins of Sidekiq read: without them jobs would silently not run.
REFUSED: Final[Mapping[str, str]] = {
    "schedule": "recurring jobs arrive in a later version; push them from cron until then",
    "cron": "recurring jobs arrive in a later version; push them from cron until then",
}
