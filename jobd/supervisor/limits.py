"""Ends jobs that run for too long or are cancelled, and workers that show no sign of life.

The one place where a clock runs for a job: its deadline stands in the scoreboard, and the master
looks at it in each turn of its loop, once a second at least; a worker that sets one before the
master would wake says so. First the worker is asked (USR2: it
raises ``JobTimeout`` in the job); what does not end then is killed. Before the kill the stacks are
asked for, which come from C, and so from a job that keeps the GIL too.
"""

import signal
from collections.abc import Iterator
from typing import Final

import msgspec

from jobd import log
from jobd.scoreboard import Limit, Scoreboard, State, shown_jid
from jobd.supervisor.child import Handle
from jobd.supervisor.messages import Cancel, Kill
from jobd.supervisor.slots import Slots

_STACKS_S: Final = 0.25
"""For the stacks to be written."""


class _Watch(msgspec.Struct):
    """What was done about one thread that runs jobs.

    Attributes:
        told: the deadline of the job that was interrupted.
        kill_at: when its grace ends.
        doomed_for: why the stacks were asked for: a deadline or a last beat.
        doomed_at: when the kill follows.
    """

    told: float = 0.0
    kill_at: float = 0.0
    doomed_for: float = 0.0
    doomed_at: float = 0.0


class Limits:
    """Watches the workers that are ready.

    Args:
        slots: where they sit.
        scoreboard: where they show what they do.

    Attributes:
        next_looks: when something else will have to be done, in monotonic seconds.
    """

    def __init__(self, slots: Slots, scoreboard: Scoreboard) -> None:
        self._slots = slots
        self._scoreboard = scoreboard
        self._watched: dict[tuple[Handle, int], _Watch] = {}
        self._looked_for_life_at = float("-inf")
        self.next_looks: list[float] = []

    def enforce(self, now: float, resumed_at: float) -> None:
        """Do what is due.

        Args:
            now: monotonic seconds.
            resumed_at: when the master last found that it had stood still; who was silent before
                that may have stood still too.
        """
        workers = [handle for handle in self._slots.ready_workers() if not handle.is_killed]
        threads = [(each, n) for each in workers for n in self._scoreboard.threads(each.slot)]
        self._watched = {thread: self._watched.get(thread) or _Watch() for thread in threads}
        self.next_looks.clear()
        for (handle, number), watch in self._watched.items():
            limit = self._scoreboard.limit(handle.slot, number)
            if limit is not None and now >= limit.deadline and not handle.is_killed:
                self._end_job(handle, number, watch, limit, now)
        self._replace_hung(now, resumed_at)

    def deadlines(self) -> Iterator[float]:
        """Of the jobs that run now; some may have passed."""
        limits = (self._scoreboard.limit(handle.slot, n) for handle, n in self._watched)
        yield from (limit.deadline for limit in limits if limit is not None)

    def cancel(self, told: Cancel) -> None:
        """End this job, if this worker still runs it."""
        handle = self._slots[told.slot].child
        if handle is not None and handle.incarnation == told.incarnation:
            self._scoreboard.cancel(told.slot, told.jid, told.thread)
            handle.signal(signal.SIGUSR2)

    def kill(self, told: Kill) -> None:
        """Kill this worker now, if it still runs this job, which does not run again."""
        for handle in self._slots.ready_workers():
            if (handle.slot, handle.incarnation) != (told.slot, told.incarnation):
                continue
            seen = self._scoreboard.read_thread(told.slot, told.thread)
            is_it = seen.is_busy and seen.incarnation == told.incarnation
            if is_it and seen.jid == shown_jid(told.jid) and not handle.is_killed:
                name = self._slots[handle.slot].name
                log.event(f"{name} is killed: an operator ends its job", job_jid=seen.jid)
                handle.ended_job = (told.thread, seen.running)
                handle.kill()

    def _end_job(
        self, handle: Handle, number: int, watch: _Watch, limit: Limit, now: float
    ) -> None:
        if watch.told != limit.deadline:
            # Its grace begins now: we, or the whole machine, may have stood still meanwhile.
            watch.told, watch.kill_at = limit.deadline, now + limit.kill_after
            handle.signal(signal.SIGUSR2)
        if now >= watch.kill_at:
            why = f"its job does not end after its time_limit of {limit.seconds:g} s"
            if self._dump_then_kill(handle, watch, limit.deadline, now, why):
                handle.overdue_thread = number
        self.next_looks.append(watch.kill_at)

    def _replace_hung(self, now: float, resumed_at: float) -> None:
        if now - self._looked_for_life_at < _STACKS_S:
            return
        self._looked_for_life_at = now
        for (handle, number), watch in self._watched.items():
            if number > self._scoreboard.threads(handle.slot)[0] or handle.is_killed:
                continue  # one look is enough
            seen = self._slots.left_behind(handle)
            hung_after_s = self._slots[handle.slot].generation.hung_after_s
            is_at_work = seen is None or seen.is_busy or seen.state is State.STOPPING
            if seen is None or is_at_work or hung_after_s is None:
                continue
            silent_since = max(seen.beat, handle.ready_at or now, resumed_at)
            if now - silent_since > hung_after_s:
                why = f"without a job it shows no sign of life for {hung_after_s:g} s"
                self._dump_then_kill(handle, watch, silent_since, now, why)

    def _dump_then_kill(
        self, handle: Handle, watch: _Watch, cause: float, now: float, why: str
    ) -> bool:
        """Kill it, if it was asked for its stacks for the same cause a moment ago."""
        if watch.doomed_for != cause:
            watch.doomed_for, watch.doomed_at = cause, now + _STACKS_S
            handle.signal(signal.SIGTTIN)
        self.next_looks.append(watch.doomed_at)
        if now < watch.doomed_at:
            return False
        name = self._slots[handle.slot].name
        log.event(f"{name} is killed: {why}", level="error", child=handle.pid)
        handle.kill()
        return True
