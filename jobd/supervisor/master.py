"""The master: forks the poller and the workers, and looks after them until it is told to stop.

One loop in one thread. A turn takes the signals (stopping first), reads what the children say,
reaps the dead, enforces deadlines, starts what is due, reports, and waits; stopping is done by the
same loop. Signal handlers only add to a set. The master reaches Redis by no path, imports no
application and starts no thread, so nothing that goes wrong there can take it down, and a child can
be forked at any time.

The loop and its order are here, since every race is between two of its steps; each step has a file
of its own: `orders`, `hearing`, `reaping`, `boots`, `births`, `stop`, `status`.

Source: unicorn's lib/unicorn/http_server.rb (``join``), einhorn (READY and the brake), pitchfork;
docs/signals.md has the table of signals and exit statuses.
"""

import gc
import os
import random
import signal
from collections.abc import Iterator
from typing import Final

from jobd import log, signals
from jobd.clock import Clock
from jobd.scoreboard import Scoreboard
from jobd.supervisor import child as pipe, messages
from jobd.supervisor.births import Births, Ties
from jobd.supervisor.boots import Boots
from jobd.supervisor.child import POLLER, Handle
from jobd.supervisor.deaths import Deaths
from jobd.supervisor.hearing import Hearing
from jobd.supervisor.limits import Limits
from jobd.supervisor.orders import Orders
from jobd.supervisor.pidfile import CannotLock, PidFile
from jobd.supervisor.plan import Plan
from jobd.supervisor.reaping import Reaper
from jobd.supervisor.renewing import Renewing
from jobd.supervisor.replacing import Replacing
from jobd.supervisor.showing import Showing
from jobd.supervisor.slots import Slots
from jobd.supervisor.status import Reporter
from jobd.supervisor.stop import NEVER, Stopping
from jobd.supervisor.store_keeper import StoreKeeper
from jobd.supervisor.wear import WearWatch

LONGEST_WAIT_S: Final = 1.0
_SUSPENDED_S: Final = 5.0
_MOST_FAILED_TURNS: Final = 10


class Master:
    """Keeps the children of one instance running.

    Args:
        plan: what to run.
        scoreboard: made before; has a slot for each worker.
        clock: monotonic time for deadlines.
        rng: spreads respawns.
    """

    def __init__(
        self, plan: Plan, scoreboard: Scoreboard, *, clock: Clock, rng: random.Random
    ) -> None:
        self._plan = plan
        self._scoreboard = scoreboard
        self._clock = clock
        self._locks = [PidFile(path) for path in (plan.pidfile, plan.lock) if path is not None]
        self._inbox = signals.SignalInbox(signals.HANDLED)
        self._hearing = Hearing(self._inbox, self._understand)
        self._deaths = Deaths()
        self._store = StoreKeeper(plan.store, clock=clock, rng=rng)
        self._slots = slots = Slots(scoreboard, clock=clock, rng=rng)
        self._limits = Limits(slots, scoreboard)
        self._showing = Showing(slots)
        self._stopping = stopping = Stopping(slots, scoreboard)
        self._replacing = Replacing(slots, plan.generation, min_uptime_s=plan.min_uptime_s)
        self._wear = WearWatch(slots, self._replacing.recycle, clock=clock, rng=rng)
        self._reporter = reporter = Reporter(plan, slots, scoreboard, clock=clock)
        self._renewing = Renewing(
            plan, slots, replacing=self._replacing, reporter=reporter, stopping=stopping
        )
        self._orders = Orders(plan, slots, scoreboard, stopping=stopping, renewing=self._renewing)
        self._boots = Boots(slots, deaths=self._deaths, stopping=stopping)
        ties = Ties(self._inbox, self._hearing, self._locks)
        self._births = Births(plan, slots, boots=self._boots, ties=ties, clock=clock)
        self._reaper = Reaper(
            slots, self._hearing, deaths=self._deaths, store=self._store, stopping=stopping
        )
        self._failed_turns = 0
        self._longest_turn_s = 0.0
        self._turned_at = self._resumed_at = clock.monotonic()

    def run(self) -> int:
        """Run everything until told to stop; returns the exit status."""
        # Handlers before the pid file: people send signals as soon as they see it. A parent may
        # have left our signals blocked or ignored; neither must be passed on.
        self._inbox.open()
        signals.set_mask(signals.current_mask() - signals.HANDLED)
        self._hearing.open()
        self._reporter.open()
        self._slots.make_room(self._plan.generation.workers)
        pipe.adopt_orphans()  # what a mold forks becomes ours
        self._replacing.open()
        try:
            for lock in self._locks:
                lock.acquire()
            return self._serve()
        except CannotLock as error:
            log.event(str(error), level="error")
            self._reporter.ends(os.EX_CANTCREAT, str(error))
            return os.EX_CANTCREAT
        finally:
            self._leave()

    def _serve(self) -> int:
        self._store.start()
        gc.freeze()  # before the first fork: collections would copy the shared pages
        while self._stopping.exit_code is None:
            self._turn()
        self._reporter.ends(self._stopping.exit_code)
        return self._stopping.exit_code

    def _turn(self) -> None:
        now = self._clock.monotonic()
        steps = (
            self._forgive_a_gap,
            self._obey_signals,
            self._hear_children,
            self._reaper.reap,
            self._enforce_deadlines,
            self._renew,
            self._start_what_is_due,
            self._report,
            self._wait,
        )
        has_failed = False
        for step in steps:
            try:
                step(now)
            except Exception as error:  # noqa: BLE001 - a master outlives everything that it can
                has_failed = True
                log.event("a step of the master failed", level="error", error=error)
        self._failed_turns = self._failed_turns + 1 if has_failed else 0
        if self._failed_turns >= _MOST_FAILED_TURNS:
            log.event("the master fails in every turn: it gives up", level="fatal")
            self._stopping.give_up(os.EX_SOFTWARE)

    def _forgive_a_gap(self, now: float) -> None:
        """A machine or a master that stood still is no reason to kill children that boot."""
        gap, self._turned_at = now - self._turned_at, now
        if gap > _SUSPENDED_S:
            log.event("the master stood still", level="warning", seconds=round(gap, 1))
            self._resumed_at = now
            self._boots.forgive(gap)

    def _obey_signals(self, now: float) -> None:
        self._orders.obey(self._inbox.take(), now)

    def _hear_children(self, now: float) -> None:
        self._hearing.hear_readable(now)
        if self._slots.poller is not None:
            self._slots.poller.flush()

    def _understand(self, handle: Handle, message: messages.Message, now: float) -> None:
        match message:
            case messages.Remote(number) if handle.slot == POLLER:
                self._orders.obey_remote(number, now)
            case messages.Ready() if handle.slot == POLLER and handle.ready_at is None:
                self._boots.understand(handle, message, now)
                self._renewing.tell()
            case messages.Recovered() if handle.slot == POLLER:
                self._deaths.forget(message)
            case messages.Cancel() | messages.Kill() | messages.Show() if handle.slot == POLLER:
                self._see_to_a_job(message, now)
            case _ if self._boots.understand(handle, message, now):
                pass
            case messages.Look() | messages.Ended():
                pass  # every turn looks; the child may live on, and waitpid() tells
            case _:
                log.event("a child said what makes no sense", level="warning", child=handle.pid)

    def _see_to_a_job(
        self, wanted: messages.Cancel | messages.Kill | messages.Show, now: float
    ) -> None:
        match wanted:
            case messages.Cancel():
                self._limits.cancel(wanted)
            case messages.Kill():
                self._limits.kill(wanted)
            case messages.Show():
                self._showing.ask(wanted, now)

    def _enforce_deadlines(self, now: float) -> None:
        self._boots.end_long_ones(self._hearing, now)
        self._births.end_a_barren_mold(now)
        self._replace_a_silent_poller(now)
        self._limits.enforce(now, self._resumed_at)
        self._stopping.carry_on(now)

    def _replace_a_silent_poller(self, now: float) -> None:
        """Busy workers cannot beat in its place, and without a beat their jobs are taken away."""
        poller = self._slots.poller
        if poller is None or poller.ready_at is None or poller.is_killed:
            return
        beat = self._scoreboard.read(POLLER).beat
        if now - max(beat, poller.ready_at, self._resumed_at) > self._plan.poller_silent_s:
            log.event("the poller is silent: killed", level="error", child=poller.pid)
            poller.kill()

    def _renew(self, now: float) -> None:
        if not self._stopping.has_begun:
            self._wear.look(now)
            self._renewing.step(now)
            self._replacing.step(now)

    def _start_what_is_due(self, now: float) -> None:
        self._store.restart_if_due(now)
        if not self._stopping.has_begun:
            startable = self._slots.startable()
        else:  # whoever still runs a job needs a poller that beats
            startable = [self._slots[POLLER]] if self._slots.workers() else []
        self._births.start_due(startable, now, is_quiet=self._orders.is_quiet)
        if self._births.has_failed and not self._stopping.has_begun:
            log.event("not a single process can be started", level="fatal")
            self._stopping.give_up(os.EX_TEMPFAIL)

    def _report(self, now: float) -> None:
        left_s = self._stopping.left_s(now)
        self._reporter.report(self._scoreboard.instance_state, left_s)
        self._showing.tell(now)
        self._slots.log_stacks(self._showing.is_asked)
        if log.reopen_if_moved():
            self._orders.tell(signal.SIGUSR1, is_for_all=True)

    def _wait(self, now: float) -> None:
        due = [self._turned_at + LONGEST_WAIT_S, self._reporter.next_ping() or NEVER]
        due += [at for at in self._deadlines() if at > now]
        # Told before the limits of jobs are read: who sets one after that sees that it must nudge.
        self._scoreboard.set_master_wakes_at(min(due))
        due += [at for at in self._limits.deadlines() if at > now]
        self._scoreboard.set_master_wakes_at(min(due))
        took = self._clock.monotonic() - self._turned_at
        self._longest_turn_s = max(self._longest_turn_s, took)
        is_over = self._stopping.exit_code is not None
        self._hearing.wait(0.0 if is_over else min(due) - self._clock.monotonic())

    def _deadlines(self) -> Iterator[float]:
        """When something will have to be done; some may have passed."""
        yield from self._stopping.deadlines()
        yield from self._boots.deadlines()
        yield from self._replacing.deadlines()
        yield from self._limits.next_looks
        yield from self._showing.deadlines()
        yield self._store.due
        empty = [slot for slot in self._slots.startable() if slot.child is None]
        yield from (slot.due for slot in empty)
        if empty and not self._stopping.has_begun:
            yield self._births.next_at()

    def _leave(self) -> None:
        log.event("the master leaves", level="debug", longest_turn=f"{self._longest_turn_s:.3f} s")
        self._store.stop()
        if self._stopping.exit_code is not None:
            log.event("stopped", exit_status=self._stopping.exit_code)
        for lock in self._locks:
            lock.release()
        self._hearing.close()
        # A late TERM must not turn our exit status into 143.
        with signals.blocked():
            self._inbox.close()
            signals.ignore(signals.HANDLED - {signal.SIGCHLD})
