"""Tests of code that pushes jobs, without Redis: keep them, run them, assert about them.

Nothing is on until a mode is chosen; importing this changes nothing. See docs/testing.md.

    fake        pushes are kept, for ``Job.jobs``, ``drain`` and the assertions
    inline      a push runs the job, before it returns
    disabled    pushes go to Redis

In each of them arguments go through JSON and both chains of middleware run; what a job raises
reaches the test, and nothing is tried again.

Source: Sidekiq's lib/sidekiq/testing.rb, and oban's testing.py for the assertions.
"""

from collections.abc import Sequence
from typing import Any, Final

from jobd.app import current_app  # noqa: TID251 - tests are of the app that jobs push with
from jobd.clock import SystemClock
from jobd.jobs import Job
from jobd.jobs.in_tests import NotTesting
from jobd.payload import Payload, When
from jobd.testing.assertions import (
    Span,
    Tolerance,
    Wanted,
    describe_missing,
    describe_unwanted,
)
from jobd.testing.kept import JobLike, Queues
from jobd.testing.modes import Block, EmptyQueueError, Mode, Modes, Use

__all__ = [
    "EmptyQueueError",
    "Mode",
    "NotTesting",
    "Queues",
    "assert_enqueued",
    "clear",
    "disabled",
    "drain",
    "fake",
    "inline",
    "mode",
    "queues",
    "refute_enqueued",
    "use",
]

_clock: Final = SystemClock()
_modes: Final = Modes(current_app(), _clock)

queues: Final = Queues(lambda: _modes.kept)
"""The kept payloads by queue: ``queues["mailers"]``."""


def use(mode: Mode = "fake") -> Use:
    """Choose the mode of the whole process, all its threads; it holds at once.

    Returns:
        What restores the mode before: ``with use("inline"):`` or ``.restore()``.

    Raises:
        ValueError: there is no such mode.
    """
    return Use(_modes, mode)


def fake() -> Block:
    """Keep pushes, in a ``with`` block: of this thread or task, and of tasks started in it.

    The block begins with nothing kept; at its end all that was before is back.
    """
    return Block(_modes, "fake")


def inline() -> Block:
    """Run jobs as they are pushed, scheduled ones too, in a ``with`` block as of ``fake``."""
    return Block(_modes, "inline")


def disabled() -> Block:
    """Push to Redis, in a ``with`` block as of ``fake``."""
    return Block(_modes, "disabled")


def mode() -> Mode:
    """The mode that holds here: the innermost block's, else the one of ``use``."""
    return _modes.mode


def drain(*, until: When | None = None) -> int:
    """Run all kept jobs and those that they push; see ``Job.drain``."""
    return _modes.drain(Job, until)


def clear() -> None:
    """Forget all kept jobs."""
    _modes.clear(Job)


def assert_enqueued(
    job: JobLike | str | None = None,
    *,
    args: Sequence[Any] | None = None,
    queue: str | None = None,
    at: When | None = None,
    within: Tolerance | None = None,
    count: int | None = None,
) -> list[Payload]:
    """Assert that such a job is kept. What is left out is not looked at.

    Args:
        job: its class (a base means the classes that derive from it), function or name.
        args: all of its arguments, by position.
        queue: where it waits.
        at: when it is due, as for ``perform_in`` or ``perform_at``; 0 if it is not scheduled.
        within: seconds or a timedelta that ``at`` may be wrong by, 1 second by default; without
            ``at``, how long from now it is due at the latest.
        count: exactly so many; by default at least one.

    Returns:
        The payloads of all such jobs.

    Raises:
        AssertionError: showing the kept job that comes closest, and what differs.
        NotTesting: the mode is not fake, so that no job is kept.
    """
    __tracebackhide__ = True
    wanted = Wanted.of(job, args=args, queue=queue, due=_due(at, within))
    payloads = _modes.only_kept.payloads()
    found = [payload for payload in payloads if not wanted.differences(payload)]
    if len(found) == count or (count is None and found):
        return found
    raise AssertionError(describe_missing(wanted, payloads, found, count))


def refute_enqueued(
    job: JobLike | str | None = None,
    *,
    args: Sequence[Any] | None = None,
    queue: str | None = None,
    at: When | None = None,
    within: Tolerance | None = None,
) -> None:
    """Assert that no such job is kept; the arguments are those of ``assert_enqueued``.

    Raises:
        AssertionError: showing those that are.
        NotTesting: the mode is not fake, so that no job is kept.
    """
    __tracebackhide__ = True
    wanted = Wanted.of(job, args=args, queue=queue, due=_due(at, within))
    payloads = _modes.only_kept.payloads()
    found = [payload for payload in payloads if not wanted.differences(payload)]
    if found:
        raise AssertionError(describe_unwanted(wanted, found))


def _due(at: When | None, within: Tolerance | None) -> Span | None:
    return Span.of(at, within, _clock.now_ms())
