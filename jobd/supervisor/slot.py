"""One place of an instance: for the poller, a worker, a mold or a trial, and who sits there.

Only facts and questions; who is started, signalled and reaped is the master's affair.
"""

import os
import signal
from typing import Any, Final, Literal, TypeAlias

import msgspec

from jobd import log, signals
from jobd.scoreboard import SlotState
from jobd.supervisor.brake import Brake
from jobd.supervisor.child import Child, Handle, pair
from jobd.supervisor.plan import Generation
from jobd.supervisor.stacks import Stacks

Kind: TypeAlias = Literal["poller", "worker", "mold", "trial"]


_STRANGER: Final = (
    "not killed by jobd: by somebody, or by the kernel for want of memory, which dmesg would tell"
)


class Slot(msgspec.Struct, eq=False):
    """A place for one child after the other.

    Attributes:
        number: of its page in the scoreboard; molds and trials have none, and numbers below 0.
        generation: what its next child is.
        group: of a worker.
        replaces: the worker whose place this one takes if it proves itself.
        incarnation: of the child that sits here, or sat here last; 0 before the first.
        starts: children that this slot had.
        spawned_ms: epoch milliseconds.
        due: when the next child may be started, while there is none; monotonic seconds.
        processed: jobs that all children here have run, up to the last one that has left.
        is_retired: there will be no next child.
        has_one_chance: to boot; of the mold of a roll.
        has_booted: a child of this slot was ready once.
        failure: why the last child did not boot.
    """

    number: int
    kind: Kind
    brake: Brake
    generation: Generation
    group: str = ""
    replaces: "Slot | None" = None
    child: Handle | None = None
    stacks: Stacks | None = None
    incarnation: int = 0
    starts: int = 0
    last_exit: str = ""
    spawned_ms: int = 0
    due: float = 0.0
    processed: int = 0
    is_retired: bool = False
    has_one_chance: bool = False
    has_booted: bool = False
    failure: str = ""

    @property
    def is_worker(self) -> bool:
        """Or the poller's, a mold's, a trial's."""
        return self.kind == "worker"

    @property
    def has_ready_child(self) -> bool:
        """Whether somebody sits here and has booted."""
        return self.child is not None and self.child.ready_at is not None

    @property
    def is_wanted(self) -> bool:
        """Whether there should be a child; one that is on trial gets one chance."""
        is_first_boot = self.has_one_chance and not self.has_booted
        is_on_trial = self.replaces is not None or self.kind == "trial" or is_first_boot
        return not self.is_retired and not (is_on_trial and self.starts)

    @property
    def name(self) -> str:
        """As it is in logs and titles."""
        return f"worker {self.number}" if self.is_worker else self.kind

    def vacate(self, status: int, left: SlotState | None, now: float) -> None:
        """The child was reaped: say so, and set the time of the next one.

        Args:
            status: as ``waitpid`` gave it.
            left: what the child had written here, if anything.
            now: monotonic seconds.
        """
        child, self.child = self.child, None
        if child is None:
            return
        # What is finished and not acknowledged lies in its list just as the running job does.
        held_job = left is not None and (left.is_busy or bool(left.finished))
        health_s = None if child.ready_at is None else now - child.ready_at
        delay_s = self.brake.delay_s(
            health_s=health_s, held_job=held_job, has_worked=self._has_worked(left)
        )
        self.due = now + delay_s
        self.last_exit = signals.describe_exit(status)
        if not self.failure:
            when = "before it was ready" if child.ready_at is None else "soon"
            self.failure = f"it left {when}: {self.last_exit}"
        is_murdered = _was_killed_by_a_stranger(child, status)
        is_expected = (child.is_asked_to_stop and not is_murdered) or (status == 0 and not held_job)
        will_return = bool(delay_s) and not child.is_asked_to_stop and self.is_wanted
        log.event(
            f"{self.name} left",
            level="info" if is_expected else "warning",
            child=child.pid,
            status=self.last_exit,
            hint=_STRANGER if is_murdered else None,
            **shown_job(left),
            again_in=f"{delay_s:.1f} s" if will_return else None,
            stack=self._last_stacks() if os.WIFSIGNALED(status) else "",
        )

    def _has_worked(self, left: SlotState | None) -> bool:
        """Whether the child that has left ran a job to its end; the counter is the slot's."""
        if left is None or not self.is_worker:  # whose counters mean something else
            return False
        before, self.processed = self.processed, left.processed
        return left.processed > before

    def stay_empty(self, reason: str | None, now: float) -> None:
        """The child could not be forked: the brake counts that as a death."""
        self.drop_stacks()
        self.child = None
        self.due = now + self.brake.delay_s(health_s=None, held_job=False)
        self.failure = f"it cannot be forked: {reason}"
        log.event(f"{self.name} cannot be forked", level="error", reason=reason)

    def prepare(self, identity: str, now: float) -> tuple[Handle, Child]:
        """Before a fork: the pipe to the next child, and a file for its stacks.

        Args:
            identity: of the instance.
            now: monotonic seconds.

        Returns:
            Both ends, the master's first.

        Raises:
            OSError: there are not enough descriptors; call `stay_empty`.
        """
        self.drop_stacks()
        self.stacks = Stacks()
        ours, theirs = pair()
        self.incarnation += 1
        self.starts += 1
        self.failure = ""
        life = {"slot": self.number, "incarnation": self.incarnation}
        handle = Handle(ours, spawned_at=now, **life)
        master = os.getpid()
        return handle, Child(theirs, identity=identity, group=self.group, master=master, **life)

    def log_boot_failure(self, text: str, *, is_known: bool) -> None:
        """Keep and say why the child here could not boot: a sentence, or a whole stack."""
        self.failure = _in_one_line(text) if text else "it does not say why"
        stack, reason = (text, None) if _is_stack(text) else ("", self.failure)
        if is_known:
            stack, reason = "", "as before"
        pid = self.child.pid if self.child is not None else None
        log.event(f"{self.name} cannot boot", level="error", child=pid, reason=reason, stack=stack)

    def _last_stacks(self) -> str:
        """What a crash left; the next child gets a file of its own."""
        text = self.stacks.take(is_complete=True) if self.stacks is not None else ""
        self.drop_stacks()
        return text

    def drop_stacks(self) -> None:
        """Let go of the file for stacks."""
        if self.stacks is not None:
            self.stacks.close()
            self.stacks = None


def _is_stack(text: str) -> bool:
    return "Traceback (most recent call last)" in text


def _in_one_line(text: str) -> str:
    """The error at the end of a stack, or all that is wrong with the settings."""
    lines = text.splitlines()
    return lines[-1] if _is_stack(text) else "; ".join(lines)


def _was_killed_by_a_stranger(child: Handle, status: int) -> bool:
    is_kill = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return is_kill and not child.is_killed


def shown_job(state: SlotState | None) -> dict[str, Any]:
    """The fields of a log line that tell what a child runs: the oldest job, and how many more."""
    if state is None or not state.is_busy:
        return {}
    more = {"more_jobs": state.jobs - 1} if state.jobs > 1 else {}
    return {"job": state.name, "job_jid": state.jid, **more}
