"""Connections that the threads of a client share."""

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from jobd.config import RedisSettings
from jobd.connection import Connection, Reply
from jobd.errors import RedisError, RedisUnavailable
from jobd.link import Argument, Command

T = TypeVar("T")


class Pool:
    """Never more than ``settings.size`` connections are open; the last one used is used next.

    A thread that finds none free waits ``settings.network_timeout``. After a fork the child starts
    with an empty pool and never touches its parent's sockets.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._make = partial(Connection, settings, name="jobd-client")
        self._make()  # an address that cannot be read is an error here
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._free: deque[Connection] = deque()  # threads take and put back without a lock
        self._returned = threading.Condition()
        self._made = 0  # guarded by _returned
        self._waiting = 0  # threads; grows and shrinks under _returned

    def call(self, *command: Argument) -> Reply:
        """Send one command and return its reply; raises as ``Connection.call``."""
        return self._lend(lambda connection: connection.call(*command))

    def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send several commands in one go; not atomic. Raises the first command's error."""
        return self._lend(lambda connection: connection.pipeline(commands))

    def close(self) -> None:
        """Close every connection that is not in use."""
        for connection in tuple(self._free):
            connection.close()

    def _lend(self, use: Callable[[Connection], T]) -> T:
        if os.getpid() != self._pid:
            self._begin()
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._wait()
        try:
            connection.renew()
            return use(connection)
        except RedisError:
            raise
        except BaseException:
            # A signal's exception in the middle of a reply: the rest of it must not be read as
            # the answer to somebody else's command.
            connection.close()
            raise
        finally:
            self._free.append(connection)
            if self._waiting:
                with self._returned:
                    self._returned.notify()

    def _wait(self) -> Connection:
        """Make one, or wait for one that comes back."""
        with self._returned:
            if self._made < self._settings.size:
                self._made += 1
                return self._make()
            # Before it looks: who puts one back after that look sees that somebody waits.
            self._waiting += 1
            try:
                taken = self._returned.wait_for(self._take, self._settings.network_timeout)
            finally:
                self._waiting -= 1
        if taken is None:
            raise RedisUnavailable(
                f"all {self._settings.size} connections to {self._settings.masked_url} were busy "
                f"for {self._settings.network_timeout:g} s; raise redis.size, or push from fewer "
                "threads at once"
            )
        return taken

    def _take(self) -> Connection | None:
        try:
            return self._free.pop()
        except IndexError:
            return None
