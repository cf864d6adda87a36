"""What the master still has to tell the poller: which workers died, and what they were doing.

A death is kept until the poller says that it has recovered what the worker held, and told again to
every new poller, so neither side's death loses it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from jobd import signals
from jobd.scoreboard import SlotState
from jobd.supervisor.child import Handle
from jobd.supervisor.messages import Died, Recovered

# Far more than slots; only a poller that fails for days while workers die lets it grow so long.
_MOST_KEPT: Final = 10_000


class Deaths:
    """The deaths that nobody has answered for, oldest first."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int, int], Died] = {}

    def add(self, handle: Handle, status: int, left: Mapping[int, SlotState | None]) -> list[Died]:
        """Keep one for each thread; beyond 10,000 the oldest is left to the sweep of its instance.

        Args:
            handle: of the child that was reaped.
            status: as ``waitpid`` gave it.
            left: what each thread that ran jobs had written into the slot, if anything.
        """
        is_one = sum(state is not None and state.is_busy for state in left.values()) == 1
        # Which of several took the memory nobody knows: each is charged, as if it had crashed.
        outgrown = handle.outgrown if is_one else 0
        return [
            self._add(handle, status, thread, state, max_memory=outgrown)
            for thread, state in left.items()
        ]

    def _add(
        self, handle: Handle, status: int, thread: int, left: SlotState | None, *, max_memory: int
    ) -> Died:
        # Who was killed because the time to drain was up is not to blame, nor who had just ended.
        is_overdue = handle.overdue_thread == thread
        time_limit = left.time_limit if left is not None and is_overdue else 0.0
        is_to_blame = not handle.is_killed or time_limit > 0 or handle.outgrown > 0
        charged = left if left is not None and left.is_busy and is_to_blame else None
        died = Died(
            type="died",
            slot=handle.slot,
            incarnation=handle.incarnation,
            thread=thread,
            status=status,
            reason=signals.describe_exit(status),
            running=charged.running if charged else "",
            jid=charged.jid if charged else "",
            finished=_finished(handle, thread, left),
            time_limit=time_limit,
            max_memory=max_memory,
        )
        if len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[handle.slot, handle.incarnation, thread] = died
        return died

    def forget(self, told: Recovered) -> None:
        """It is recovered. One that is not here was told to two pollers."""
        self._kept.pop((told.slot, told.incarnation, told.thread), None)

    def __iter__(self) -> Iterator[Died]:
        return iter(list(self._kept.values()))


def _finished(handle: Handle, thread: int, left: SlotState | None) -> list[str]:
    """What must not run again: what is done, and what an operator has ended, if it ran until then.

    Not by the mark of its being cancelled alone: another instance may claim it before it hears.
    """
    if left is None:
        return []
    is_ended = left.is_busy and handle.ended_job == (thread, left.running)
    return [*left.finished, left.running] if is_ended else list(left.finished)
