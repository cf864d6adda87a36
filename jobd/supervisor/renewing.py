"""Reload and roll: what HUP and USR2 ask for, and what is told of it.

HUP reads the configuration again, in a child that also imports the application; nothing changes
unless that succeeds. What is different decides whether workers are replaced. USR2 replaces them
without reading anything again. A second one while the first goes on takes its place.

What became of it is told in the log, to systemd, and to the poller, which shows it to `jobctl`.
"""

import signal

import msgspec

from jobd import log
from jobd.supervisor.child import POLLER
from jobd.supervisor.messages import Leave, Reloaded
from jobd.supervisor.plan import Plan
from jobd.supervisor.replacing import Replacing
from jobd.supervisor.slot import Slot
from jobd.supervisor.slots import Slots
from jobd.supervisor.status import Reporter
from jobd.supervisor.stop import Stopping


class Renewing:
    """One reload or roll after the other.

    Args:
        plan: how a configuration is read again.
        slots: for the child that tries it.
        replacing: does the replacing.
        reporter: tells systemd.
        stopping: ends it.
    """

    def __init__(
        self,
        plan: Plan,
        slots: Slots,
        *,
        replacing: Replacing,
        reporter: Reporter,
        stopping: Stopping,
    ) -> None:
        self._plan = plan
        self._slots = slots
        self._replacing = replacing
        self._reporter = reporter
        self._stopping = stopping
        self._trial: Slot | None = None
        self._numbers = plan.generation.number
        self._must_try_again = False
        self._told = Reloaded(
            type="reloaded", count=0, generation=self._numbers, state="done", text=""
        )

    def reload(self, _now: float) -> None:
        """Read the configuration again."""
        if self._plan.renewal is None or self._stopping.has_begun:
            return
        if self._trial is not None:
            self._must_try_again = True  # what it has read may be old by now
            return
        log.event("reload: the new configuration and the application are tried")
        self._begin("trying the new configuration")
        self._plan.renewal.prepare()
        self._trial = self._slots.add("trial", self._replacing.generation)

    def roll(self, _now: float) -> None:
        """Replace the workers one by one."""
        if self._stopping.has_begun or self._trial is not None:
            return  # what is being tried will replace them
        log.event("roll: the workers are replaced one by one")
        self._begin("replacing the workers")
        self._numbers += 1
        base = self._replacing.coming or self._replacing.generation
        self._replacing.roll_to(msgspec.structs.replace(base, number=self._numbers), self._end)

    def step(self, now: float) -> None:
        """Go on, if something goes on."""
        trial = self._trial
        if trial is not None and not self._stopping.has_begun:
            if trial.has_booted:
                self._let_go_of_trial()
                self._take_over(now)
            elif trial.child is None and trial.failure:
                self._let_go_of_trial()
                self._refuse(trial.failure)
            if self._trial is None and self._must_try_again:
                self._must_try_again = False
                self.reload(now)
        self._replace_an_old_poller()

    def tell(self) -> None:
        """Tell the poller how things are; each new one is told, too."""
        poller = self._slots.ready_poller
        if poller is not None:
            poller.send(self._told)

    def _take_over(self, _now: float) -> None:
        renewal = self._plan.renewal
        if renewal is None:
            return
        self._numbers += 1
        renewed = renewal.outcome(self._numbers)
        generation = renewed.generation
        if renewed.is_same:
            same = self._replacing.generation.run_poller
            generation = msgspec.structs.replace(generation, run_poller=same)
        changed = renewed.changed or "no setting"
        if renewed.must_roll:
            log.event("reload: the workers are replaced one by one", changed=changed)
            self._begin_again("replacing the workers")
            self._replacing.roll_to(generation, self._end)
        else:
            log.event("reload: taken over, no worker is replaced", changed=changed)
            self._replacing.take_over(generation)
            self._end("")

    def _let_go_of_trial(self) -> None:
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.is_retired = True
            if trial.child is None:
                self._slots.remove(trial)
            else:
                trial.child.ask_to_stop(signal.SIGTERM)

    def _begin(self, note: str) -> None:
        self._told = Reloaded(
            type="reloaded",
            count=self._told["count"] + 1,
            generation=self._replacing.generation.number,
            state="busy",
            text=note,
        )
        self._reporter.reload_begins()
        self._reporter.reload_goes_on(note)
        self.tell()

    def _begin_again(self, note: str) -> None:
        self._told["text"] = note
        self._reporter.reload_goes_on(note)
        self.tell()

    def _refuse(self, reason: str) -> None:
        log.event("reload refused: everything stays as it is", level="error", reason=reason)
        self._finish("failed", reason, f"reload refused: {reason}")

    def _end(self, reason: str) -> None:
        number = self._replacing.generation.number
        if reason:
            log.event("the new generation fails: the old one goes on", level="error", reason=reason)
            self._finish("failed", reason, f"reload failed: {reason}")
        else:
            log.event("the new generation is in force", generation=number)
            self._finish("done", "", "")

    def _finish(self, state: str, text: str, note: str) -> None:
        self._told["state"] = "failed" if state == "failed" else "done"
        self._told["text"] = text
        self._told["generation"] = self._replacing.generation.number
        self._reporter.reload_ends(note)
        self.tell()

    def _replace_an_old_poller(self) -> None:
        slot, generation = self._slots[POLLER], self._replacing.generation
        is_booting = slot.child is not None and slot.child.ready_at is None
        if slot.generation is generation or is_booting or self._stopping.has_begun:
            return
        is_same = slot.generation.run_poller == generation.run_poller
        slot.generation = generation
        if slot.child is not None and not is_same:
            slot.child.is_asked_to_stop = True
            slot.child.send(Leave(type="leave"))
