"""The mold: a child that has imported the application once, and forks the workers that share it.

It runs nothing else. The master asks for each worker and passes its end of the pipe along. The mold
forks a middle process, that forks the worker and leaves; so the worker becomes the master's child
(PR_SET_CHILD_SUBREAPER), the master reaps everything, and a mold can be killed without harm to any
worker. Master's end of the orders: `births`.

Whether it may be forked at all is asked after the import; if not, it says why and leaves, and each
worker imports the application itself.

Source: pitchfork's mold; prctl(2). With ``gc.freeze()`` the collector leaves the shared pages
alone, which otherwise it would copy by its marks.
"""

import gc
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import Final, NoReturn

import setproctitle

from jobd import log, signals
from jobd.supervisor import child as pipe
from jobd.supervisor.child import Child
from jobd.supervisor.messages import Order
from jobd.supervisor.objections import objections, open_fds
from jobd.wait import wait_readable

_HEEDED: Final = frozenset(
    {
        signal.SIGTERM,
        signal.SIGQUIT,
        signal.SIGUSR1,
        # Without effect, but handled: their default would stop or end it.
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGUSR2,
        signal.SIGTSTP,
        signal.SIGTTOU,
    }
)
_STOP: Final = frozenset({signal.SIGTERM, signal.SIGQUIT})
_LONGEST_WAIT_S: Final = 60.0


class Mold:
    """One mold, in its own process.

    Args:
        child: its pipe to the master.
        stacks_fd: where its stacks are written.
        load: imports the application; returns 0, or tells why not and returns an exit status.
        run_worker: what each worker does; returns its exit status.
    """

    def __init__(
        self,
        child: Child,
        *,
        stacks_fd: int,
        load: Callable[[Child], int],
        run_worker: Callable[[Child], int],
    ) -> None:
        self._child = child
        self._stacks_fd = stacks_fd
        self._load = load
        self._run_worker = run_worker
        self._is_booting = True
        self._must_stop = False
        self._inbox = signals.SignalInbox(_HEEDED, on_arrival=self._on_arrival)

    def run(self) -> int:
        """Import, and fork workers until told to stop; returns the exit status."""
        self._inbox.open()
        known = open_fds()
        # A collection now would only split pages that are about to be shared.
        gc.disable()
        if (status := self._load(self._child)) != os.EX_OK:
            return status
        if reasons := objections(known):
            self._child.cannot_preload(", ".join(reasons))
            return os.EX_OK
        gc.freeze()
        self._is_booting = False
        setproctitle.setproctitle("jobd: mold")
        self._child.ready()
        while not self._must_stop:
            wait_readable((self._inbox, self._child), _LONGEST_WAIT_S)
            self._look()
        return os.EX_OK

    def _on_arrival(self, number: int) -> None:
        if number in _STOP:
            self._must_stop = True
            if self._is_booting:
                os._exit(0)  # importing an application may take long

    def _look(self) -> None:
        if signal.SIGUSR1 in self._inbox.take():
            log.reopen()  # for those that are forked from now on
        try:
            while not self._must_stop and (order := self._child.receive_order()) is not None:
                self._fork(*order)
        except EOFError:
            self._must_stop = True

    def _fork(self, order: Order, fds: list[int]) -> None:
        # As in the master's own forks: what comes before the worker's handlers must wait for them.
        with signals.blocked() as mask:
            pipe.flush_stdio()
            try:
                middle = os.fork()
            except OSError:  # EAGAIN, ENOMEM: its pipe closes unused, which tells the master
                middle = -1
            if middle == 0:
                self._be_the_middle(order, fds, mask)
        for fd in fds:
            os.close(fd)
        if middle > 0:
            os.waitpid(middle, 0)

    def _be_the_middle(self, order: Order, fds: list[int], mask: set[int]) -> NoReturn:
        middle, code = os.getpid(), os.EX_OSERR
        try:
            code = os.EX_OK if os.fork() else self._become(order, fds, mask, middle)
        except BaseException as error:  # noqa: BLE001 - the frames above are the mold's
            log.event("a worker could not begin", level="fatal", error=error)
        finally:
            if os.getpid() != middle:
                pipe.flush_stdio()
            os._exit(code & 0xFF)

    def _become(self, order: Order, fds: list[int], mask: set[int], middle: int) -> int:
        """In the worker: cut what ties it to the mold, in this order, and go to work."""
        self._inbox.close()
        child = Child(
            socket.socket(fileno=fds[0]),
            slot=order["slot"],
            incarnation=order["incarnation"],
            group=order["group"],
            identity=self._child.identity,
            master=self._child.master,
        )
        self._child.close()
        child.born()
        os.setsid()
        # The worker's file takes the place of the mold's, where faulthandler writes.
        os.dup2(fds[1], self._stacks_fd, inheritable=False)
        os.close(fds[1])
        while os.getppid() == middle:  # it leaves at once; then the master is our parent
            select.select((), (), (), 0.0005)
        child.die_with_master()
        signals.set_mask(mask)
        setproctitle.setproctitle(f"jobd: worker {child.slot} [booting]")
        gc.enable()
        return child.work(self._run_worker)
