"""What the master still has to tell the poller: which workers died, and what they were doing.

A death is kept until the poller says that it has recovered what the worker held, and told again to
every new poller, so neither side's death loses it.
"""

from collections.abc import Iterator
from typing import Final

from jobd import signals
from jobd.scoreboard import SlotState
from jobd.supervisor.child import Handle
from jobd.supervisor.messages import Died

# Far more than slots; only a poller that fails for days while workers die lets it grow so long.
_MOST_KEPT: Final = 10_000


class Deaths:
    """The deaths that nobody has answered for, oldest first."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], Died] = {}

    def add(self, handle: Handle, status: int, left: SlotState | None) -> Died:
        """Keep one; beyond 10,000 the oldest is left to the sweep of its instance.

        Args:
            handle: of the child that was reaped.
            status: as ``waitpid`` gave it.
            left: what the child had written into its slot, if anything.
        """
        # Who was killed because the time to drain was up is not to blame, nor who had just ended.
        time_limit = left.time_limit if left is not None and handle.is_overdue else 0.0
        is_to_blame = not handle.is_killed or time_limit > 0 or handle.outgrown > 0
        charged = left if left is not None and left.is_busy and is_to_blame else None
        died = Died(
            type="died",
            slot=handle.slot,
            incarnation=handle.incarnation,
            status=status,
            reason=signals.describe_exit(status),
            running=charged.running if charged else "",
            jid=charged.jid if charged else "",
            finished=list(left.finished) if left is not None else [],
            time_limit=time_limit,
            max_memory=handle.outgrown,
        )
        if len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[handle.slot, handle.incarnation] = died
        return died

    def forget(self, slot: int, incarnation: int) -> None:
        """It is recovered. One that is not here was told to two pollers."""
        self._kept.pop((slot, incarnation), None)

    def __iter__(self) -> Iterator[Died]:
        return iter(list(self._kept.values()))
