"""What an operator's objects reach Redis with, and by which rules they change what is there.

Every class of `jobd.api` takes an ``access``; without one it is that of the current app, so that
nothing needs to be passed in a shell or a view. Nothing connects before the first question.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jobd.app import App, current_app  # noqa: TID251 - the default of a public API, as in jobs
from jobd.clock import Clock, SystemClock
from jobd.connection import Reply
from jobd.errors import ConfigError, RedisRejected
from jobd.hooks import Hooks
from jobd.keys import Keys
from jobd.link import Argument, Command
from jobd.payload import Wire
from jobd.store import Store


class Redis(Protocol):
    """What is needed of a connection or a pool."""

    def call(self, *command: Argument) -> Reply:
        """One command, one reply."""
        ...

    def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Several in one round trip."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A Redis, the names of its keys, and the rules of whoever acts on it.

    Attributes:
        redis: a pool that threads share, or a connection of one thread.
        wire: how times are written: 8, or 7 for Ruby Sidekiq before 8.
        dead_limits: how many jobs the dead set keeps when one is killed, and for how many
            seconds; None: as the settings file says that a server started here would read.
        hooks: whose death handlers hear of a killed job.
        clock: to time round trips with.
    """

    redis: Redis
    keys: Keys = field(default_factory=Keys)
    wire: Wire = 8
    dead_limits: tuple[int, float] | None = None
    hooks: Hooks = field(default_factory=Hooks)
    clock: Clock = field(default_factory=SystemClock)

    @classmethod
    def of(cls, app: App | None = None) -> "Access":
        """The Redis that this app pushes to (by default the current one), through its pool.

        Raises:
            ConfigError: the settings have problems, or the app writes to something else than Redis.
        """
        app = current_app() if app is None else app
        store = app.store
        if not isinstance(store, Store):
            raise ConfigError(
                [f"the app writes to {store!r}: jobd.api reads Redis; pass it an Access of one"]
            )
        return cls(redis=store.redis, keys=store.keys, wire=app.wire, hooks=app.hooks)

    def atomically(self, *commands: Command) -> list[Reply]:
        """Several commands that nobody can come between; the reply of each.

        Raises:
            RedisRejected: one was refused; the others were done.
        """
        replies: list[Reply] = self.redis.pipeline([("MULTI",), *commands, ("EXEC",)])[-1]
        for reply in replies:
            if isinstance(reply, Exception):
                raise RedisRejected(f"Redis refused: {reply}") from reply
        return replies

    def now_ms(self) -> int:
        """The server's clock, in milliseconds since the epoch; one round trip."""
        return server_ms(self.redis.call("TIME"))


def server_ms(reply: Sequence[bytes]) -> int:
    """Milliseconds of a reply to TIME."""
    seconds, micros = map(int, reply)
    return seconds * 1000 + micros // 1000
