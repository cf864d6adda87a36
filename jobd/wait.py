"""Waiting on descriptors: the one way in which workers and the poller wait for anything."""

import select
from collections.abc import Iterable
from typing import Protocol


class HasFileno(Protocol):
    """Anything that ``select`` takes."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when the waiter should look up."""
        ...


def wait_readable(things: Iterable[HasFileno], timeout_s: float) -> list[HasFileno]:
    """Which of them became readable or broke, waiting up to ``timeout_s`` for the first one."""
    # poll, not select: a job may have opened more than 1,024 descriptors.
    poll = select.poll()
    by_fd = {thing.fileno(): thing for thing in things}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    return [by_fd[fd] for fd, _ in poll.poll(max(timeout_s, 0) * 1000)]
