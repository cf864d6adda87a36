"""The pipe between the master and one child: both ends.

A pair of AF_UNIX SOCK_SEQPACKET sockets for each child; one message of `messages` is one packet.

Master's end: `Handle`; child's end: `Child`. Only the master holds a master's end, since every
child closes those that it inherits: so the end of the stream tells a child that the master is gone
(1 to 3 ms after a ``kill -9``). A job may close any fd, or have its number used again, so the child
looks at whose socket it is before each use and falls back on ``getppid()``.

Source: unicorn's lib/unicorn/worker.rb (EOF as the sign of a dead master), einhorn's ACK, and
puma's worker_handle.rb for the two sides' names.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from jobd import log
from jobd.errors import ConfigError
from jobd.supervisor.messages import LOOK, BootFailureKind, Ended, Message, News, Order, parse

POLLER: Final = 0
"""The poller's slot; the workers' are 1 and up, a mold's is below 0."""

_LARGEST_BYTES: Final = 65_536
_LONGEST_TEXT: Final = 8_000  # JSON may make six bytes of a character
_TO_BE_BORN_S: Final = 5.0
_NUDGE: Final = json.dumps(LOOK).encode()
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
# Loaded by the master, so that nothing has to be between fork and prctl.
_LIBC: Final = ctypes.CDLL(None)


class _End:
    """One end: whole messages, in order, never blocking; what does not fit waits here."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(0)
        self._socket = end
        self._unsent: deque[bytes] = deque()

    def fileno(self) -> int:
        """Readable when a message, or the end, has arrived."""
        return self._socket.fileno()

    def send(self, message: Mapping[str, object]) -> None:
        """Send, or keep it until there is room; nothing is said if nobody listens any more."""
        self._unsent.append(json.dumps(message).encode())
        self.flush()

    def flush(self) -> None:
        """Send what had no room before."""
        while self._unsent:
            try:
                self._socket.send(self._unsent[0], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:  # the other end is gone, and with it whom all this was meant for
                self._unsent.clear()
                return
            self._unsent.popleft()

    def close(self) -> None:
        """Close this end; twice is fine."""
        self._socket.close()

    def _packets(self) -> Iterator[bytes]:
        """What has arrived; an empty packet is the end of the stream."""
        packet = b"..."
        while packet:
            try:
                packet = self._socket.recv(_LARGEST_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:
                # The other end closed with messages of ours unread; its own come after this error.
                continue
            except OSError:
                packet = b""
            yield packet


class Seat(Protocol):
    """What a worker or a poller is given of its place in the instance; ``Child`` in a process."""

    @property
    def slot(self) -> int:
        """Its number."""
        ...

    @property
    def incarnation(self) -> int:
        """How many lives this slot has had, with this one."""
        ...

    @property
    def identity(self) -> str:
        """Of the instance."""
        ...

    @property
    def group(self) -> str:
        """The capsule that it works for."""
        ...

    def fileno(self) -> int:
        """Readable when the master has something to say."""
        ...

    def is_cut(self) -> bool:
        """Whether the master is gone."""
        ...

    def send(self, message: Mapping[str, object]) -> None:
        """Tell the master."""
        ...

    def receive(self) -> Sequence[Mapping[str, Any]]:
        """What the master has told since the last call."""
        ...


class Child(_End):
    """The child's end, given to ``run_worker`` and ``run_poller``.

    Attributes:
        slot: 0 is the poller's, workers have 1 and up.
        group: of a worker; the generation says what that is.
        incarnation: counts the lives of this slot, from 1.
        identity: of the instance.
        master: pid of the master.
        is_ready: whether `ready` was called.
    """

    def __init__(
        self,
        end: socket.socket,
        *,
        slot: int,
        incarnation: int,
        identity: str,
        master: int,
        group: str = "",
    ) -> None:
        super().__init__(end)
        self.slot = slot
        self.group = group
        self.incarnation = incarnation
        self.identity = identity
        self.is_ready = False
        self.master = master
        self._inode = _inode(end.fileno())

    def ready(self) -> None:
        """Tell that booting is over: imports done, handlers installed, nothing claimed yet."""
        self.is_ready = True
        self.send(
            {
                "type": "ready",
                "slot": self.slot,
                "incarnation": self.incarnation,
                "pid": os.getpid(),
            }
        )

    def boot_failed(self, kind: BootFailureKind, text: str) -> None:
        """Tell why this child is about to leave without having been ready.

        Args:
            kind: ``config`` if another try would end in the same way.
            text: the problem or the stack; its end counts, so a long one loses its beginning.
        """
        self.send({"type": "boot_failed", "kind": kind, "text": text[-_LONGEST_TEXT:]})

    def born(self) -> None:
        """Tell the pid, which the master does not know if it has not forked this child itself."""
        self.send({"type": "born", "pid": os.getpid()})

    def cannot_preload(self, reasons: str) -> None:
        """Tell what keeps this mold from forking workers."""
        self.send({"type": "cannot_preload", "reasons": reasons[:_LONGEST_TEXT]})

    def nudge(self) -> None:
        """Have the master read the scoreboard at once; any thread may call this."""
        if self._is_ours():
            with contextlib.suppress(OSError):  # it has enough to hear, or is gone
                self._socket.send(_NUDGE, socket.MSG_NOSIGNAL)

    def receive_order(self) -> tuple[Order, list[int]] | None:
        """In a mold: the next worker to fork, and its descriptors; None if there is none now.

        Raises:
            EOFError: the master is gone.
        """
        try:
            packet, fds, _, _ = socket.recv_fds(self._socket, _LARGEST_BYTES, 2)
        except BlockingIOError:
            return None
        except OSError:
            packet, fds = b"", []
        if not packet:
            raise EOFError
        return cast("Order", json.loads(packet)), fds

    def receive(self) -> list[News]:
        """What the master has told since the last call."""
        if not self._is_ours():
            return []
        self.flush()
        return [cast("News", json.loads(packet)) for packet in self._packets() if packet]

    def flush(self) -> None:
        """Send what had no room before."""
        if self._is_ours():
            super().flush()

    def is_cut(self) -> bool:
        """Whether the master is gone; costs two system calls.

        The parent's pid is compared with the master's, never with 1: the master may be pid 1, and
        an orphan may be adopted by another process.
        """
        if os.getppid() != self.master:
            return True
        if not self._is_ours():
            return False
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def die_with_master(self) -> None:
        """Have the kernel send TERM when the master dies; leave at once if it already has."""
        # Only a child of the master's: the signal is sent when *any* parent dies.
        if os.getppid() == self.master:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != self.master:
            os._exit(os.EX_TEMPFAIL)

    def work(self, target: Callable[["Child"], int]) -> int:
        """Run the child's own code; whatever escapes from it is told by whoever can."""
        try:
            return target(self)
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else 1
        except BaseException as error:  # noqa: BLE001 - nothing may return into the master's frames
            if self.is_ready:
                log.event("a child failed", level="fatal", error=error)
                return 1
            is_final = isinstance(error, ConfigError | ImportError | SyntaxError)
            stack = "".join(traceback.format_exception(error)).rstrip()
            self.boot_failed("config" if is_final else "transient", stack)
            return os.EX_CONFIG if is_final else os.EX_TEMPFAIL

    def _is_ours(self) -> bool:
        """Whether a job has neither closed the socket nor had its number used again."""
        return _inode(self._socket.fileno()) == self._inode


class Handle(_End):
    """The master's end, and what the master knows of the child.

    Attributes:
        pid: 0 until it is known: a mold's workers tell it themselves.
        spawned_at: monotonic seconds, as are the other times.
        ready_at: None while it boots.
        is_asked_to_stop: TERM or QUIT was sent, so its leaving is no surprise.
        is_open: False once the stream has ended, which a job can bring about by closing fds.
        overdue_thread: it was killed because the job of this thread did not heed its time limit.
        outgrown: it was killed because its job outgrew so many bytes by half; else 0.
        ended_job: it was killed because an operator ended this job: its thread and fingerprint.
    """

    def __init__(
        self, end: socket.socket, *, slot: int, incarnation: int, spawned_at: float
    ) -> None:
        super().__init__(end)
        self.slot = slot
        self.incarnation = incarnation
        self.pid = 0
        self.spawned_at = spawned_at
        self.born_deadline = spawned_at + _TO_BE_BORN_S
        self.boot_deadline = 0.0
        self.ready_at: float | None = None
        self.is_asked_to_stop = False
        self.is_killed = False
        self.is_reaped = False
        self.is_open = True
        self.overdue_thread: int | None = None
        self.outgrown = 0
        self.ended_job: tuple[int, str] | None = None
        self._on_ready: list[int] = []

    def receive(self) -> list[Message]:
        """What the child has told; whatever else a job may have written there is left out."""
        messages: list[Message] = []
        for packet in self._packets():
            if not packet:
                self.is_open = False
                messages.append(Ended())
            elif (message := parse(packet)) is not None:
                messages.append(message)
        return messages

    def was_born(self, pid: int) -> None:
        """Its pid is known: send what could not be sent before."""
        self.pid = pid
        if self.is_killed:
            self.kill()
        elif self.is_asked_to_stop:
            self.signal(signal.SIGTERM)

    def order(self, child: "Handle", group: str, fds: list[int]) -> None:
        """Of a mold: have it fork a worker of a group, which gets these descriptors.

        Raises:
            OSError: it has died, or has too much to do.
        """
        order = Order(type="fork", slot=child.slot, incarnation=child.incarnation, group=group)
        socket.send_fds(self._socket, [json.dumps(order).encode()], fds, socket.MSG_NOSIGNAL)

    def became_ready(self, now: float) -> None:
        """Booting is over: send the signals that would have hurt a child without handlers."""
        self.ready_at = now
        for number in self._on_ready:
            self.signal(number)
        self._on_ready.clear()

    def tell(self, number: int) -> None:
        """Signal the child, but one that boots only when it is ready (the default would kill)."""
        if number == signal.SIGCONT and signal.SIGTSTP in self._on_ready:
            self._on_ready.remove(signal.SIGTSTP)
        if self.ready_at is not None:
            self.signal(number)
        elif number not in self._on_ready:
            self._on_ready.append(number)

    def ask_to_stop(self, number: int) -> None:
        """Send TERM, once (a second one may hit an interpreter that is going down), or QUIT.

        A child that boots gets TERM in any case: without a handler QUIT would dump its core.
        """
        if self.ready_at is None:
            number = signal.SIGTERM
        if number == signal.SIGQUIT or not self.is_asked_to_stop:
            self.is_asked_to_stop = True
            self.signal(number)

    def signal(self, number: int) -> None:
        """Signal the child alone; once it is reaped its pid may be anybody's."""
        if self.pid and not self.is_reaped:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the child, and to what its job started and did not detach."""
        self.is_killed = True
        if not self.pid:
            return
        with contextlib.suppress(ProcessLookupError):  # before its setsid() there is no group
            os.killpg(self.pid, signal.SIGKILL)
        self.signal(signal.SIGKILL)


def adopt_orphans() -> bool:
    """Have what our descendants leave behind become our children; returns whether it will."""
    return bool(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a new pipe: the master's and the child's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def flush_stdio() -> None:
    """Before a fork, or what is buffered is written twice; before ``_exit``, or it is lost."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a full disk; closed by a job
            stream.flush()


def _inode(fd: int) -> tuple[int, int]:
    try:
        found = os.fstat(fd)
    except OSError:
        return (-1, -1)
    return (found.st_dev, found.st_ino)
