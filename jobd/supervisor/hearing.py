"""What the loop waits for: the signals' wake-up, and the children's pipes.

Not for what the messages mean: the master gives the function that understands them.
"""

import selectors
from collections.abc import Callable

from jobd.signals import SignalInbox
from jobd.supervisor.child import Handle
from jobd.supervisor.messages import Ended, Message


class Hearing:
    """Waits, and hears whoever has said something.

    Args:
        inbox: of the signals.
        understand: called with each message and the time of the turn.
    """

    def __init__(
        self, inbox: SignalInbox, understand: Callable[[Handle, Message, float], None]
    ) -> None:
        self._inbox = inbox
        self._understand = understand
        self._selector = selectors.DefaultSelector()
        self._readable: list[Handle] = []

    def open(self) -> None:
        """From now on a signal ends a wait."""
        self._selector.register(self._inbox, selectors.EVENT_READ)

    def add(self, handle: Handle) -> None:
        """Hear this child."""
        self._selector.register(handle, selectors.EVENT_READ, handle)

    def wait(self, seconds: float) -> None:
        """Until somebody says something, a signal comes, or time is up."""
        events = self._selector.select(max(0.0, seconds))
        self._readable = [key.data for key, _ in events if key.data is not None]

    def hear_readable(self, now: float) -> None:
        """What was said until the last wait ended."""
        readable, self._readable = self._readable, []
        for handle in readable:
            self.hear(handle, now)

    def hear(self, handle: Handle, now: float) -> None:
        """What this child has said by now."""
        if not handle.is_open:
            return
        for message in handle.receive():
            if isinstance(message, Ended):
                # The child may live on: a job that closes every fd closes this one too.
                self._selector.unregister(handle)
            self._understand(handle, message, now)

    def end(self, handle: Handle, now: float) -> None:
        """Hear the last words of a reaped child, a READY among them, and close its pipe."""
        self.hear(handle, now)
        if handle.is_open:
            self._selector.unregister(handle)
        handle.close()

    def close(self) -> None:
        """In a child, or at the end."""
        self._selector.close()
