"""A worker inside another process: of a web app, or of a test.

Two threads: one claims, runs and settles, one job at a time or, with ``threads``, many in threads
of its own; one promotes, beats and recovers. Both are those of a server, so no job is lost if the
process is killed. What needs a process of its own is not there: a job cannot be interrupted, so
neither ``time_limit`` nor ``Job.cancel`` end one that runs (``self.cancelled`` tells it), and one
that takes the process down takes the host with it.
No signal handler is installed and no process title set; both are the host's.

Source: Sidekiq's lib/sidekiq/embedded.rb.
"""

import atexit
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

import msgspec

from jobd import log
from jobd.app import App, Configuration
from jobd.boot import Server
from jobd.config import Config, Flags, load
from jobd.scoreboard import InstanceState, State
from jobd.staffing import threads_of
from jobd.worker.attention import Attention

_POLLER_LEAVES_S: Final = 5.0
_configured: Final[list[object]] = []  # what configure_server was given and has run here


def start(app: App, queues: tuple[str, ...], timeout: float | None) -> "Embedded":
    """What ``jobd.embed`` does.

    Raises:
        ConfigError: of the settings.
    """
    embedded = Embedded(_settings(app, queues, timeout), app)
    embedded.start()
    return embedded


class Embedded:
    """A worker inside this process; see ``jobd.app.Embedded``.

    Args:
        config: of a server.
        app: whose jobs.
    """

    def __init__(self, config: Config, app: App) -> None:
        self._timeout_s = config.timeout
        self._app = app
        self._pid = os.getpid()
        self._server = server = Server(config, is_embedded=True)
        group = config.capsules[0].name
        self._seats = [_Seat(slot, server.identity, group, self._obey) for slot in (0, 1)]
        slots = [server.scoreboard.writer(seat.slot) for seat in self._seats]
        self._inbox = _Waker()
        self._attention = Attention(self._seats[1], slots[1], config.timeout, inbox=self._inbox)
        slots[0].open(self._pid, 1)
        slots[1].open(self._pid, 1, threads_of(config, self._seats[1]))
        self._poller, _ = server.make_poller(self._seats[0])
        self._worker = server.make_worker(self._seats[1], self._attention, slots[1], app)
        runs: dict[str, Callable[[], None]] = {
            "jobd-poller": self._poller.run,
            "jobd-worker": self._worker.run,
        }
        self._threads = {
            name: threading.Thread(target=run, name=name, daemon=True) for name, run in runs.items()
        }

    def start(self) -> None:
        """Fire ``startup``, and begin."""
        self._app.hooks.fire("startup")
        self._server.scoreboard.assign(1, state=State.IDLE, pid=self._pid, incarnation=1)
        for thread in self._threads.values():
            thread.start()
        atexit.register(self.stop)

    def stop(self, timeout: float | None = None) -> bool:
        """Drain, and leave; False if the job still runs."""
        if os.getpid() != self._pid:
            return True  # in a child that was forked: there are no threads of ours
        atexit.unregister(self.stop)
        self._server.scoreboard.set_instance_state(InstanceState.STOPPING)
        self._attention.is_stopping = True
        self._inbox.wake()
        worker = self._threads["jobd-worker"]
        worker.join(self._timeout_s if timeout is None else timeout)
        if worker.is_alive():
            log.event("a job has not ended in time; it stays held", level="warning")
        else:
            self._server.scoreboard.assign(1, state=State.DEAD)
        self._poller.end()
        self._seats[0].wake()
        self._threads["jobd-poller"].join(_POLLER_LEAVES_S)
        return not worker.is_alive()

    def quiet(self) -> None:
        """Take no more jobs for now."""
        self._rest(is_quiet=True)

    def resume(self) -> None:
        """Take jobs again."""
        self._rest(is_quiet=False)

    def _rest(self, *, is_quiet: bool) -> None:
        state = InstanceState.QUIET if is_quiet else InstanceState.RUNNING
        self._server.scoreboard.set_instance_state(state)
        self._attention.is_quiet = is_quiet
        self._inbox.wake()

    def _obey(self, command: str) -> None:
        # The host is not ours to stop, and its stacks are not ours to dump.
        if command in {"TSTP", "CONT"}:
            self._rest(is_quiet=command == "TSTP")
        else:
            log.event("a worker inside another process does not do that", command=command)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Waker:
    """Something to wait for; an ``Inbox`` where no signal arrives."""

    has_news = False

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it is awake
            self._writer.send(b"!")

    def fileno(self) -> int:
        return self._reader.fileno()

    def open(self) -> None:
        """Nothing is installed."""

    def reclaim(self) -> bool:
        return False

    def reclaim_wakeup(self) -> None:
        """The host's is left alone."""

    def take(self) -> set[int]:
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
        return set()


class _Seat(_Waker):
    """The place of a thread, and its way to a master that is not there."""

    incarnation = 1

    def __init__(self, slot: int, identity: str, group: str, obey: Callable[[str], None]) -> None:
        super().__init__()
        self.slot = slot
        self.identity = identity
        self.group = group
        self._obey = obey

    def is_cut(self) -> bool:
        return False

    def nudge(self) -> None:
        """Nobody watches the time here."""

    def send(self, message: Mapping[str, object]) -> None:
        if message["type"] == "remote":
            self._obey(str(message["signal"]))

    def receive(self) -> Sequence[Mapping[str, Any]]:
        self.take()
        return ()


def _settings(app: App, queues: tuple[str, ...], timeout: float | None) -> Config:
    for function in app.server_setup:
        if function not in _configured:
            _configured.append(function)
            function(Configuration(app))
    redis = app.redis_settings
    environ = {**os.environ, "REDIS_URL": redis.url}  # noqa: TID251 - handed on
    config = load(Flags(concurrency=1, queues=queues or None, timeout=timeout), environ)
    capsule = msgspec.structs.replace(config.capsules[0], concurrency=1)
    return msgspec.structs.replace(
        config, redis=redis, capsules=(capsule,), fetch="reliable", health=None
    )
