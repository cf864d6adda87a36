"""What the operator can tell the master, by a signal or through Redis, and what is then done.

Source: docs/signals.md has the table.
"""

import os
import signal
from collections.abc import Callable, Iterable

from jobd import log
from jobd.scoreboard import InstanceState, Scoreboard
from jobd.supervisor.plan import Plan
from jobd.supervisor.renewing import Renewing
from jobd.supervisor.slots import Slots
from jobd.supervisor.stop import Stopping


class Orders:
    """Carries out signals.

    Args:
        plan: for what the master itself has to do.
        slots: whom to pass them on to.
        scoreboard: where the children see the state of the instance.
        stopping: several of them mean it, and it is final.
        renewing: for HUP and USR2.

    Attributes:
        is_quiet: new jobs are not taken.
    """

    def __init__(
        self,
        plan: Plan,
        slots: Slots,
        scoreboard: Scoreboard,
        *,
        stopping: Stopping,
        renewing: Renewing,
    ) -> None:
        self._plan = plan
        self._slots = slots
        self._scoreboard = scoreboard
        self._stopping = stopping
        self._renewing = renewing
        self._is_on_terminal = os.isatty(0)  # after a hangup it would not be one any more
        self.is_quiet = False
        # The order is that of urgency.
        self._orders: dict[int, Callable[[float], None]] = {
            signal.SIGQUIT: stopping.fast,
            signal.SIGTERM: stopping.gracefully,
            signal.SIGINT: stopping.interrupt,
            signal.SIGHUP: self._hang_up,
            signal.SIGTSTP: self._quiet,
            signal.SIGCONT: self._resume,
            signal.SIGUSR1: self._reopen_logs,
            signal.SIGUSR2: renewing.roll,
            signal.SIGTTIN: self._dump,
        }

    def obey(self, arrived: Iterable[int], now: float) -> None:
        """Carry out all that have arrived, the most urgent first."""
        numbers = set(arrived)
        for number, order in self._orders.items():
            if number in numbers:
                order(now)

    def obey_remote(self, number: signal.Signals, now: float) -> None:
        """Carry out what came through Redis; there nobody hangs up."""
        log.event("told through Redis", signal=number.name)
        if number == signal.SIGHUP:
            self._renewing.reload(now)
        else:
            self.obey((number,), now)

    def _quiet(self, _now: float) -> None:
        if not self._stopping.has_begun and not self.is_quiet:
            log.event("quiet: no new jobs are taken; CONT resumes")
            self.is_quiet = True
            self._scoreboard.set_instance_state(InstanceState.QUIET)
            self.tell(signal.SIGTSTP)

    def _resume(self, _now: float) -> None:
        # systemd sends CONT after every TERM: stopping is final.
        if not self._stopping.has_begun and self.is_quiet:
            log.event("resumed: new jobs are taken again")
            self.is_quiet = False
            self._scoreboard.set_instance_state(InstanceState.RUNNING)
            self.tell(signal.SIGCONT)

    def _hang_up(self, now: float) -> None:
        order = self._stopping.gracefully if self._is_on_terminal else self._renewing.reload
        order(now)

    def _reopen_logs(self, _now: float) -> None:
        self._plan.reopen_logs()
        log.event("log files reopened")
        self.tell(signal.SIGUSR1, is_for_all=True)

    def _dump(self, _now: float) -> None:
        self._slots.log_table()
        self.tell(signal.SIGTTIN, is_for_all=True)

    def tell(self, number: int, *, is_for_all: bool = False) -> None:
        """Pass a signal on to the workers, or to every child."""
        for handle in self._slots.children() if is_for_all else self._slots.workers():
            handle.tell(number)
