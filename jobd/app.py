"""One application's settings: Redis, middleware, hooks, defaults; and the client they make.

There is one named default, ``current_app()``, for the sake of ``Job.perform_async``; everything
else is handed an ``App``. Nothing here connects before the first push.

Source: Sidekiq's lib/sidekiq/config.rb, without its registry of everything.
"""

import importlib
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias, TypeVar, cast

from jobd.client import Client, Writer
from jobd.errors import ConfigError
from jobd.hooks import DeathHandler, ErrorHandler, Event, Hooks
from jobd.keys import Keys
from jobd.middleware import Chain, ClientChain, ServerChain
from jobd.payload import Payload, Strict, When, Wire, check_options
from jobd.redis_setting import settings_of

if TYPE_CHECKING:
    # At run time where it is needed: with YAML it is half of the time that importing jobd takes.
    from jobd.config import RedisSettings
    from jobd.reliable_push import ReliablePush
    from jobd.results import Result

F = TypeVar("F", bound=Callable[[], object])
OpenStore: TypeAlias = Callable[["RedisSettings"], Writer]


def open_store(redis: "RedisSettings") -> Writer:
    """The store of a client: a pool of connections, none of them opened yet."""
    # Importing redis takes 0.1 s, which is too much for a program that pushes nothing.
    from jobd.pool import Pool  # noqa: PLC0415 - see above
    from jobd.store import Store  # noqa: PLC0415 - imports jobd.connection

    return Store(Pool(redis), Keys())


class StandIn(Protocol):
    """What a test puts in the place of Redis and of the server; see jobd.testing.

    A ``job`` is a job class, a function that is a job, or an instance; each raises if jobs go to
    Redis at present.
    """

    def writer(self) -> Writer | None:
        """Where pushes go instead of to Redis, here and now; None if they do go there."""
        ...

    def server_middleware(self) -> ServerChain:
        """What runs around a job in this process."""
        ...

    def jobs(self, job: object) -> list[Payload]:
        """The payloads that are kept."""
        ...

    def drain(self, job: object, until: When | None) -> int:
        """Run what is kept, and what that pushes."""
        ...

    def perform_one(self, job: object) -> None:
        """Run the first that is kept."""
        ...

    def clear(self, job: object) -> None:
        """Forget what is kept."""
        ...

    def cancel(self, jid: str) -> bool | None:
        """Forget the kept job of this jid; None if jobs go to Redis."""
        ...


class App:
    """What jobs are pushed with, and what a server runs around them.

    Attributes:
        is_server: whether this process belongs to a jobd server; set before the application is
            loaded, since it decides which of configure_client and configure_server runs.
        redis: what was set explicitly, if anything was.
        strict: what happens to arguments that JSON would change.
        default_job_options: for every job that does not set them; change it in place.
        open_store: how a client gets its store.
        client_class: what pushes; one that waits for a transaction, where a framework has them.
        run_coroutine: runs an async job inline where no loop runs; ``asyncio.run``, if None.
        stand_in: a test's, once jobd.testing is used.
        server_setup: what configure_server was given where it did not run.
        carried: context variables that travel with jobs, by name; see ``jobd.context``.
    """

    def __init__(self, *, is_server: bool = False, open_store: OpenStore = open_store) -> None:
        self.is_server = is_server
        self.redis: RedisSettings | None = None
        self._wire: Wire | None = None
        self._reliable_push: int | None = None
        self.strict: Strict = "raise"
        self.client_middleware: ClientChain = Chain()
        self.server_middleware: ServerChain = Chain()
        self.hooks = Hooks()
        self.default_job_options: dict[str, Any] = {}
        self.open_store = open_store
        self.client_class: type[Client] = Client
        self.run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any] | None = None
        self.stand_in: StandIn | None = None
        self.server_setup: list[Callable[[Configuration], object]] = []
        self.carried: dict[str, ContextVar[Any]] = {}
        self._client: tuple[tuple[Wire, Strict, type[Client]], Client] | None = None
        self._store: tuple[tuple[RedisSettings | None, OpenStore], Writer] | None = None
        self._outbox: tuple[Writer, int, Writer] | None = None
        self._lock = threading.Lock()

    @property
    def redis_settings(self) -> "RedisSettings":
        """The Redis to push to: as set, else of the environment and the settings file."""
        if self.redis is not None:
            return self.redis
        from jobd.config import client_redis  # noqa: PLC0415 - slow to import

        return client_redis()

    @property
    def wire(self) -> Wire:
        """How times are written: as set, else as the settings file says, else 8.

        Raises:
            ConfigError: nothing was set, and the file has problems.
        """
        if self._wire is None:
            from jobd.config import client_wire  # noqa: PLC0415 - slow to import

            self._wire = client_wire()
        return self._wire

    @wire.setter
    def wire(self, given: Wire) -> None:
        self._wire = given

    @property
    def reliable_push(self) -> int:
        """How many jobs are kept while Redis is away: as set, else as the settings file says.

        Raises:
            ConfigError: nothing was set, and the file has problems.
        """
        if self._reliable_push is None:
            from jobd.config import client_reliable_push  # noqa: PLC0415 - slow to import

            self._reliable_push = client_reliable_push()
        return self._reliable_push

    @reliable_push.setter
    def reliable_push(self, given: int) -> None:
        self._reliable_push = given

    @property
    def client(self) -> Client:
        """The client of these settings; it connects at its first push."""
        key = (self.wire, self.strict, self.client_class)
        made = self._client
        if made is None or made[0] != key:
            client = self.client_class(
                self._open,
                middleware=self.client_middleware,
                wire=self.wire,
                strict=self.strict,
                defaults=self.default_job_options,
            )
            made = self._client = (key, client)
        return made[1]

    @property
    def store(self) -> Writer:
        """What jobs are written to while no test keeps them; it connects at its first use."""
        key = (self.redis, self.open_store)
        opened = self._store
        if opened is None or opened[0] != key:
            # Two threads must not make two pools, which together could exceed redis.size.
            with self._lock:
                opened = self._store
                if opened is None or opened[0] != key:
                    opened = self._store = (key, self.open_store(self.redis_settings))
        return opened[1]

    @property
    def outbox(self) -> Writer:
        """What pushes go to: the store, or what keeps them while that is away."""
        store, most = self.store, self.reliable_push
        if not most:
            return store
        made = self._outbox
        if made is None or made[:2] != (store, most):
            with self._lock:
                made = self._outbox
                if made is None or made[:2] != (store, most):
                    made = self._outbox = (store, most, _reliable(store, most))
        return made[2]

    def close(self) -> None:
        """Send what is kept, in a process that ends without the interpreter's own end."""
        if self._outbox is not None:
            cast("ReliablePush", self._outbox[2]).close()

    @property
    def job_middleware(self) -> ServerChain:
        """The chain around a job that this process runs: in a test, the one of the server."""
        stand_in = self.stand_in
        return self.server_middleware if stand_in is None else stand_in.server_middleware()

    def cancel(self, jid: str) -> bool:
        """Cancel a job; see ``Job.cancel``."""
        was_kept = None if self.stand_in is None else self.stand_in.cancel(jid)
        if was_kept is not None:
            return was_kept
        from jobd.cancelling import cancel  # noqa: PLC0415 - imports redis, which is slow
        from jobd.store import Store  # noqa: PLC0415 - likewise

        if not isinstance(self.store, Store):
            raise ConfigError([f"the app writes to {self.store!r}: jobs are cancelled in Redis"])
        return cancel(self.store, jid) is not None

    def result(self, jid: str) -> "Result":
        """What became of a job; see ``Job.result``."""
        from jobd.results import Result  # noqa: PLC0415 - imports redis, which is slow
        from jobd.store import Store  # noqa: PLC0415 - likewise

        if not isinstance(self.store, Store):
            raise ConfigError([f"the app writes to {self.store!r}: results are kept in Redis"])
        return Result(self.store, jid)

    def _open(self) -> Writer:
        writer = None if self.stand_in is None else self.stand_in.writer()
        return self.outbox if writer is None else writer


class Configuration:
    """What the functions under ``configure_client`` and ``configure_server`` are given."""

    __slots__ = ("_app",)

    def __init__(self, app: App) -> None:
        self._app = app

    @property
    def redis(self) -> "RedisSettings | None":
        """What was set: read as settings; write those, a URL, or a dict.

        The dict may hold ``url`` (or ``sentinels`` and ``master``), ``size`` (the most connections
        that a client opens) and ``network_timeout`` (seconds). Without ``url`` the server stays the
        one that it is; with it, what is left out has its default.

        Raises:
            ConfigError: an unknown key, or a value that cannot be.
        """
        return self._app.redis

    @redis.setter
    def redis(self, given: "RedisSettings | str | Mapping[str, Any]") -> None:
        self._app.redis = settings_of(given, lambda: self._app.redis_settings)

    @property
    def client_middleware(self) -> ClientChain:
        """Runs around each push."""
        return self._app.client_middleware

    @property
    def server_middleware(self) -> ServerChain:
        """Runs around each job."""
        return self._app.server_middleware

    @property
    def error_handlers(self) -> list[ErrorHandler]:
        """Called with (error, context)."""
        return self._app.hooks.error_handlers

    @property
    def death_handlers(self) -> list[DeathHandler]:
        """Called with (payload, error) when a job will not be tried again."""
        return self._app.hooks.death_handlers

    def on(self, event: Event) -> Callable[[F], F]:
        """Decorate a function to be called at an event of the server's life.

        Raises:
            ConfigError: there is no such event.
        """
        self._app.hooks.check(event)
        return lambda function: self._app.hooks.on(event, function)

    @property
    def default_job_options(self) -> dict[str, Any]:
        """Fields for every job that does not set them, such as ``retry``.

        Raises:
            InvalidJob: a value that cannot be.
        """
        return self._app.default_job_options

    @default_job_options.setter
    def default_job_options(self, given: Mapping[str, Any]) -> None:
        options = check_options(given)
        # In place: a client that exists holds this dict.
        self._app.default_job_options.clear()
        self._app.default_job_options.update(options)

    @property
    def wire(self) -> Wire:
        """8, or 7 to write times as Ruby Sidekiq before 8 reads them."""
        return self._app.wire

    @wire.setter
    def wire(self, given: Wire) -> None:
        if given not in {7, 8}:
            raise ConfigError([f"wire: 7 or 8, not {given!r}"])
        self._app.wire = given

    @property
    def reliable_push(self) -> int:
        """How many jobs are kept in memory while Redis is away, and pushed when it is back.

        0, the default, keeps none: such a push raises. They are lost with the process.

        Raises:
            ConfigError: not a number of jobs.
        """
        return self._app.reliable_push

    @reliable_push.setter
    def reliable_push(self, given: int) -> None:
        if type(given) is not int or given < 0:
            raise ConfigError([f"reliable_push: a number of jobs, 0 for none, not {given!r}"])
        self._app.reliable_push = given

    @property
    def strict(self) -> Strict:
        """``raise``, ``warn`` or ``off``: what happens to arguments that JSON would change."""
        return self._app.strict

    @strict.setter
    def strict(self, given: Strict) -> None:
        if given not in {"raise", "warn", "off"}:
            raise ConfigError([f'strict: "raise", "warn" or "off", not {given!r}'])
        self._app.strict = given


ConfigureT = TypeVar("ConfigureT", bound=Callable[[Configuration], object])


def configure_client(function: ConfigureT) -> ConfigureT:
    """Run the function with the configuration, at once, unless this is a server.

    It may stand as a decorator; the function is returned.
    """
    if not _default.is_server:
        function(Configuration(_default))
    return function


def configure_server(function: ConfigureT) -> ConfigureT:
    """Run the function with the configuration, at once, if this is a server.

    Elsewhere only jobd.testing runs it, to learn of its middleware.
    """
    if _default.is_server:
        function(Configuration(_default))
    else:
        _default.server_setup.append(function)
    return function


class Embedded(Protocol):
    """A worker inside this process; ends with a ``with`` block, ``stop``, or the process."""

    def stop(self, timeout: float | None = None) -> bool:
        """Take no more jobs, let the running one end, and leave; twice is fine.

        Args:
            timeout: seconds for it, instead of the settings'.

        Returns:
            False if it still runs. It is held in Redis then, and will run again elsewhere.
        """
        ...

    def quiet(self) -> None:
        """Take no more jobs for now."""
        ...

    def resume(self) -> None:
        """Take jobs again."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def embed(*, queues: Sequence[str] = (), timeout: float | None = None) -> Embedded:
    """Run jobs in this process, one at a time, from now until it ends.

    The settings are those of a server in this directory, with the Redis that this process pushes
    to.

    Args:
        queues: as on the command line, ``default`` or ``default,2``; by default the file's.
        timeout: seconds that a running job gets at the end; by default the file's.

    Raises:
        ConfigError: of the settings.
    """
    # By its name: a server lies above this, and is nothing for who only pushes.
    module: Any = importlib.import_module("jobd.embedding")
    embedded: Embedded = module.start(_default, tuple(queues), timeout)
    return embedded


def current_app() -> App:
    """The default app; only jobs, the commands and the tests of jobd ask for it."""
    return _default


_default: Final = App()


def _reliable(store: Writer, most: int) -> Writer:
    from jobd.reliable_push import ReliablePush  # noqa: PLC0415 - imports redis, which is slow
    from jobd.store import Store  # noqa: PLC0415 - likewise

    if not isinstance(store, Store):
        raise ConfigError([f"reliable_push: the app writes to {store!r}, which is no Redis"])
    return ReliablePush(store, most)
