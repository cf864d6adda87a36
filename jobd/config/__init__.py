"""The settings of jobd: from flags, the environment and a YAML file to one frozen ``Config``.

Nothing outside this package reads the environment. Nothing here connects, forks or imports the
application: what can only be found out by trying is the business of ``boot``.

A flag beats a variable of the environment, that beats the section of the current environment in
the file, that its top level, that the default. All problems are collected and raised together.

Source: Sidekiq's lib/sidekiq/cli.rb, whose YAML files are read as they are.
"""

import contextlib
import math
import os
import re
import socket
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec

from jobd.config import settings as declared
from jobd.config.capacity import Room, room
from jobd.config.checks import EMBEDDED, url_fault
from jobd.config.located import Value, given, read_yaml
from jobd.config.model import (
    Capsule,
    Config,
    LogSettings,
    QueueWeight,
    RedisSettings,
    WebSettings,
    Wire,
    WorkerSettings,
    mask_url,
)
from jobd.config.revision import revision
from jobd.config.sentinels import Sentinels, sentinel_url, sentinels_of
from jobd.config.settings import SETTINGS, Setting
from jobd.config.sheet import TOP_KEYS, FileSheets, Sheet
from jobd.errors import ConfigError
from jobd.places import embedded_url, is_private, socket_path, state_directory

__all__ = [
    "FILES",
    "SETTINGS",
    "Capsule",
    "Config",
    "Flags",
    "LogSettings",
    "QueueWeight",
    "RedisSettings",
    "Sentinels",
    "Setting",
    "WebSettings",
    "WorkerSettings",
    "client_dead_limits",
    "client_redis",
    "client_reliable_push",
    "client_wire",
    "host_name",
    "load",
    "mask_url",
    "sentinel_url",
    "sentinels_of",
    "url_fault",
    "wants_color",
    "web_password",
    "web_redact",
]

T = TypeVar("T")

FILES: Final = ("etc/jobd.yml", "config/jobd.yml", "jobd.yml")
"""Where settings are looked for when no file is named, the first one found."""

# Where a private store may be started without being asked for.
_LOCAL: Final = frozenset({"development", "test"})
_DEFAULT_ENVIRONMENT: Final = "development"
# The scoreboard has 1,024 slots, and a roll needs a second one for each worker it replaces.
_MOST_WORKERS: Final = 1000
_SLACK_S: Final = 10
"""For a worker that is silent because Redis is."""


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line said; None where it said nothing.

    Attributes:
        queues: as written, ``default`` or ``default,2``.
        timeout: seconds.
    """

    config: str | Path | None = None
    environment: str | None = None
    require: tuple[str, ...] | None = None
    concurrency: int | str | None = None
    queues: tuple[str, ...] | None = None
    timeout: float | None = None
    tag: str | None = None
    pidfile: str | None = None
    logfile: str | None = None
    verbose: bool | None = None


def load(
    flags: Flags,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Config:
    """Settle every setting.

    Args:
        flags: the command line.
        environ: the environment, by default the process's own.
        directory: what relative paths are relative to, by default the working directory.

    Raises:
        ConfigError: with everything that is wrong, each with file and line, flag or variable.
    """
    found = _Sources(flags, _environ(environ), directory or Path.cwd())
    config = found.config()
    _raise_all(found.problems)
    return config


def client_redis(
    environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> RedisSettings:
    """The Redis of a client that was not told one: that of a ``jobd`` started in ``directory``.

    No other is ever guessed at. A push to a server that jobd does not serve would look fine, and
    its job would never run.

    Raises:
        ConfigError: the file has problems, or names no server where jobd would not start without.
    """
    found = _Sources(Flags(), _environ(environ), directory or Path.cwd())
    redis = found.redis()
    _raise_all(found.problems)
    return redis


def client_dead_limits(
    environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> tuple[int, int]:
    """How many jobs the dead set keeps, and for how many seconds, as a server here would have it.

    Raises:
        ConfigError: the file has problems.
    """
    found = _Sources(Flags(), _environ(environ), directory or Path.cwd())
    _raise_all(found.problems)
    return found.pick(declared.DEAD_MAX_JOBS), found.pick(declared.DEAD_TIMEOUT)


def web_password(environ: Mapping[str, str] | None = None) -> str:
    """The password of the dashboard, of JOBD_WEB_PASSWORD; empty if there is none."""
    return _environ(environ).get("JOBD_WEB_PASSWORD", "")


def wants_color(environ: Mapping[str, str] | None = None) -> bool:
    """Whether nobody has set NO_COLOR, see no-color.org."""
    return not _environ(environ).get("NO_COLOR")


def web_redact(
    environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> tuple[str, ...]:
    """Which further fields a dashboard masks, as the file in ``directory`` says.

    Raises:
        ConfigError: the file has problems.
    """
    found = _Sources(Flags(), _environ(environ), directory or Path.cwd())
    _raise_all(found.problems)
    return found.pick(declared.WEB_REDACT)


def host_name(environ: Mapping[str, str] | None = None) -> str:
    """What an instance calls its host: on Heroku the name of the dyno, such as ``worker.1``.

    There the host's own name is a random one. Source: Sidekiq's lib/sidekiq/component.rb.
    """
    return _environ(environ).get("DYNO") or socket.gethostname()


def app_revision(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> str:
    """Which revision of the application runs here; empty if nothing tells."""
    return revision(_environ(environ), directory or Path.cwd())


def client_wire(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Wire:
    """How a client that was not told writes times: as a server started here would.

    Raises:
        ConfigError: the file has problems.
    """
    found = _Sources(Flags(), _environ(environ), directory or Path.cwd())
    _raise_all(found.problems)
    return found.pick(declared.WIRE)


def client_reliable_push(
    environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> int:
    """How many pushes a client that was not told keeps while Redis is away.

    Raises:
        ConfigError: the file has problems.
    """
    found = _Sources(Flags(), _environ(environ), directory or Path.cwd())
    _raise_all(found.problems)
    return found.pick(declared.RELIABLE_PUSH)


def _strangers(directory: Path) -> list[str]:
    """Below /tmp anybody could have been there first, and would be given our jobs."""
    parent = socket_path(directory).parent
    with contextlib.suppress(FileNotFoundError):  # no store has run here
        if parent != state_directory(directory) and not is_private(parent):
            problem = (
                f"redis: embedded: {parent} is not a directory of this user alone: remove it and "
                "start jobd again, or set REDIS_URL"
            )
            return [problem]
    return []


def _raise_all(problems: list[str]) -> None:
    """Raise what there is, once each, by the lines of the file and then the rest.

    A mapping that others merge is read, and complained about, once for each of them.
    """

    def line(problem: str) -> float:
        found = re.match(r"[^ ]*:(\d+): ", problem)
        return int(found[1]) if found else math.inf

    if problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=line))


class _Sources:
    """All that was said, by whom, and what follows from it."""

    def __init__(self, flags: Flags, environ: Mapping[str, str], directory: Path) -> None:
        self.problems: list[str] = []
        self.environment = _environment(flags, environ, self.problems)
        self.source, shown = _find(flags.config, directory)
        self._directory = directory
        self._file = FileSheets(self.environment, self.problems)
        entries = (
            read_yaml(self.source, shown=shown, problems=self.problems) if self.source else None
        )
        if entries is not None:
            self._file.read(entries, shown=shown)
        self._sheets = (
            _flag_sheet(flags, self.problems),
            _environ_sheet(environ, self.problems),
            self._file.section,
            self._file.top,
        )
        for sheet in (self._file.section, self._file.top):
            self._name_sentinels(sheet)
        self._values = ChainMap(*(sheet.values for sheet in self._sheets))
        # A file that cannot be read might have said anything: nothing is missing from it.
        self._is_read = self.source is None or entries is not None
        self._shown = shown or "etc/jobd.yml"

    def _name_sentinels(self, sheet: Sheet) -> None:
        """What names sentinels names a URL, which other sources beat like any other one."""
        url, nodes, master = (
            sheet.values.get(setting.key)
            for setting in (declared.REDIS_URL, declared.REDIS_SENTINELS, declared.REDIS_MASTER)
        )
        if not nodes and not master:
            return
        if url or not nodes or not master:
            self.problems.append(
                "redis: sentinels and master belong together, and stand for url: name both, or url"
            )
            return
        named = sentinel_url(cast("tuple[str, ...]", nodes), str(master))
        if fault := url_fault(named):
            self.problems.append(f"redis.sentinels: {fault}")
        sheet.values[declared.REDIS_URL.key] = named

    def pick(self, setting: Setting[T]) -> T:
        """The value of the source that comes first, else the default."""
        return cast("T", self._values.get(setting.key, setting.default))

    def redis(self) -> RedisSettings:
        """The server to work with, and what is wrong with that among the problems."""
        self._check_redis()
        url = self.pick(declared.REDIS_URL)
        is_embedded = url == EMBEDDED
        if is_embedded:
            self.problems += _strangers(self._directory)
        return RedisSettings(
            url=embedded_url(self._directory) if is_embedded else url,
            size=self.pick(declared.REDIS_SIZE),
            network_timeout=self.pick(declared.REDIS_NETWORK_TIMEOUT),
            embedded=is_embedded,
        )

    def config(self) -> Config:
        workers = self._workers()
        return Config(
            environment=self.environment,
            concurrency=workers.workers,
            concurrency_is=workers.reason,
            timeout=self.pick(declared.TIMEOUT),
            capsules=self._capsules(workers.workers),
            redis=self.redis(),
            tag=self.pick(declared.TAG) or _default_tag(self._directory),
            fetch=self.pick(declared.FETCH),
            wire=self.pick(declared.WIRE),
            require=self.pick(declared.REQUIRE),
            log=self._log(),
            pidfile=self._path(declared.PIDFILE),
            health=self._health(),
            labels=self.pick(declared.LABELS),
            max_retries=self.pick(declared.MAX_RETRIES),
            dead_max_jobs=self.pick(declared.DEAD_MAX_JOBS),
            dead_timeout_s=self.pick(declared.DEAD_TIMEOUT),
            boot_timeout=self.pick(declared.BOOT_TIMEOUT),
            threads=self.pick(declared.THREADS),
            async_concurrency=self.pick(declared.ASYNC_CONCURRENCY),
            batch=self.pick(declared.BATCH),
            preload=self.pick(declared.PRELOAD),
            reliable_push=self.pick(declared.RELIABLE_PUSH),
            web=WebSettings(redact=self.pick(declared.WEB_REDACT)),
            worker=self._worker(),
            source=self.source,
            notes=tuple(note for sheet in self._sheets for note in sheet.notes),
        )

    def _workers(self) -> Room:
        said = self.pick(declared.CONCURRENCY)
        return room(self.pick(declared.WORKER_MAX_MEMORY)) if said == "auto" else Room(said, "")

    def _worker(self) -> WorkerSettings:
        return WorkerSettings(
            max_jobs=self.pick(declared.WORKER_MAX_JOBS),
            max_memory=self.pick(declared.WORKER_MAX_MEMORY),
            max_age=self.pick(declared.WORKER_MAX_AGE),
            hung_after=self._hung_after(),
        )

    def _hung_after(self) -> float | None:
        seconds = self.pick(declared.WORKER_HUNG_AFTER)
        # A worker that waits for a server which does not answer is silent for that long.
        fewest = 4 * self.pick(declared.REDIS_NETWORK_TIMEOUT) + _SLACK_S
        if seconds is not None and seconds < fewest:
            self.problems.append(
                f"worker.hung_after: {seconds:g} s; a worker may be silent for {fewest:g} s while "
                "Redis does not answer (see redis.network_timeout): set at least that"
            )
        return seconds

    def _log(self) -> LogSettings:
        return LogSettings(
            format=self.pick(declared.LOG_FORMAT),
            file=self._path(declared.LOG_FILE),
            level="debug" if self.pick(declared.VERBOSE) else self.pick(declared.LOG_LEVEL),
        )

    def _path(self, setting: Setting[str | None]) -> str | None:
        path = self.pick(setting)
        return path and str(self._directory.absolute() / path)

    def _health(self) -> str | None:
        address = self.pick(declared.HEALTH)
        return self._path(declared.HEALTH) if address and "/" in address else address

    def _capsules(self, concurrency: int) -> tuple[Capsule, ...]:
        default = Capsule(
            name="default",
            concurrency=concurrency,
            queues=self.pick(declared.QUEUES),
            threads=self.pick(declared.THREADS),
            async_concurrency=self.pick(declared.ASYNC_CONCURRENCY),
        )
        capsules = (default, *self.pick(declared.CAPSULES))
        count = sum(capsule.concurrency for capsule in capsules)
        if count > _MOST_WORKERS:
            self.problems.append(
                f"concurrency: {count} worker processes in all; at most {_MOST_WORKERS} fit one "
                "jobd, start another for more"
            )
        return capsules

    def _check_redis(self) -> None:
        """Outside development and test nothing but a server that was named will do."""
        key = declared.REDIS_URL.key
        was_refused = any(key in sheet.refused for sheet in self._sheets)
        if self.environment in _LOCAL or was_refused or not self._is_read:
            return
        remedy = (
            f"set REDIS_URL, or redis: {{url: redis://...}} in {self._shown} "
            "(JOBD_ENV=development has a private store, to try jobd with)"
        )
        if key not in self._values:
            self.problems.append(
                f"redis: no server is named for the environment {self.environment}; {remedy}"
            )
        elif self.pick(declared.REDIS_URL) == EMBEDDED and key not in self._file.section.values:
            self.problems.append(
                f"redis: embedded is for development and tests, not for {self.environment} unless "
                f"its own section says so; {remedy}"
            )


def _environ(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    if environ is None:
        return os.environ  # noqa: TID251 - the one place: others ask this package
    return environ


def _environment(flags: Flags, environ: Mapping[str, str], problems: list[str]) -> str:
    sources = {
        "-e": flags.environment,
        "JOBD_ENV": environ.get("JOBD_ENV") or None,
        "APP_ENV": environ.get("APP_ENV") or None,
    }
    for where, name in sources.items():
        if name is None:
            continue
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            problem = "it may hold letters, digits and _ . -"
        elif name in TOP_KEYS:
            problem = "a setting is called so; choose another"
        else:
            return name
        problems.append(f'{where}: environment "{name}": {problem}')
        return _DEFAULT_ENVIRONMENT  # what it lacks would only be a second complaint
    return _DEFAULT_ENVIRONMENT


def _find(named: str | Path | None, directory: Path) -> tuple[Path | None, str]:
    """The file, absolute, and how it is called in messages."""
    if named is not None:
        return directory.absolute() / named, str(named)
    for name in FILES:
        if (directory / name).is_file():
            return directory.absolute() / name, name
    return None, ""


def _flag_sheet(flags: Flags, problems: list[str]) -> Sheet:
    sheet = Sheet(problems)
    scalars: tuple[tuple[Setting[Any], str, object], ...] = (
        (declared.CONCURRENCY, "-c", flags.concurrency),
        (declared.TIMEOUT, "-t", flags.timeout),
        (declared.TAG, "-g", flags.tag),
        (declared.PIDFILE, "-P", flags.pidfile),
        (declared.LOG_FILE, "-L", flags.logfile),
    )
    for setting, flag, said in scalars:
        if said is not None:
            sheet.put(setting, given(flag, str(said)))
    for several, flag, texts in (
        (declared.REQUIRE, "-r", flags.require),
        (declared.QUEUES, "-q", flags.queues),
    ):
        if texts:
            sheet.put(several, Value(flag, tuple(given(flag, text) for text in texts)))
    if flags.verbose is not None:
        sheet.put(declared.VERBOSE, Value("-v", flags.verbose))
    return sheet


def _environ_sheet(environ: Mapping[str, str], problems: list[str]) -> Sheet:
    """``REDIS_URL``, or the variable that ``REDIS_PROVIDER`` names, as Sidekiq reads them."""
    sheet = Sheet(problems)
    provider = environ.get("REDIS_PROVIDER", "")
    if ":" in provider:
        problems.append(
            "REDIS_PROVIDER: must be the name of the variable that holds the URL, not the URL; "
            "put that into REDIS_URL"
        )
        return sheet
    for name in (provider, "REDIS_URL"):
        if name and environ.get(name):
            sheet.put(declared.REDIS_URL, given(name, environ[name]))
            return sheet
    if provider:
        problems.append(f"REDIS_PROVIDER: names {provider}, which is not set; set it or REDIS_URL")
    return sheet


def _default_tag(directory: Path) -> str:
    """The name of the working directory; of a release of Capistrano, that of the application."""
    path = directory.absolute()
    if path.name.isdecimal() and path.parent.name == "releases":
        path = path.parent.parent
    return path.name or "jobd"
