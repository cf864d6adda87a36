"""The master: forks the poller and the workers, and looks after them until it is told to stop.

One loop in one thread. A turn takes the signals (stopping first), reads what the children say,
reaps the dead, enforces deadlines, starts what is due, reports, and waits; stopping is done by the
same loop. Signal handlers only add to a set. The master reaches Redis by no path, imports no
application and starts no thread, so nothing that goes wrong there can take it down, and a child can
be forked at any time.

Spawning, reaping, killing and stopping are in this one file, since every race is between two of
them.

Source: unicorn's lib/unicorn/http_server.rb (``join``), einhorn (READY and the brake), pitchfork;
docs/signals.md has the table of signals and exit statuses.
"""

import contextlib
import gc
import os
import random
import selectors
import signal
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

import setproctitle

from jobd import log, signals
from jobd.clock import Clock
from jobd.scoreboard import InstanceState, Scoreboard, State
from jobd.supervisor import child as pipe
from jobd.supervisor.brake import ForkBudget
from jobd.supervisor.child import POLLER, Child, Handle
from jobd.supervisor.deaths import Deaths
from jobd.supervisor.pidfile import CannotLock, PidFile
from jobd.supervisor.plan import Plan
from jobd.supervisor.slots import Slot, Slots
from jobd.supervisor.status import Reporter
from jobd.supervisor.stop import NEVER, Stop
from jobd.supervisor.store_keeper import StoreKeeper

LONGEST_WAIT_S: Final = 1.0
KILL_AFTER_S: Final = 3.0
"""Between asking a worker to give its job back and SIGKILL."""
POLLER_LEAVES_S: Final = 5.0
"""For the poller to return what killed workers held."""
"""Half of a heartbeat's life; the poller shows a beat every second, or every few without Redis."""

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
        self._slots = Slots(plan.workers, scoreboard, clock=clock, rng=rng)
        self._store = StoreKeeper(plan.store, clock=clock, rng=rng)
        self._budget = ForkBudget(plan.workers + 1, 2 * (plan.workers + 1), clock.monotonic())
        self._most_booting = max(len(os.sched_getaffinity(0)), 2)
        self._deaths = Deaths()
        self._locks = [PidFile(path) for path in (plan.pidfile, plan.lock) if path is not None]
        self._inbox = signals.SignalInbox(signals.HANDLED)
        # The order is that of urgency.
        self._orders: dict[int, Callable[[float], None]] = {
            signal.SIGQUIT: self._stop_fast,
            signal.SIGTERM: self._stop_gracefully,
            signal.SIGINT: self._interrupt,
            signal.SIGHUP: self._hang_up,
            signal.SIGTSTP: self._quiet,
            signal.SIGCONT: self._resume,
            signal.SIGUSR1: self._reopen_logs,
            signal.SIGUSR2: self._decline_reload,
            signal.SIGTTIN: self._dump,
        }
        self._selector = selectors.DefaultSelector()
        self._readable: list[Handle] = []
        self._reporter = Reporter(plan, self._slots, scoreboard, clock=clock)
        self._stop: Stop | None = None
        self._exit_code: int | None = None
        self._is_quiet = False
        self._is_interrupted = False
        self._was_worker_ready = False
        self._told_failure = ""
        self._failed_turns = 0
        self._turned_at = self._resumed_at = clock.monotonic()
        self._is_on_terminal = os.isatty(0)  # after a hangup it would not be one any more

    def run(self) -> int:
        """Run everything until told to stop; returns the exit status."""
        # Handlers before the pid file: people send signals as soon as they see it. A parent may
        # have left our signals blocked or ignored; neither must be passed on.
        self._inbox.open()
        signals.set_mask(signals.current_mask() - signals.HANDLED)
        self._selector.register(self._inbox, selectors.EVENT_READ)
        self._reporter.open()
        self._slots.make_room()
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
        while self._exit_code is None:
            self._turn()
        self._reporter.ends(self._exit_code)
        return self._exit_code

    def _turn(self) -> None:
        now = self._clock.monotonic()
        steps = (
            self._forgive_a_gap,
            self._obey_signals,
            self._hear_children,
            self._reap,
            self._enforce_deadlines,
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
            self._exit_code = os.EX_SOFTWARE

    def _wait(self, now: float) -> None:
        due = [self._turned_at + LONGEST_WAIT_S, self._reporter.next_ping() or NEVER]
        due += [at for at in self._deadlines() if at > now]
        timeout = 0.0 if self._exit_code is not None else min(due) - self._clock.monotonic()
        events = self._selector.select(max(0.0, timeout))
        self._readable = [key.data for key, _ in events if key.data is not None]

    def _deadlines(self) -> Iterator[float]:
        """When something will have to be done; some may have passed."""
        if self._stop is not None:
            yield from (self._stop.interrupt_at, self._stop.kill_at, self._stop.poller_kill_at)
        elif any(slot.child is None for slot in self._slots):
            yield self._budget.next_at()
        yield self._store.due
        for slot in self._slots:
            if slot.child is None:
                yield slot.due
            elif slot.child.ready_at is None:
                yield slot.child.boot_deadline

    def _forgive_a_gap(self, now: float) -> None:
        """A machine or a master that stood still is no reason to kill children that boot."""
        gap, self._turned_at = now - self._turned_at, now
        if gap > _SUSPENDED_S:
            log.event("the master stood still", level="warning", seconds=round(gap, 1))
            self._resumed_at = now
            for handle in self._slots.children():
                handle.boot_deadline += gap

    # Signals

    def _obey_signals(self, now: float) -> None:
        arrived = self._inbox.take()
        for number, order in self._orders.items():
            if number in arrived:
                order(now)

    def _interrupt(self, now: float) -> None:
        """Ctrl-C: first as TERM, a second time as QUIT."""
        stop = self._stop_fast if self._is_interrupted else self._stop_gracefully
        self._is_interrupted = True
        stop(now)

    def _stop_gracefully(self, now: float) -> None:
        if self._stop is not None:
            return
        seconds = self._plan.timeout_s
        log.event("stopping", timeout=f"{seconds:g} s", running=len(self._slots.busy_workers()))
        self._begin_stop(Stop(0, now + seconds, now + seconds + KILL_AFTER_S, is_fast=False))

    def _stop_fast(self, now: float, code: int = 0) -> None:
        if self._stop is not None and self._stop.is_fast:
            return
        log.event("stopping now", running=len(self._slots.busy_workers()))
        poller_kill_at = NEVER
        if self._stop is not None:
            code, poller_kill_at = self._stop.code, self._stop.poller_kill_at
        stop = Stop(code, NEVER, now + KILL_AFTER_S, is_fast=True, poller_kill_at=poller_kill_at)
        self._begin_stop(stop)

    def _begin_stop(self, stop: Stop) -> None:
        self._stop = stop
        self._scoreboard.set_instance_state(InstanceState.STOPPING)
        for handle in self._slots.workers():
            self._slots.assign(self._slots[handle.slot], State.STOPPING)
            handle.ask_to_stop(signal.SIGQUIT if stop.is_fast else signal.SIGTERM)

    def _quiet(self, _now: float) -> None:
        if self._stop is None and not self._is_quiet:
            log.event("quiet: no new jobs are taken; CONT resumes")
            self._is_quiet = True
            self._scoreboard.set_instance_state(InstanceState.QUIET)
            self._tell(signal.SIGTSTP)

    def _resume(self, _now: float) -> None:
        # systemd sends CONT after every TERM: stopping is final.
        if self._stop is None and self._is_quiet:
            log.event("resumed: new jobs are taken again")
            self._is_quiet = False
            self._scoreboard.set_instance_state(InstanceState.RUNNING)
            self._tell(signal.SIGCONT)

    def _hang_up(self, now: float) -> None:
        order = self._stop_gracefully if self._is_on_terminal else self._decline_reload
        order(now)

    def _decline_reload(self, _now: float) -> None:
        refused = "reload arrives in a later version; restart the service instead"
        self._reporter.reload_begins()
        log.event(refused, level="warning")
        self._reporter.reload_ends(f"reload refused: {refused}")

    def _reopen_logs(self, _now: float) -> None:
        self._plan.reopen_logs()
        log.event("log files reopened")
        self._tell(signal.SIGUSR1, is_for_poller=True)

    def _dump(self, _now: float) -> None:
        self._slots.log_table()
        self._tell(signal.SIGTTIN, is_for_poller=True)

    def _tell(self, number: int, *, is_for_poller: bool = False) -> None:
        for handle in self._slots.children() if is_for_poller else self._slots.workers():
            handle.tell(number)

    # What children say

    def _hear_children(self, now: float) -> None:
        readable, self._readable = self._readable, []
        for handle in readable:
            self._hear(handle, now)
        if self._slots.poller is not None:
            self._slots.poller.flush()

    def _hear(self, handle: Handle, now: float) -> None:
        if handle.is_open:
            for message in handle.receive():
                self._understand(handle, message, now)

    def _understand(self, handle: Handle, message: pipe.Message, now: float) -> None:
        match message:
            case pipe.Ready(pid=handle.pid) if handle.ready_at is None:
                self._child_is_ready(handle, now)
            case pipe.BootFailed() if handle.ready_at is None:
                self._child_failed_to_boot(handle, message, now)
            case pipe.Remote(number) if handle.slot == POLLER:
                log.event("told through Redis", signal=number.name)
                self._orders[number](now)
            case pipe.Recovered(slot, incarnation) if handle.slot == POLLER:
                self._deaths.forget(slot, incarnation)
            case pipe.Ended():
                # The child may live on: a job that closes every fd closes this one too.
                self._selector.unregister(handle)
            case _:
                log.event("a child said what makes no sense", level="warning", child=handle.pid)

    def _child_is_ready(self, handle: Handle, now: float) -> None:
        handle.became_ready(now)
        slot = self._slots[handle.slot]
        took = now - handle.spawned_at
        log.event(f"{slot.name} ready", level="debug", child=handle.pid, elapsed=took)
        if self._stop is None:
            self._slots.assign(slot, State.IDLE)
        if handle.slot != POLLER:
            self._was_worker_ready = True
            return
        for died in self._deaths:
            handle.send(died)

    def _child_failed_to_boot(self, handle: Handle, failed: pipe.BootFailed, now: float) -> None:
        slot = self._slots[handle.slot]
        if self._stop is not None:
            return
        slot.log_boot_failure("as before" if failed.text == self._told_failure else failed.text)
        self._told_failure = failed.text
        if failed.kind == "config" and not self._was_worker_ready:
            log.event("nothing has booted, and nothing would if tried again", level="fatal")
            self._stop_fast(now, os.EX_CONFIG)

    # The dead

    def _reap(self, now: float) -> None:
        with contextlib.suppress(ChildProcessError):  # there is none at all
            while (found := os.waitpid(-1, os.WNOHANG | os.WUNTRACED))[0]:
                self._note(*found, now)

    def _note(self, pid: int, status: int, now: float) -> None:
        handle = next((each for each in self._slots.children() if each.pid == pid), None)
        if os.WIFSTOPPED(status):
            if handle is not None:
                name = signal.Signals(os.WSTOPSIG(status)).name
                log.event("a child was stopped", level="warning", child=pid, signal=name)
        elif handle is not None:
            self._bring_to_an_end(handle, status, now)
        elif self._store.is_it(pid):
            self._store.died(status, now)
        else:
            # As pid 1, or below a subreaper, strangers' children come to us too.
            reason = signals.describe_exit(status)
            log.event("a stranger was reaped", level="debug", child=pid, status=reason)

    def _bring_to_an_end(self, handle: Handle, status: int, now: float) -> None:
        """Close the books of a child that was just reaped."""
        handle.is_reaped = True
        # Its last words may still be in the pipe, a READY among them.
        self._hear(handle, now)
        if handle.is_open:
            self._selector.unregister(handle)
        handle.close()
        # Before a new incarnation writes over it.
        left = self._slots.left_behind(handle)
        slot = self._slots[handle.slot]
        slot.vacate(status, left, now)
        # Told before the seat is shown as empty, so that no sweep finds the lists before the blame.
        if handle.slot != POLLER and handle.ready_at is not None:
            died = self._deaths.add(handle, status, left)
            if self._slots.poller is not None and self._slots.is_poller_ready:
                self._slots.poller.send(died)
        self._slots.assign(slot, State.WAITING if self._stop is None else State.EMPTY)

    # Deadlines

    def _enforce_deadlines(self, now: float) -> None:
        for handle in self._slots.children():
            if handle.ready_at is None and now >= handle.boot_deadline and not handle.is_killed:
                self._end_a_long_boot(handle, now)
        self._replace_a_silent_poller(now)
        if self._stop is not None:
            self._carry_on_stopping(self._stop, now)

    def _replace_a_silent_poller(self, now: float) -> None:
        """Busy workers cannot beat in its place, and without a beat their jobs are taken away."""
        poller = self._slots.poller
        if poller is None or poller.ready_at is None or poller.is_killed:
            return
        beat = self._scoreboard.read(POLLER).beat
        if now - max(beat, poller.ready_at, self._resumed_at) > self._plan.poller_silent_s:
            log.event("the poller is silent: killed", level="error", child=poller.pid)
            poller.kill()

    def _end_a_long_boot(self, handle: Handle, now: float) -> None:
        # If we were stopped meanwhile, its READY is in the pipe, though select() found nothing
        # (PEP 475: interrupted, and past its timeout, it does not look again).
        self._hear(handle, now)
        if handle.ready_at is None:
            name, seconds = self._slots[handle.slot].name, f"{self._plan.boot_timeout_s:g} s"
            log.event(f"{name} not ready in {seconds}: killed", level="error", child=handle.pid)
            handle.kill()

    def _carry_on_stopping(self, stop: Stop, now: float) -> None:
        workers = self._slots.workers()
        poller = self._slots.poller
        if workers:
            self._press(workers, stop, now)
        elif poller is None:
            self._exit_code = stop.code
        elif stop.poller_kill_at == NEVER:
            # Last, for it returns what killed workers held; and it has been told of them before.
            stop.poller_kill_at = now + POLLER_LEAVES_S
            poller.ask_to_stop(signal.SIGTERM)
        elif now >= stop.poller_kill_at and not poller.is_killed:
            log.event("the poller does not leave: killed", level="warning", child=poller.pid)
            poller.kill()

    def _press(self, workers: list[Handle], stop: Stop, now: float) -> None:
        if now >= stop.kill_at:
            for handle in workers:
                if not handle.is_killed:
                    log.event("a worker does not leave: killed", level="warning", child=handle.pid)
                    handle.kill()
        elif now >= stop.interrupt_at and not stop.is_interrupted:
            stop.is_interrupted = True
            busy = [handle for handle in workers if self._slots.is_busy(handle)]
            log.event("time is up: running jobs are given back", running=len(busy))
            for handle in busy:
                handle.signal(signal.SIGUSR2)

    # Births

    def _start_what_is_due(self, now: float) -> None:
        self._store.restart_if_due(now)
        if self._stop is None:
            startable = list(self._slots)
        else:  # whoever still runs a job needs a poller that beats
            startable = [self._slots[POLLER]] if self._slots.workers() else []
        booting = len(self._slots.workers()) - len(self._slots.ready_workers())
        for slot in startable:  # the poller comes first and waits for nobody
            has_room = slot.is_poller or booting < self._most_booting
            if slot.child is None and slot.due <= now and has_room and self._budget.take(now):
                self._spawn(slot, now)
                booting += not slot.is_poller
        if not any(slot.spawned_ms for slot in self._slots):
            log.event("not a single process can be started", level="fatal")
            self._exit_code = os.EX_TEMPFAIL

    def _spawn(self, slot: Slot, now: float) -> None:
        try:
            handle, child = slot.prepare(self._plan.identity, now)
        except OSError as error:  # EMFILE, ENFILE
            slot.stay_empty(error, now)
            return
        handle.boot_deadline = now + self._plan.boot_timeout_s
        if self._is_quiet and not slot.is_poller:
            handle.tell(signal.SIGTSTP)
        # What came between fork and the child's own handlers would be lost in it: the handler that
        # it inherits adds to a set which nobody there reads.
        with signals.blocked() as mask:
            pipe.flush_stdio()
            try:
                pid = os.fork()
            except OSError as error:  # EAGAIN, ENOMEM
                handle.close()
                slot.stay_empty(error, now)
            else:
                if pid == 0:
                    self._become(child, handle, mask)
                handle.pid, slot.child = pid, handle
                slot.restarts += slot.incarnation > 1
                slot.spawned_ms = self._clock.now_ms()
                self._slots.assign(slot, State.BOOTING)
                self._selector.register(handle, selectors.EVENT_READ, handle)
        child.close()

    def _become(self, child: Child, handle: Handle, mask: set[int]) -> NoReturn:
        """In the child: cut what ties it to the master's affairs, in this order, and go to work."""
        code = os.EX_SOFTWARE
        try:
            # The wake-up fd is the master's: a signal to the child would wake the wrong loop.
            self._inbox.close()
            # All master's ends: as long as a sibling holds one, its owner hears no end of stream.
            for end in (*self._slots.children(), handle):
                end.close()
            self._selector.close()
            self._slots.enter(child.slot)
            for lock in self._locks:
                lock.forget()
            # A session of its own: Ctrl-C and Ctrl-Z are for the master, KILL for the whole group.
            os.setsid()
            child.die_with_master()
            signals.set_mask(mask)
            is_poller = child.slot == POLLER
            name = "poller" if is_poller else f"worker {child.slot} [booting]"
            setproctitle.setproctitle(f"jobd: {name}")
            code = child.work(self._plan.run_poller if is_poller else self._plan.run_worker)
        except BaseException as error:  # noqa: BLE001 - the frames above are the master's
            log.event("a child could not begin", level="fatal", error=error)
        finally:
            # Never sys.exit(): what it unwinds and what is registered to run is the master's.
            pipe.flush_stdio()
            os._exit(code & 0xFF)

    def _report(self, now: float) -> None:
        stop = self._stop
        left_s = min(stop.interrupt_at, stop.kill_at) - now if stop is not None else 0.0
        self._reporter.report(self._scoreboard.instance_state, left_s)
        self._slots.log_stacks()
        if log.reopen_if_moved():
            self._tell(signal.SIGUSR1, is_for_poller=True)

    def _leave(self) -> None:
        self._store.stop()
        for lock in self._locks:
            lock.release()
        self._selector.close()
        # A late TERM must not turn our exit status into 143.
        with signals.blocked():
            self._inbox.close()
            signals.ignore(signals.HANDLED - {signal.SIGCHLD})
