"""Putting a server together: the one place, besides tests, that knows all of its parts.

The master runs what is made here and knows none of it: workers and poller are callables. The order
matters. Before the first fork our own modules and their libraries are imported, so that children
start at once and share their pages; nothing connects and no thread starts. The application is
imported by the mold, or after the fork by each worker; only then a worker says that it is ready.
"""

import contextlib
import copy
import os
import random
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
from setproctitle import setproctitle

from jobd import greeting, log
from jobd._version import __version__
from jobd.app import App, current_app  # noqa: TID251 - wiring: hands it to all others
from jobd.clock import SystemClock
from jobd.config import Config, RedisSettings, host_name
from jobd.connection import Connection
from jobd.embedded import EmbeddedStore, EmbeddedStoreError, find_binary
from jobd.errors import ConfigError, RedisError, RedisUnavailable
from jobd.health.listener import CannotListen, listen, remove
from jobd.jobs import registry
from jobd.last_lines import LastLines
from jobd.loading import load, load_in_child, refuse_to_boot
from jobd.poller.instance import Instance
from jobd.poller.poller import Poller
from jobd.polling import Polling
from jobd.rereading import Rereading
from jobd.scoreboard import SLOTS, InstanceState, Scoreboard, SlotWriter
from jobd.server_check import check_server
from jobd.staffing import Staffing, threads_of
from jobd.supervisor.child import Child, Seat
from jobd.supervisor.master import Master
from jobd.supervisor.plan import Generation, Plan, Wear
from jobd.tallies import Tallies
from jobd.worker.attention import Attention
from jobd.worker.crew import Crew
from jobd.worker.worker import Worker

EX_OK, EX_CANTCREAT, EX_TEMPFAIL, EX_CONFIG = 0, 73, 75, 78


def run(config: Config, read: Callable[[], Config]) -> int:
    """Serve until told to stop.

    Args:
        config: to begin with.
        read: reads it again.

    Returns:
        The exit status of the process.

    Raises:
        ConfigError: the configuration cannot be run here.
    """
    store = EmbeddedStore(Path.cwd()) if config.redis.embedded else None
    config = _at_store(config, store)
    greeting.tell_where_the_log_is(config)
    log.configure(config.log)
    log.never_block()
    greeting.boot_lines(config, is_private=store is not None)
    try:
        if store is not None:
            store.start()
        return Server(config).run(store, lambda: _at_store(read(), store))
    except EmbeddedStoreError as error:
        log.event(str(error), level="fatal")
        return error.exit_status
    except CannotListen as error:
        log.event(str(error), level="fatal")
        return EX_CANTCREAT
    finally:
        if store is not None:
            store.stop()


def _at_store(config: Config, store: EmbeddedStore | None) -> Config:
    """The configuration with the address of the private store, where it has one."""
    if store is None or not config.redis.embedded:
        return config
    redis = msgspec.structs.replace(config.redis, url=store.url, embedded=False)
    return msgspec.structs.replace(config, redis=redis)


def check(config: Config) -> int:
    """Try everything that can go wrong at boot, in this process, and say what does.

    Raises:
        ConfigError: of the application.
    """
    log.configure(config.log)
    try:
        load(config, current_app())
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the application may raise anything
        log.event("the application cannot be loaded", level="error", error=error)
        return EX_CONFIG
    jobs = " ".join(sorted(registry.names()))
    log.event("the application loads", jobs=jobs or None)
    if not jobs:
        greeting.warn_of_no_jobs(config)
    try:
        _check_redis(config.redis)
    except RedisError as error:
        log.event(str(error), level="error")
        return EX_TEMPFAIL
    log.event("all is well" if jobs else "all else is well")
    return EX_OK


def _check_redis(settings: RedisSettings) -> None:
    """Look at the server; of a private one, which only a jobd starts, at what would be started.

    Raises:
        ConfigError: it is too old, or there is none to start.
        RedisError: it cannot be used.
    """
    if settings.embedded:
        log.event("the private store is started by the server", binary=str(find_binary()))
    else:
        check_server(Connection(settings), settings)


class Server:
    """One instance: makes its master, and in the children what they run.

    Args:
        config: with the final address of Redis.
        is_embedded: its parts run in threads of somebody else's process.
    """

    def __init__(self, config: Config, *, is_embedded: bool = False) -> None:
        self._config = config
        self._is_embedded = is_embedded
        self._clock = SystemClock()
        # Rolls take a second slot for a worker, and old workers with long jobs a third.
        self._scoreboard = Scoreboard(self._clock, min(SLOTS, 4 * config.worker_count + 60))
        self._tallies = Tallies(self._scoreboard.slots, lambda: self._scoreboard.used)
        self._lines = LastLines(self._scoreboard.slots)
        self._hint = greeting.Hint(config)
        self._is_loaded = False
        self._listener: socket.socket | None = None
        host = host_name()
        self._instance = Instance(
            identity=f"{host}:{os.getpid()}:{secrets.token_hex(6)}",
            host=host,
            master_pid=os.getpid(),
            started_s=self._clock.now_ms() / 1000,
            is_embedded=is_embedded,
        )

    def run(self, store: EmbeddedStore | None, read: Callable[[], Config]) -> int:
        """Run the master; returns its exit status.

        Raises:
            CannotListen: at the address of health.
        """
        config = self._config
        if config.health is not None:
            # Before the first fork: a poller that is replaced hands no visitor a refusal.
            self._listener = listen(config.health)
        plan = Plan(
            identity=self._instance.identity,
            version=__version__,
            tag=config.tag,
            generation=self.generation(1),
            renewal=Rereading(config, read, import_application=load_in_child, renew=self._renewed),
            store=store,
            pidfile=Path(config.pidfile) if config.pidfile else None,
            reopen_logs=log.reopen,
            on_ready=self._on_ready,
        )
        try:
            return Master(plan, self._scoreboard, clock=self._clock, rng=random.Random()).run()  # noqa: S311 - jitter
        finally:
            if config.health is not None:
                remove(config.health)

    def generation(self, number: int) -> Generation:
        """What the master is to run of this configuration."""
        config = self._config
        return Generation(
            number=number,
            groups={capsule.name: capsule.concurrency for capsule in config.capsules},
            run_worker=self.run_worker,
            run_poller=self.run_poller,
            preload=self.preload if config.preload else None,
            timeout_s=config.timeout,
            boot_timeout_s=config.boot_timeout,
            hung_after_s=config.worker.hung_after,
            wear=Wear(
                max_jobs=config.worker.max_jobs,
                max_memory_bytes=config.worker.max_memory,
                max_age_s=config.worker.max_age,
            ),
        )

    def _renewed(self, config: Config, number: int) -> Generation:
        """A generation of the same instance with another configuration."""
        server = copy.copy(self)
        server._config, server._is_loaded = config, False  # noqa: SLF001 - it is one of us
        return server.generation(number)

    def _on_ready(self) -> None:
        boot_s = self._clock.now_ms() / 1000 - self._instance.started_s
        log.event("ready for jobs", workers=self._config.worker_count, boot=f"{boot_s:.2f} s")
        self._hint.show()

    def _stop_listening(self) -> None:
        """In a child that is not the poller: or a job could outlive jobd and hold its address."""
        if self._listener is not None:
            self._listener.close()

    @property
    def identity(self) -> str:
        """Of the instance."""
        return self._instance.identity

    @property
    def scoreboard(self) -> Scoreboard:
        """Of the instance."""
        return self._scoreboard

    # In the mold

    def preload(self, child: Child) -> int:
        """Import the application for all that are forked from here; returns 0 if it worked."""
        self._stop_listening()
        if status := load_in_child(self._config, child):
            return status
        self._is_loaded = True
        return EX_OK

    # In a worker

    def run_worker(self, child: Child) -> int:
        """What a worker does after the fork; returns its exit status."""
        config, app = self._config, current_app()
        self._stop_listening()
        slot = self._scoreboard.writer(child.slot)
        attention = Attention(child, slot, config.timeout, is_instance_stopping=self._is_stopping)
        attention.leave_lines = lambda: self._lines.leave(
            child.slot, child.incarnation, log.last_lines()
        )
        attention.open()
        slot.open(os.getpid(), child.incarnation, threads_of(config, child))
        try:
            if not self._is_loaded:
                load(config, app)
            app.hooks.fire("fork")  # not before: the application is what registers its functions
            app.hooks.fire("startup")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the application may raise anything
            return refuse_to_boot(child, error)
        if not registry.names() and child.slot == child.incarnation == 1:
            greeting.warn_of_no_jobs(config)
        if child.incarnation == 1:  # later ones would write what nobody reads any more
            self._hint.leave({name: _perform_of(name) for name in registry.names()})
        worker = self.make_worker(child, attention, slot, app)
        attention.booted()
        child.ready()
        worker.run()
        app.close()
        return EX_OK

    def _is_stopping(self) -> bool:
        return self._scoreboard.instance_state is InstanceState.STOPPING

    def make_worker(
        self, child: Seat, attention: Attention, slot: SlotWriter, app: App
    ) -> Worker | Crew:
        """A worker that is fit to run."""
        staffing = Staffing(
            self._config,
            self._scoreboard,
            self._tallies,
            clock=self._clock,
            is_embedded=self._is_embedded,
        )
        return staffing.worker(child, attention, slot, app)

    # In the poller

    def run_poller(self, child: Child) -> int:
        """What the poller does after the fork; returns its exit status."""
        setproctitle("jobd: poller")
        poller, inspect = self.make_poller(child)
        poller.open()
        with contextlib.suppress(RedisUnavailable):  # the poller waits for it, and looks then
            inspect()
        child.ready()
        poller.run()
        return EX_OK

    def make_poller(self, child: Seat) -> tuple[Poller, Callable[[], None]]:
        """A poller that is fit to run, and what looks at the server before it does."""
        polling = Polling(
            self._config,
            self._instance,
            scoreboard=self._scoreboard,
            tallies=self._tallies,
            lines=self._lines,
            clock=self._clock,
            listener=self._listener,
        )
        return polling.poller(child)


def _perform_of(name: str) -> Callable[..., object]:
    found: Any = registry.find(name)
    return cast("Callable[..., object]", found.perform)
