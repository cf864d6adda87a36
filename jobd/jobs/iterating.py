"""One run of an iterable job: from the saved cursor on, item by item, until it ends or must stop.

Between two items it looks whether the worker wants to leave, and now and then saves the cursor of
the item that comes next; so a worker that is killed costs the items of one such interval. Where
that is saved, and what it means to stop, is the business of a ``Progress``.

Source: Sidekiq's lib/sidekiq/job/iterable.rb.
"""

import contextlib
import functools
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, ClassVar, Final, Literal, NoReturn, Protocol, TypeAlias

import msgspec

from jobd.clock import Clock, SystemClock
from jobd.errors import InvalidArguments, InvalidJob, JobCancelled, RedisError
from jobd.hooks import Hooks
from jobd.payload import Payload, check_values

Verdict: TypeAlias = Literal["saved", "cancelled", "superseded"]
"""What a save tells: the last means that a later run of the job has begun elsewhere."""

_logger: Final = logging.getLogger("jobd")


class Left(msgspec.Struct, frozen=True):
    """What earlier runs of a job have left.

    Attributes:
        run: the number of the run that begins now; 1 for the first.
        cursor: where to go on; None for the beginning.
        runtime_s: seconds that they took.
        items: how many they went through.
        is_cancelled: it was told to end.
        is_done: it has ended; only its acknowledgement was lost.
    """

    run: int = 1
    cursor: Any = None
    runtime_s: float = 0.0
    items: int = 0
    is_cancelled: bool = False
    is_done: bool = False


class Reached(msgspec.Struct, frozen=True):
    """How far a run has come.

    Attributes:
        run: its number.
        cursor: of the item that comes next.
        runtime_s: seconds of all runs.
        items: of all runs.
        is_further: this run has done an item.
        is_done: there is no item left to do.
    """

    run: int
    cursor: Any
    runtime_s: float
    items: int
    is_further: bool = True
    is_done: bool = False


class Progress(Protocol):
    """Where a run is kept, and who may end it."""

    @property
    def clock(self) -> Clock:
        """For the intervals."""
        ...

    @property
    def patience_s(self) -> float:
        """An item that takes longer would be cut off when the worker stops."""
        ...

    def begin(self, payload: Payload) -> Left:
        """Begin a run of this job.

        Raises:
            RedisError: what earlier ones have left is not known.
        """
        ...

    def save(self, payload: Payload, reached: Reached) -> Verdict:
        """Keep how far it has come.

        Raises:
            RedisError: it may not have been kept.
        """
        ...

    def forgiven(self, payload: Payload) -> int:
        """How many deaths of its worker a job has made up for by coming further afterwards."""
        ...

    def must_stop(self) -> bool:
        """Whether the worker wants to leave, or to rest."""
        ...

    def stop(self) -> NoReturn:
        """End the run; the job goes back to its queue, to run next.

        Raises:
            Stop: always.
        """
        ...

    def give_way(self) -> None:
        """End the run so that others get a turn, if there are others.

        Raises:
            Stop: there are.
        """
        ...


class Nowhere:
    """The progress of a run in a test, or inline: kept nowhere, and ended by nobody."""

    clock: Clock = SystemClock()
    patience_s = float("inf")

    def begin(self, payload: Payload) -> Left:  # noqa: ARG002 - the protocol's
        """It is the first."""
        return Left()

    def save(self, payload: Payload, reached: Reached) -> Verdict:  # noqa: ARG002 - the protocol's
        """Keep nothing."""
        return "saved"

    def forgiven(self, payload: Payload) -> int:  # noqa: ARG002 - the protocol's
        """None is counted."""
        return 0

    def must_stop(self) -> bool:
        """Never."""
        return False

    def stop(self) -> NoReturn:
        """Never called."""
        raise AssertionError

    def give_way(self) -> None:
        """There is nobody else."""


class Position(msgspec.Struct):
    """Where a run is, for the job to read.

    Attributes:
        cursor: of ``item``, or of the one that comes next.
        item: what is being done.
        is_cancelled: as far as is known.
        wish: what the job has asked for, to be granted after this item.
    """

    cursor: Any = None
    item: Any = None
    is_cancelled: bool = False
    wish: Literal["finish", "give way"] | None = None


class Steps(Protocol):
    """What is called of an iterable job; see there.

    Attributes:
        takes_arguments: whether each_iteration is given those of the job.
        wraps: whether it has an around_iteration of its own.
    """

    save_every: ClassVar[float]
    max_iteration_runtime: ClassVar[float | None]
    takes_arguments: ClassVar[bool]
    wraps: ClassVar[bool]

    @property
    def cancelled(self) -> bool: ...  # noqa: D102

    build_enumerator: Callable[..., Any]
    each_iteration: Callable[..., object]

    def around_iteration(self, proceed: Callable[[], object]) -> None: ...  # noqa: D102
    def on_start(self) -> None: ...  # noqa: D102
    def on_resume(self) -> None: ...  # noqa: D102
    def on_stop(self) -> None: ...  # noqa: D102
    def on_cancel(self) -> None: ...  # noqa: D102
    def on_complete(self) -> None: ...  # noqa: D102


class Iteration:
    """One run.

    Args:
        job: whose items these are.
        payload: of the job.
        args: of the job.
        position: told to the job.
        progress: where it is kept.
    """

    def __init__(
        self,
        job: Any,
        payload: Payload,
        args: Sequence[Any],
        position: Position,
        progress: Progress,
    ) -> None:
        self._job: Steps = job
        self._payload = payload
        self._args = args
        self._at = position
        self._progress = progress
        self._monotonic = progress.clock.monotonic
        self._began = self._saved_at = self._monotonic()
        self._left = Left()
        self._items = 0  # of this run
        self._has_stopped = False

    def run(self) -> None:
        """Go through the items.

        Raises:
            RedisError: what earlier runs have left is not known.
            Stop: it must stop here.
            Exception: whatever the job raises; how far it has come is saved.
        """
        self._left = left = self._progress.begin(self._payload)
        if left.is_done:
            return
        self._at.cursor, self._at.is_cancelled = left.cursor, left.is_cancelled
        with self._pairs() as pairs:
            if pairs is None:
                _logger.info("build_enumerator returned None: there is nothing to do")
                return
            try:
                self._walk_until_cancelled(pairs)
                self._say_that_it_ends()
            except BaseException:
                self._save_at_end()
                if not self._has_stopped:
                    Hooks.call_in_job(self._job.on_stop)
                raise
        # After the callbacks, which run again if the worker is killed in them; and kept for a
        # while, since it may be killed before the job is acknowledged.
        self._save_at_end(is_done=True)

    @contextlib.contextmanager
    def _pairs(self) -> Generator[Iterator[Any] | None]:
        found = self._job.build_enumerator(self._left.cursor, *self._args)
        try:
            pairs = None if found is None else iter(found)
        except TypeError as error:
            raise _not_pairs(self._job, found) from error
        with contextlib.ExitStack() as ends:
            close = getattr(found, "close", None)
            if close is not None:  # a generator's, with the file or the rows that it reads
                ends.callback(close)
            yield pairs

    def _walk_until_cancelled(self, pairs: Iterator[Any]) -> None:
        try:
            (self._job.on_start if self._left.run == 1 else self._job.on_resume)()
            self._walk(pairs)
        except JobCancelled:
            if not self._job.cancelled:
                raise  # it is inline, in a job that is
            self._at.is_cancelled = True

    def _walk(self, pairs: Iterator[Any]) -> None:
        at, must_stop, each = self._at, self._progress.must_stop, self._each()
        if at.is_cancelled:
            return
        due = self._began  # the first cursor is looked at, whether it can be saved at all
        for pair in pairs:
            try:
                item, at.cursor = pair
            except (TypeError, ValueError) as error:
                raise _not_pairs(self._job, pair) from error
            now = self._monotonic()
            if now >= due or at.wish is not None or must_stop():
                if self._is_over(now, due):
                    return
                due = self._next_look(now)
            at.item = item
            each(item)
            self._items += 1
            if at.wish == "finish":
                return

    def _each(self) -> Callable[[Any], object]:
        job, each = self._job, self._job.each_iteration
        args = self._args if job.takes_arguments else ()

        def wrapped(item: Any) -> None:
            job.around_iteration(functools.partial(each, item, *args))

        def plain(item: Any) -> None:
            each(item, *args)

        return wrapped if job.wraps else plain

    def _next_look(self, now: float) -> float:
        longest_s = self._job.max_iteration_runtime
        due = self._saved_at + self._job.save_every
        return due if longest_s is None else min(due, max(self._began + longest_s, now))

    def _is_over(self, now: float, due: float) -> bool:
        """Look around, and save; before an item that is not begun.

        Raises:
            Stop: it must stop here.
        """
        job, progress, wish = self._job, self._progress, self._at.wish
        if now - due > progress.patience_s:
            _logger.warning(
                "an item took %.0f s, and a stop waits for %g s: make the items of %s smaller",
                *(now - due, progress.patience_s, type(job).__name__),
            )
        self._at.wish = None
        if progress.must_stop():
            progress.stop()
        longest_s = job.max_iteration_runtime
        if wish == "give way" or (longest_s is not None and now - self._began >= longest_s):
            progress.give_way()
        if self._items == 0:
            _check(self._at.cursor)
        elif now - self._saved_at >= job.save_every:
            self._save()
        return self._at.is_cancelled

    def _save(self) -> None:
        try:
            verdict = self._progress.save(self._payload, self._reached())
        except RedisError as error:
            # The next one makes up for it: the store may be away for a while.
            _logger.debug("the progress could not be saved: %s", error)
            return
        if verdict == "superseded":
            self._progress.stop()
        self._at.is_cancelled = verdict == "cancelled"

    def _save_at_end(self, *, is_done: bool = False) -> None:
        try:
            self._progress.save(self._payload, self._reached(is_done=is_done))
        except (RedisError, InvalidArguments) as error:
            _logger.warning("the progress could not be saved, so some items run again: %s", error)

    def _reached(self, *, is_done: bool = False) -> Reached:
        self._saved_at = now = self._monotonic()
        _check(self._at.cursor)
        left = self._left
        return Reached(
            run=left.run,
            cursor=self._at.cursor,
            runtime_s=left.runtime_s + now - self._began,
            items=left.items + self._items,
            is_further=self._items > 0,
            is_done=is_done,
        )

    def _say_that_it_ends(self) -> None:
        if self._at.is_cancelled:
            self._job.on_cancel()
        self._has_stopped = True
        self._job.on_stop()
        self._job.on_complete()


def _check(cursor: object) -> None:
    check_values({"cursor": cursor})


def _not_pairs(job: object, given: object) -> InvalidJob:
    return InvalidJob(
        f"{type(job).__name__}.build_enumerator gave {given!r}: it gives pairs, of an item and of "
        "the cursor from which to go on with that item"
    )
