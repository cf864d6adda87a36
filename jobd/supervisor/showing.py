"""Shows operators where a worker is: its stacks, and what it has written to the log last.

TTIN has the stacks written, by way of C; TTOU has the worker leave its lines for the poller.
"""

import signal
from collections.abc import Iterator
from typing import Final

from jobd.supervisor.child import Handle
from jobd.supervisor.messages import Show, Stacks
from jobd.supervisor.slots import Slots

_LOOK_EVERY_S: Final = 0.25
_PATIENCE_S: Final = 2.5
_LONGEST: Final = 40_000
"""As JSON it must fit into one packet."""


class Showing:
    """Those who were asked and have not answered.

    Args:
        slots: where they sit.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._asked: dict[Handle, float] = {}
        self._next_look = 0.0

    def ask(self, told: Show, now: float) -> None:
        """Ask this worker, if it is still there."""
        for handle in self._slots.ready_workers():
            if (handle.slot, handle.incarnation) == (told.slot, told.incarnation):
                self._asked[handle], self._next_look = now + _PATIENCE_S, now + _LOOK_EVERY_S
                handle.signal(signal.SIGTTIN)
                handle.signal(signal.SIGTTOU)

    def tell(self, now: float) -> None:
        """Tell the poller what has come; those who do not answer in time have nothing to say.

        Before the log takes them: what one operator asked for here is not everybody's.
        """
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_EVERY_S
        for handle, until in list(self._asked.items()):
            slot = self._slots.slot_of(handle)
            text = slot.stacks.take() if slot is not None and slot.stacks is not None else ""
            if text or now >= until or slot is None:
                del self._asked[handle]
                poller = self._slots.ready_poller
                if poller is not None:
                    poller.send(_answer(handle, text))

    def is_asked(self, handle: Handle) -> bool:
        """Whether its stacks are for the poller."""
        return handle in self._asked

    def deadlines(self) -> Iterator[float]:
        """When somebody may have answered."""
        if self._asked:
            yield self._next_look


def _answer(handle: Handle, text: str) -> Stacks:
    return Stacks(
        type="stacks", slot=handle.slot, incarnation=handle.incarnation, text=text[:_LONGEST]
    )
