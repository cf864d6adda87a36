"""Replacing workers, as a decision: who gets a replacement now, and which one has proved itself.

New before old: a replacement is started first, and only when it has been ready for a while the old
worker is asked to leave. So there are never fewer workers than there should be. Nothing here forks,
signals or looks at a clock.

Source: einhorn's smooth upgrade and uwsgi's chain reload; puma stops the old one first, and serves
with one worker less.
"""

from collections.abc import Sequence

import msgspec


class Trial(msgspec.Struct, frozen=True):
    """A replacement that has not proved itself yet.

    Attributes:
        old: number of the slot whose place it takes.
        new: number of its own.
        ready_at: monotonic seconds; None while it boots.
        has_failed: it has died.
    """

    old: int
    new: int
    ready_at: float | None
    has_failed: bool = False


class Moves(msgspec.Struct, frozen=True):
    """What to do now.

    Attributes:
        begin: slots that get a replacement.
        finish: their old workers are asked to leave.
        failed: given up.
    """

    begin: tuple[int, ...]
    finish: tuple[Trial, ...]
    failed: tuple[Trial, ...]


def most_at_once(workers: int) -> int:
    """How many may be on trial at the same time: one, or a tenth of the workers."""
    return max(1, workers // 10)


def next_moves(
    stale: Sequence[int], trials: Sequence[Trial], *, most: int, min_uptime_s: float, now: float
) -> Moves:
    """Decide.

    Args:
        stale: slots whose worker is to be replaced.
        trials: what has begun.
        most: how many may be on trial at the same time.
        min_uptime_s: that a replacement has to be ready.
        now: monotonic seconds.
    """
    failed = tuple(trial for trial in trials if trial.has_failed)
    finish = tuple(
        trial
        for trial in trials
        if not trial.has_failed
        and trial.ready_at is not None
        and now >= trial.ready_at + min_uptime_s
    )
    going_on = len(trials) - len(failed) - len(finish)
    taken = {trial.old for trial in trials}
    begin = [number for number in stale if number not in taken]
    return Moves(tuple(begin[: max(most - going_on, 0)]), finish, failed)
