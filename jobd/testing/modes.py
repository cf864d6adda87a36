"""Which test mode holds where, and what it does with a push.

A block counts for the thread or task that entered it, what ``use`` chose for everything else.
"""

import warnings
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias, get_args

from jobd.app import App, Configuration
from jobd.client import Writer
from jobd.clock import Clock
from jobd.errors import JobdError, UnknownJob
from jobd.jobs import perform, registry
from jobd.jobs.in_tests import NotTesting
from jobd.middleware import Chain, ServerChain
from jobd.payload import Payload, When, resolve_at, timestamp
from jobd.testing.kept import Kept, KeptJobs, Selects, job_class, selector

Mode: TypeAlias = Literal["fake", "inline", "disabled"]

_MOST_PUSHED_WHILE_DRAINING: Final = 10_000


class EmptyQueueError(JobdError, LookupError):
    """``perform_one`` found no job to run."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A mode, and the jobs that belong to it."""

    mode: Mode
    kept: KeptJobs


class Modes:
    """The modes of an app; a ``jobd.app.StandIn``.

    Args:
        app: jobs are pushed with it. It learns of this when the first mode is chosen.
        clock: the app's.
    """

    def __init__(self, app: App, clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self._everywhere = Setting("disabled", KeptJobs())
        self._here: ContextVar[Setting | None] = ContextVar("jobd.testing", default=None)
        self._server = _ServerMiddleware(app)

    @property
    def mode(self) -> Mode:
        """The one that holds here."""
        return self._setting.mode

    @property
    def kept(self) -> KeptJobs:
        """The kept jobs.

        Raises:
            NotTesting: jobs go to Redis.
        """
        if self.mode == "disabled":
            raise NotTesting
        return self._setting.kept

    @property
    def only_kept(self) -> KeptJobs:
        """The kept jobs, of a mode in which each push is kept.

        Raises:
            NotTesting: jobs go to Redis, or run at once.
        """
        if self.mode == "inline":
            raise NotTesting(
                "the test mode here is inline: jobs ran as they were pushed, so none is enqueued; "
                'assert what they did, or use "with jobd.testing.fake():"'
            )
        return self.kept

    # Choosing

    def choose(self, mode: Mode) -> Setting:
        """A setting of that mode. Jobs that are kept around an inline block are seen in it.

        Raises:
            ValueError: there is no such mode.
        """
        if mode not in get_args(Mode):
            raise ValueError(f"no test mode {mode!r}: there are {', '.join(get_args(Mode))}")
        shares = mode == "inline" and self.mode != "disabled"
        return Setting(mode, self._setting.kept if shares else KeptJobs())

    def set_everywhere(self, setting: Setting) -> Setting:
        """Let it hold where no block does, and return the one before."""
        self._app.stand_in = self
        before, self._everywhere = self._everywhere, setting
        return before

    def set_here(self, setting: Setting | None) -> Setting | None:
        """Let it hold in this thread or task, and return the one before."""
        self._app.stand_in = self
        before = self._here.get()
        self._here.set(setting)
        return before

    # What the app asks

    def writer(self) -> Writer | None:
        """Where pushes go, or None if to Redis."""
        match self.mode:
            case "fake":
                return self._setting.kept
            case "inline":
                return _InlineWriter(self)
            case "disabled":
                return None

    def server_middleware(self) -> ServerChain:
        """The server's, although this process is none."""
        return self._app.server_middleware if self.mode == "disabled" else self._server.chain()

    # What jobs ask

    def jobs(self, job: object) -> list[Payload]:
        """See ``jobd.jobs.in_tests.Jobs``."""
        selects = selector(job)
        return [payload for payload in self.kept.payloads() if selects(payload)]

    def drain(self, job: object, until: When | None) -> int:
        """See ``jobd.jobs.in_tests.drain_kept``.

        Raises:
            JobdError: there is no end of it.
        """
        kept, selects = self.kept, selector(job)
        now_ms = self._clock.now_ms()
        until_s = None if until is None else resolve_at(until, now_ms) or now_ms / 1000
        most = len(kept.payloads()) + _MOST_PUSHED_WHILE_DRAINING
        ran = 0
        while (taken := kept.take(selects, until_s)) is not None:
            if ran == most:
                raise _endless(taken.payload())
            self.run(taken)
            ran += 1
        return ran

    def perform_one(self, job: object) -> None:
        """See ``jobd.jobs.in_tests.perform_first``."""
        taken = self.kept.take(selector(job))
        if taken is None:
            raise EmptyQueueError(f"no {job_class(job).wire_name} is enqueued, so none can be run")
        self.run(taken)

    def clear(self, job: object) -> None:
        """See ``jobd.jobs.in_tests.clear_kept``."""
        selects: Selects = selector(job)
        self.kept.clear(selects)

    def cancel(self, jid: str) -> bool | None:
        """See ``jobd.jobs.Job.cancel``; None if jobs go to Redis."""
        if self.mode == "disabled":
            return None
        return self.kept.take(lambda payload: payload["jid"] == jid) is not None

    def run(self, taken: Kept) -> None:
        """Run a job as a server does, but let its errors through.

        Raises:
            UnknownJob: no module that is imported defines it.
        """
        payload = taken.payload()
        if payload.pop("at", None) is not None:
            payload["enqueued_at"] = timestamp(self._clock.now_ms(), self._app.wire)
        kind = registry.find(payload["class"])
        if kind is None:
            raise UnknownJob(
                f"no job is called {payload['class']!r}: import the module that defines it; "
                "a job of another program can be asserted, not run"
            )
        self._app.job_middleware.fold(perform)(kind.from_payload(payload), payload)

    @property
    def _setting(self) -> Setting:
        return self._here.get() or self._everywhere


class Use:
    """What ``use`` returns: the mode holds already, and ends with the block or ``restore``."""

    def __init__(self, modes: Modes, mode: Mode) -> None:
        self._modes = modes
        self._before: Setting | None = modes.set_everywhere(modes.choose(mode))

    def restore(self) -> None:
        """Go back to the mode before, and to the jobs that it kept; twice is fine."""
        if self._before is not None:
            self._modes.set_everywhere(self._before)
            self._before = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()


class Block:
    """A mode for a ``with`` block, entered once."""

    def __init__(self, modes: Modes, mode: Mode) -> None:
        self._modes = modes
        self._mode: Mode = mode
        self._before: Setting | None = None
        self._is_used = False

    def __enter__(self) -> None:
        if self._is_used:
            raise JobdError(f"this block was entered before: call jobd.testing.{self._mode}() anew")
        self._is_used = True
        self._before = self._modes.set_here(self._modes.choose(self._mode))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        # Set, not reset with a token: fixtures of async tests may leave in another context.
        self._modes.set_here(self._before)

    def __del__(self) -> None:
        if not self._is_used:
            warnings.warn(
                f"jobd.testing.{self._mode}() does nothing by itself: write "
                f'"with jobd.testing.{self._mode}():", or jobd.testing.use("{self._mode}")',
                RuntimeWarning,
                stacklevel=2,
            )


class _InlineWriter:
    """A ``jobd.client.Writer`` that runs what is pushed, scheduled or not."""

    def __init__(self, modes: Modes) -> None:
        self._modes = modes

    def push(self, batches: Mapping[str, list[bytes]]) -> None:
        for raws in batches.values():
            for raw in raws:
                self._modes.run(Kept(raw, None))

    def schedule(self, entries: list[tuple[float, bytes]]) -> None:
        for at_s, raw in entries:
            self._modes.run(Kept(raw, at_s))


class _ServerMiddleware:
    """What configure_server would add in a server, then what this process has itself.

    The functions are run once, with an app that is thrown away: their hooks, handlers and Redis
    are of no use in a test.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._scratch = App(is_server=True)
        self._ran: list[Callable[[Configuration], object]] = []

    def chain(self) -> ServerChain:
        setup = self._app.server_setup
        if self._ran != setup[: len(self._ran)]:
            self._scratch, self._ran = App(is_server=True), []
        for function in setup[len(self._ran) :]:
            try:
                function(Configuration(self._scratch))
            except Exception as error:
                error.add_note("jobd.testing ran this configure_server, for its middleware")
                raise
            self._ran.append(function)
        return Chain(*self._scratch.server_middleware, *self._app.server_middleware)


def _endless(payload: Payload) -> JobdError:
    return JobdError(
        f"draining ran {_MOST_PUSHED_WHILE_DRAINING:,} jobs more than were enqueued, and there is "
        f"still {payload['class']}: a job that schedules itself again needs drain(until=0), which "
        "runs what is due, or perform_one()"
    )
