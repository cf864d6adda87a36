"""Pushes that are kept in memory while Redis is away, and sent when it is back.

In the order in which they came: once something is kept, what follows is kept behind it, and a
thread that lives only so long sends it all. So a push that is kept takes no time. Each push has a
number, which the server remembers: one whose reply was lost is sent again, and does nothing then.

What is kept is lost with the process. Source: the feature of this name of Sidekiq Pro.
"""

import atexit
import contextlib
import itertools
import logging
import os
import random
import secrets
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from jobd.clock import Clock, SystemClock
from jobd.connection import Backoff, ScriptMissing
from jobd.errors import PushBufferFull, RedisError, RedisUnavailable
from jobd.link import Argument, Command
from jobd.store import Script, Store

T = TypeVar("T")

AT_EXIT_S: Final = 3.0
_LIFE_S: Final = 86_400
# More than a client has connections, and so pushes that may have arrived without an answer.
_REMEMBERED: Final = 100
_AT_ONCE: Final = 50
_LARGEST_COMMAND: Final = 1_000  # Lua takes some 8,000 arguments at once

_PUSH_ONCE: Final = Script("push_once")
_logger = logging.getLogger("jobd")


@dataclass(frozen=True, slots=True)
class _Push:
    """What one round trip writes.

    Attributes:
        number: tells it from all other pushes of this client.
        commands: those that only look first, so that what is refused is refused whole.
    """

    number: str
    commands: Sequence[Command]
    jobs: int


class ReliablePush:
    """A ``jobd.client.Writer`` before a store. Threads may share it; a fork begins with nothing.

    Args:
        store: over a pool.
        most: jobs that are kept.
        clock: for the end.
    """

    def __init__(self, store: Store, most: int, clock: Clock | None = None) -> None:
        self._store = store
        self._most = most
        self._clock = clock or SystemClock()
        self._begin_anew()
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
            os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        # In a child of a fork too: what its parent keeps is the parent's to send.
        self._client = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._kept: deque[_Push] = deque()  # guarded by _lock; its first one leaves when it is sent
        self._jobs = 0  # guarded by _lock
        self._thread: threading.Thread | None = None  # guarded by _lock
        self._lock = threading.Lock()
        self._sending = threading.Lock()  # held while what is kept is sent; taken before _lock
        self._rest = threading.Event()  # never set: a wait that nothing ends

    def push(self, batches: Mapping[str, list[bytes]]) -> None:
        """Queue payloads by queue, now or when Redis is back."""
        keys = self._store.keys
        looks: list[Command] = [("LLEN", keys.queue(name)) for name in batches]
        writes: list[Command] = [("SADD", keys.queues, *batches)]
        for name, raws in batches.items():
            writes += [("LPUSH", keys.queue(name), *some) for some in _chunks(raws)]
        self._write([("SCARD", keys.queues), *looks, *writes], sum(map(len, batches.values())))

    def schedule(self, entries: list[tuple[float, bytes]]) -> None:
        """Keep payloads in ``schedule`` until their time, now or when Redis is back."""
        key = self._store.keys.schedule
        writes: list[Command] = [
            ("ZADD", key, *(part for at_s, raw in some for part in (at_s, raw)))
            for some in _chunks(entries)
        ]
        self._write(writes, len(entries))

    @property
    def kept(self) -> int:
        """How many jobs wait for Redis."""
        return self._jobs

    def close(self, timeout_s: float = AT_EXIT_S) -> None:
        """Send what is kept, and tell what could not be sent; at exit."""
        backoff, deadline = _backoff(), self._clock.monotonic() + timeout_s
        while self._kept and self._clock.monotonic() < deadline:
            if self._sending.acquire(timeout=max(deadline - self._clock.monotonic(), 0)):
                with contextlib.suppress(RedisError):
                    self._send_kept()
                self._sending.release()
            if self._kept:
                self._rest.wait(min(backoff.next_s(), max(deadline - self._clock.monotonic(), 0)))
        if self._kept:
            _logger.error("%d jobs are lost: Redis did not come back in time", self._jobs)

    def _write(self, commands: Sequence[Command], jobs: int) -> None:
        push = _Push(str(next(self._numbers)), commands, jobs)
        reason: RedisUnavailable | None = None
        if not self._kept:
            try:
                self._send(push)
            except RedisUnavailable as error:
                reason = error
            else:
                return
        self._keep(push, reason)

    def _keep(self, push: _Push, reason: RedisUnavailable | None) -> None:
        with self._lock:
            if self._jobs + push.jobs > self._most:
                raise PushBufferFull(
                    f"{self._jobs} of {self._most} pushes wait for Redis already, and "
                    f"{push.jobs} more are not taken: push again when it is back, or raise "
                    "reliable_push"
                ) from reason
            if not self._kept:
                _logger.warning("pushes are kept in memory until Redis is back: %s", reason)
            self._kept.append(push)
            self._jobs += push.jobs
            if self._thread is None:
                self._thread = self._started()

    def _started(self) -> threading.Thread | None:
        thread = threading.Thread(target=self._run, name="jobd-reliable-push", daemon=True)
        try:
            with _without_signals():
                thread.start()
        except RuntimeError:  # the interpreter is going down: close() sends what is kept
            return None
        return thread

    def _run(self) -> None:
        backoff, told = _backoff(), ""
        while True:
            self._rest.wait(backoff.next_s())
            try:
                with self._sending:
                    sent = self._send_kept()
            except RedisError as error:
                if not isinstance(error, RedisUnavailable) and str(error) != told:
                    told = str(error)
                    _logger.exception("pushes that were kept are refused, and tried again")
                continue
            backoff.reset()
            with self._lock:
                # Whoever keeps something from now on starts another thread.
                if not self._kept:
                    self._thread = None
                    _logger.info("%d pushes that were kept are sent", sent)
                    return

    def _send_kept(self) -> int:
        """Send all, the oldest first; needs ``_sending``. Returns how many jobs that were."""
        sent = 0
        while self._kept:
            some = list(itertools.islice(self._kept, _AT_ONCE))
            try:
                self._store.redis.pipeline([self._command(push) for push in some])
            except ScriptMissing:
                self._send(some[0])  # makes it known
                continue
            with self._lock:
                for push in some:
                    self._kept.popleft()
                    self._jobs -= push.jobs
                    sent += push.jobs
        return sent

    def _send(self, push: _Push) -> None:
        _PUSH_ONCE.run(self._store.redis, *self._once(push))

    def _command(self, push: _Push) -> Command:
        return ("EVALSHA", _PUSH_ONCE.sha, *self._once(push))

    def _once(self, push: _Push) -> Sequence[Argument]:
        keys = dict.fromkeys(str(command[1]) for command in push.commands)
        parts = [part for command in push.commands for part in (len(command), *command)]
        pushed = self._store.keys.pushed(self._client)
        head = (push.number, _LIFE_S, _REMEMBERED)
        return (1 + len(keys), pushed, *keys, *head, *parts)


def _backoff() -> Backoff:
    return Backoff(random.Random())  # noqa: S311 - jitter


def _chunks(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    rest = iter(items)
    while some := tuple(itertools.islice(rest, _LARGEST_COMMAND)):
        yield some


@contextlib.contextmanager
def _without_signals() -> Generator[None]:
    """A thread that is started meanwhile gets none: the main thread would go on waiting."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
